//! The check of a server at the start: what it logs, how often it connects, and what it finds out.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use cache_aside::{Cache, Redis, RedisBuilder};

use crate::{
    fake, lines,
    support::{Server, chain, free_port, load_loaf, until},
};

const MS: fn(u64) -> Duration = Duration::from_millis;

fn cache(redis: RedisBuilder) -> Cache {
    Cache::builder(redis).prefix("test:").build().unwrap()
}

#[test]
fn a_server_that_refuses_wait_is_not_said_to_be_used_at_each_check() {
    own_process!();
    lines::listen();
    let mut server = Server::start_on_port();
    server.expect_denials();
    server.kill();
    let place = format!("127.0.0.1:{}", server.port());
    let redis = Redis::builder(format!("redis://{place}"));
    let cache = cache(redis.wait_for_replicas(1).probe_interval(MS(20)));
    let all_but_wait = ["on", "nopass", "~*", "&*", "+@all", "-wait"];
    server.start_again_with(&[&["--user", "default"], &all_but_wait[..]].concat());
    until(|| !lines::with("ERROR Redis can be reached, but cannot be used").is_empty());
    // Long enough for several checks.
    thread::sleep(MS(500));
    let is_said = lines::with(&format!("INFO {place}"));
    assert!(is_said.is_empty(), "{is_said:?}");
    let found = cache.get("p-001", load_loaf).unwrap();
    let why = chain(found.degraded_cause().unwrap());
    assert!(why.contains("'wait' command"), "{why}");

    let mut permit = redis::cmd("ACL");
    permit.arg("SETUSER").arg("default").arg("+wait");
    permit.exec(&mut server.connect()).unwrap();
    until(|| !cache.stats().breaker_open);
    assert_eq!(lines::with(&format!("INFO {place} is ")).len(), 1);
    assert_eq!(
        lines::with(&format!("WARN {place} has 0 replicas")).len(),
        1
    );
}

#[test]
fn a_good_master_is_not_logged_while_another_one_refuses() {
    const REFUSALS: usize = 5;
    own_process!();
    lines::listen();
    let (good, bad) = (free_port(), free_port());
    let checks = Arc::new(AtomicUsize::new(0));
    let url = format!("redis+cluster://127.0.0.1:{good}");
    let cache = cache(Redis::builder(url).probe_interval(MS(20)));
    for port in [good, bad] {
        let checks = Arc::clone(&checks);
        fake::answer(port, move |words| match &*words[0] {
            "HELLO" => fake::texts(&["server", "redis", "version", "7.0.15", "mode", "cluster"]),
            "CLUSTER" if words[1] == "SLOTS" => {
                let half = |first, last, port| {
                    format!(
                        "*3\r\n:{first}\r\n:{last}\r\n*3\r\n$9\r\n127.0.0.1\r\n:{port}\r\n$40\r\n{port:040}\r\n"
                    )
                };
                format!("*2\r\n{}{}", half(0, 8_191, good), half(8_192, 16_383, bad))
            }
            "EVALSHA" if port == bad && checks.fetch_add(1, SeqCst) < REFUSALS => {
                "-NOPERM this user has no permissions\r\n".to_owned()
            }
            "EVALSHA" => "-NOSCRIPT No\r\n".to_owned(),
            "INFO" => "$-1\r\n".to_owned(),
            _ => "+OK\r\n".to_owned(),
        });
    }
    until(|| !cache.stats().breaker_open);
    assert!(checks.load(SeqCst) > REFUSALS);
    for port in [good, bad] {
        let said = lines::with(&format!("127.0.0.1:{port} is redis 7.0.15"));
        assert_eq!(said.len(), 1, "{said:?}");
    }
}

#[test]
fn each_address_of_a_cluster_that_is_away_is_asked_once() {
    own_process!();
    let counted = [(); 2].map(|()| {
        // Accepts, and never answers.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = silent.local_addr().unwrap().port();
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        thread::spawn(move || {
            let mut held = Vec::new();
            for stream in silent.incoming() {
                held.push(stream);
                counter.fetch_add(1, SeqCst);
            }
        });
        (port, count)
    });
    let [(one, _), (two, _)] = &counted;
    let url = format!("redis+cluster://127.0.0.1:{one},127.0.0.1:{two}");
    let redis = Redis::builder(url).connect_timeout(MS(200));
    let error = redis.require_connection(true).build().unwrap_err();
    assert!(chain(&error).contains("no answer within 200ms"), "{error}");
    for (port, count) in &counted {
        assert_eq!(count.load(SeqCst), 1, "connections to {port}");
    }
}

#[test]
fn a_server_behind_a_proxy_that_refuses_the_name_is_known_whatever_the_code() {
    own_process!();
    for refusal in [
        "ERR syntax error",
        "NOPERM HELLO with options is not allowed",
        "DENIED by the proxy",
        "PROXYERR unsupported",
    ] {
        let port = free_port();
        fake::answer(port, move |words| match &*words[0] {
            "HELLO" if words.len() > 2 => format!("-{refusal}\r\n"),
            "HELLO" => fake::texts(&["server", "redis", "version", "5.0.6"]),
            "EVALSHA" => "-NOSCRIPT No\r\n".to_owned(),
            "INFO" => "$-1\r\n".to_owned(),
            _ => "+OK\r\n".to_owned(),
        });
        let built = Redis::builder(format!("redis://127.0.0.1:{port}")).build();
        let error = chain(&built.expect_err(refusal));
        assert!(error.contains("this is Redis 5.0.6"), "{error}");
    }
}
