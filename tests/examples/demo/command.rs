//! The demo as a program: its flags, its messages, its end.

use std::{net::TcpListener, thread, time::Duration};

use crate::{
    demo_server::{Demo, VARIABLES, command, run},
    support::{Server, free_port},
};

/// The single line on standard error of a start that must fail.
fn refusal(args: &[&str]) -> String {
    let output = run(args);
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{args:?}");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
    stderr.trim_end().to_owned()
}

#[test]
fn a_wrong_flag_is_one_line_and_status_1() {
    assert_eq!(
        refusal(&["--prot", "8080"]),
        "server: unexpected argument '--prot' found (try --help)"
    );
    assert_eq!(
        refusal(&["--port", "http"]),
        "server: invalid value 'http' for '--port <PORT>': invalid digit found in string \
         (try --help)"
    );
    for wrong in [
        ["--ttl", "0"],
        ["--threads", "0"],
        ["--primary-latency-ms", "-1"],
        ["--bind", "nowhere"],
        ["--redis-url", "http://localhost"],
    ] {
        let line = refusal(&wrong);
        assert!(line.starts_with("server: "), "{line}");
    }
}

#[test]
fn an_unreachable_redis_is_one_line_without_the_password() {
    let port = free_port();
    let line = refusal(&["--redis-url", &format!("redis://:secret@127.0.0.1:{port}")]);
    assert!(
        line.starts_with(&format!(
            "server: request `connect` to 127.0.0.1:{port} failed: Connection refused"
        )),
        "{line}"
    );
    assert!(!line.contains("secret"), "{line}");
}

/// On the default port, or nowhere: either way there is a demo.
#[test]
fn without_an_address_there_is_a_demo_anyway() {
    let mut demo = Demo::start_command(command().args(["--port", "0"]));
    let about = demo.get("/about").1;
    assert!(["redis", "memory"].contains(&about["store"].as_str().unwrap()));
    demo.read("p-001");
    demo.interrupt();
    assert_eq!(demo.wait().0, Some(0));
}

#[test]
fn in_memory_all_is_as_with_redis_and_it_says_how_to_have_that() {
    let demo = Demo::start_command(command().args(["--port", "0", "--store", "memory"]));
    assert_eq!(demo.read("p-001")["source"], "loaded");
    let hit = demo.read("p-001");
    assert_eq!(hit["source"], "hit");
    let ttl = hit["ttl_remaining"].as_f64().unwrap();
    assert!(ttl > 25.0 && ttl <= 30.0, "{ttl}");
    let stampede = demo.post("/stampede", "id=p-404&concurrency=50").1;
    assert_eq!(stampede["primary_reads"], 1);
    let about = demo.get("/about").1;
    assert_eq!(about["store"], "memory");
    assert_eq!(about["place"], "in this process's memory");
    assert_eq!(about["other"], "Start without --store memory to use Redis.");
}

#[test]
fn an_address_that_was_given_is_not_given_up_for_memory() {
    let port = free_port().to_string();
    for flags in [
        &["--redis-port", &*port][..],
        &["--redis-port", &port, "--store", "redis"],
    ] {
        assert!(refusal(flags).contains(&port), "{flags:?}");
    }
}

#[test]
fn the_first_line_says_where_the_records_are_and_not_the_password() {
    let redis = Server::start_on_port();
    let mut child = command()
        .args(["--port", "0", "--redis-url"])
        .arg(format!("redis://default:secret@127.0.0.1:{}", redis.port()))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let place = format!("Records are in Redis at 127.0.0.1:{}. ", redis.port());
    assert!(line.contains(&place) && !line.contains("secret"), "{line}");
}

#[test]
fn a_port_in_use_is_one_line() {
    let redis = Server::start();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let port = address.port().to_string();
    assert_eq!(
        refusal(&["--redis-url", &redis.url(), "--port", &port]),
        format!("server: {address} is in use by another program; choose another --port")
    );
}

#[test]
fn help_names_every_variable_and_succeeds() {
    let output = run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = String::from_utf8(output.stdout).unwrap();
    for name in VARIABLES {
        assert!(help.contains(&format!("[env: {name}")), "{name}");
    }
    assert_eq!(run(&["--version"]).status.code(), Some(0));
}

#[test]
fn the_environment_is_heard_and_flags_overrule_it() {
    let redis = Server::start_on_port();
    let demo = Demo::start_command(
        command()
            .env("PORT", "0")
            .env("REDIS_URL", "")
            .env("REDIS_PORT", redis.port().to_string())
            .env("CACHE_TTL", "7")
            .env("PRIMARY_LATENCY_MS", "4000")
            .args(["--primary-latency-ms", "3"]),
    );
    let found = demo.read("p-001");
    let ttl = found["ttl_remaining"].as_f64().unwrap();
    assert!(ttl > 0.0 && ttl <= 7.0, "{ttl}");
    assert_eq!(found["stats"]["primary_read_latency_ms"], 3.0);
}

#[test]
fn ctrl_c_lets_requests_finish_and_ends_with_status_0() {
    let redis = Server::start();
    let mut demo = Demo::start(&redis.url(), &["--primary-latency-ms", "500"]);
    thread::scope(|scope| {
        let read = scope.spawn(|| demo.read("p-001"));
        // The request has arrived, and is not answered yet.
        demo.until_reads(1);
        demo.interrupt();
        assert_eq!(read.join().unwrap()["source"], "loaded");
    });
    let (status, elapsed) = demo.wait();
    assert_eq!(status, Some(0));
    assert!(elapsed < Duration::from_secs(2), "{elapsed:?}");
    assert_eq!(demo.next_line(), "Stopped.");
}

#[test]
fn one_worker_is_enough_to_stop() {
    let redis = Server::start();
    let mut demo = Demo::start(&redis.url(), &["--threads", "1"]);
    demo.interrupt();
    assert_eq!(demo.wait().0, Some(0));
}
