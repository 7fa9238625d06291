//! A process that is stopped and continued: by a shell, a debugger, or a closed lid. On Linux that
//! interrupts a thread that waits for a reply.

use std::{
    env,
    io::{BufRead, BufReader, Write, stdin},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use crate::support::{Server, load_loaf};
use cache_aside::{Cache, Redis, Source};

/// The environment variable of the child.
const SERVER: &str = "CACHE_ASIDE_INTERRUPTED_SERVER";

/// A role, not a test: reads until it is told to end, and prints the results.
#[test]
#[ignore = "a role in the other test"]
fn reads() {
    let Ok(url) = env::var(SERVER) else { return };
    let redis = Redis::builder(url).io_timeout(Duration::from_secs(20));
    let cache: Cache = Cache::builder(redis).prefix("test:").build().unwrap();
    cache.get("p-001", load_loaf).unwrap();
    let ended = thread::spawn(|| stdin().lines().next());
    println!("reads");
    let mut hits = 0;
    while !ended.is_finished() {
        let found = cache.get("p-001", load_loaf).unwrap();
        assert_eq!(found.source(), Source::Hit, "{:?}", found.degraded_cause());
        hits += 1;
    }
    println!("{hits} hits");
}

#[test]
fn a_process_that_is_stopped_and_goes_on_hits_as_before() {
    let server = Server::start();
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "interrupted::reads"])
        .env(SERVER, server.url())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("reads")));
    let pid = child.id().to_string();
    for _ in 0..20 {
        // Stopped while it waits, and then not again before it had time for another connection.
        for (signal, pause) in [("-STOP", 2), ("-CONT", 50)] {
            let sent = Command::new("kill").args([signal, &pid]).status();
            assert!(sent.unwrap().success());
            thread::sleep(Duration::from_millis(pause));
        }
    }
    child.stdin.take().unwrap().write_all(b"end\n").unwrap();
    let said: Vec<_> = lines.map(Result::unwrap).collect();
    assert!(child.wait().unwrap().success(), "{said:?}");
    assert!(said.iter().any(|line| line.ends_with(" hits")), "{said:?}");
}
