//! The demo server: every row of its table, its refusals, and its command line.

mod answers;
mod audit;
mod command;
#[cfg(target_os = "linux")]
mod limits;
mod list;
mod many;
mod metrics;
mod origin;
mod refusals;
mod switches;

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    time::Duration,
};

use crate::demo_server::{self, Demo};
use crate::support::Server;
use serde_json::Value;

/// A demo on a Redis of its own, whose primary takes 20 ms.
fn start() -> (Server, Demo) {
    start_with(&["--primary-latency-ms", "20"])
}

fn start_with(args: &[&str]) -> (Server, Demo) {
    let redis = Server::start();
    let demo = Demo::start(&redis.url(), args);
    (redis, demo)
}

/// On each of the two stores, whose primary takes 20 ms.
fn on_both(test: impl Fn(&Demo)) {
    let (_redis, demo) = start();
    test(&demo);
    let mut memory = demo_server::command();
    memory.args(["--port", "0", "--store", "memory"]);
    test(&Demo::start_command(
        memory.args(["--primary-latency-ms", "20"]),
    ));
}

fn keys(object: &Value) -> Vec<&str> {
    let object = object.as_object().expect("an object");
    object.keys().map(String::as_str).collect()
}

/// Sends raw bytes, and returns the status of the answer, if there is one within a second.
fn talk(demo: &Demo, bytes: &str) -> String {
    let address = demo.url.strip_prefix("http://").unwrap();
    let mut wire = TcpStream::connect(address).unwrap();
    wire.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let _ = wire.write_all(bytes.as_bytes());
    let _ = wire.shutdown(Shutdown::Write);
    let mut answer = [0; 12];
    match wire.read_exact(&mut answer) {
        Ok(()) => String::from_utf8_lossy(&answer[9..]).into_owned(),
        Err(_) => String::new(),
    }
}
