//! The demo at the limits of the system: it serves again, or it ends and says why.

use std::{
    io::Write,
    net::TcpStream,
    process::{Command, Stdio},
};

use super::talk;
use crate::{
    demo_server::{self, Demo},
    support::until,
};

/// `tiny_http` closes the port if the process has too many open files.
#[test]
fn with_too_many_connections_it_ends_with_an_error() {
    let server = demo_server::command();
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""])
        .arg(server.get_program())
        .args(["--port", "0", "--store", "memory"])
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    let mut demo = Demo::start_command(&mut limited);
    let address = demo.url.strip_prefix("http://").unwrap().to_owned();
    // Each takes two files of the server.
    let idle: Vec<_> = (0..40)
        .map_while(|_| TcpStream::connect(&address).ok())
        .collect();
    let (code, _) = demo.wait();
    assert_eq!(code, Some(1));
    let said = demo.stderr();
    assert!(
        said.contains("server: cannot accept connections any more"),
        "{said}"
    );
    drop(idle);
}

#[test]
fn requests_that_must_be_forgotten_end_it_with_an_error() {
    let mut command = demo_server::command();
    command
        .args(["--port", "0", "--store", "memory"])
        .stderr(Stdio::piped());
    let mut demo = Demo::start_command(&mut command);
    let address = demo.url.strip_prefix("http://").unwrap().to_owned();
    let claim = |_| {
        let mut wire = TcpStream::connect(&address).ok()?;
        let head = b"POST /update HTTP/1.1\r\nContent-Length: 99999999999999\r\n\r\n";
        wire.write_all(head).ok()?;
        Some(wire)
    };
    let mut forgotten: Vec<_> = (0..20).map_while(claim).collect();
    // A thread of `tiny_http` that is just becoming busy may be given a connection, and keep it.
    until(|| talk(&demo, "GET /products HTTP/1.0\r\n\r\n") == "200");
    forgotten.extend((0..20).map_while(claim));
    assert_eq!(demo.wait().0, Some(1));
    let said = demo.stderr();
    assert!(said.contains("a body of over a gigabyte"), "{said}");
}
