//! The commands on the wire, as `MONITOR` shows them.

use std::{
    convert::Infallible,
    iter,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use crate::support::{Server, load_loaf};
use cache_aside::{Cache, Record, Redis, UnitOfWork};

/// Every command that clients sent while `work` ran, in lower case, without those that open a
/// connection or run in scripts.
pub(crate) fn commands(server: &Server, work: impl FnOnce()) -> Vec<String> {
    let mut seen = all_commands(server, work);
    seen.retain(|command| !["hello", "info"].contains(&&**command));
    seen
}

/// The same, with the commands that open connections. One is opened each second while a pool is in
/// use.
fn all_commands(server: &Server, work: impl FnOnce()) -> Vec<String> {
    let lines = lines(server, work);
    let name = |line: &String| line.split('"').nth(1).unwrap().to_lowercase();
    lines.iter().map(name).filter(|it| it != "auth").collect()
}

/// The lines of `MONITOR`, with the arguments, without those of scripts.
pub(crate) fn lines(server: &Server, work: impl FnOnce()) -> Vec<String> {
    let mut monitor = server.connect();
    monitor
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    monitor
        .send_packed_command(&redis::cmd("MONITOR").get_packed_command())
        .unwrap();
    monitor.recv_response().unwrap();
    work();
    redis::cmd("ECHO")
        .arg("the end")
        .exec(&mut server.connect())
        .unwrap();
    let mut seen = Vec::new();
    loop {
        let line: String = redis::from_redis_value(monitor.recv_response().unwrap()).unwrap();
        if line.contains("the end") {
            return seen;
        }
        let from_a_script = line.split(']').next().unwrap().ends_with(" lua");
        if !from_a_script {
            seen.push(line);
        }
    }
}

/// A cache whose one connection is open already.
fn warm(server: &Server) -> Cache {
    let cache = server.cache();
    cache.ttl_remaining("warm").unwrap();
    cache
}

#[test]
fn a_hit_is_one_command() {
    let server = Server::start();
    let cache = warm(&server);
    cache.get("p-001", load_loaf).unwrap();
    let seen = commands(&server, || {
        for _ in 0..3 {
            assert!(cache.get("p-001", load_loaf).unwrap().is_hit());
        }
    });
    assert_eq!(seen, ["hgetall"; 3]);
}

#[test]
fn a_cold_miss_is_a_read_an_acquire_and_a_fill() {
    let server = Server::start();
    let cache = warm(&server);
    let seen = commands(&server, || {
        cache.get("p-001", load_loaf).unwrap();
    });
    assert_eq!(seen, ["hgetall", "evalsha", "evalsha"]);
}

#[test]
fn a_miss_without_a_record_is_a_read_an_acquire_and_a_fill_of_nothing() {
    let server = Server::start();
    let cache = warm(&server);
    let seen = commands(&server, || {
        cache
            .get("p-001", |_| Ok::<_, Infallible>(None::<Record>))
            .unwrap();
    });
    assert_eq!(seen, ["hgetall", "evalsha", "evalsha"]);
}

#[test]
fn with_grace_a_hit_is_one_round_trip_and_a_refresh_three() {
    let server = Server::start();
    warm(&server);
    let grace = std::time::Duration::from_secs(600);
    let cache: Cache = server.builder().grace(grace).build().unwrap();
    cache.get("p-001", load_loaf).unwrap();
    let seen = commands(&server, || {
        cache.get("p-001", load_loaf).unwrap();
    });
    assert_eq!(seen, ["pttl", "hgetall", "ping"]);
    let seen = commands(&server, || {
        cache.expire("p-001").unwrap();
    });
    assert_eq!(seen, ["evalsha"]);
    let seen = commands(&server, || {
        cache.get("p-001", load_loaf).unwrap();
    });
    assert_eq!(seen, ["pttl", "hgetall", "ping", "evalsha", "evalsha"]);
}

#[test]
fn with_a_max_age_a_hit_is_one_round_trip_and_an_old_record_costs_a_miss() {
    let server = Server::start();
    let cache = warm(&server);
    cache.get("p-001", load_loaf).unwrap();
    let read = |seconds| {
        let young = cache.options().max_age(Duration::from_secs(seconds));
        commands(&server, || drop(young.get("p-001", load_loaf).unwrap()))
    };
    assert_eq!(read(20), ["pttl", "hgetall", "ping"]);
    assert_eq!(read(0), ["pttl", "hgetall", "ping", "evalsha", "evalsha"]);
}

#[test]
fn some_fields_are_read_in_one_round_trip_and_nothing_else_is() {
    let server = Server::start();
    let cache = warm(&server);
    cache.get("p-001", load_loaf).unwrap();
    for (id, names) in [
        ("p-001", &["stock"][..]),
        ("p-001", &["no such"]),
        ("p-002", &["stock"]),
    ] {
        let seen = commands(&server, || drop(cache.get_fields(id, names).unwrap()));
        assert_eq!(seen, ["multi", "pttl", "hmget", "exec", "ping"]);
    }
}

#[test]
fn an_invalidation_is_one_command_and_an_update_two_round_trips() {
    let server = Server::start();
    let cache = warm(&server);
    cache.get("p-001", load_loaf).unwrap();
    let seen = commands(&server, || {
        cache.update_field("p-001", "stock", "41").unwrap();
    });
    assert_eq!(
        seen,
        [
            "type", "type", "watch", "type", "hgetall", "ping", "multi", "del", "hset", "pexpire",
            "exec", "ping"
        ]
    );
    let seen = commands(&server, || {
        cache.invalidate("p-001").unwrap();
    });
    assert_eq!(seen, ["evalsha"]);
    cache.get("p-001", load_loaf).unwrap();
    let seen = commands(&server, || {
        cache
            .update("p-001", |record| Some(record.clone()))
            .unwrap();
    });
    assert_eq!(
        seen,
        [
            "type", "type", "watch", "type", "hgetall", "ping", "multi", "del", "pexpire", "exec",
            "ping"
        ]
    );
}

/// A pipeline loads its script first, because it cannot be repeated for a server that does not know
/// it, and ends with a `PING`.
#[test]
fn a_write_of_twenty_records_is_two_round_trips() {
    let server = Server::start();
    let cache = warm(&server);
    let pipeline = || {
        let calls = iter::repeat_n("evalsha", 20);
        iter::once("script").chain(calls).chain(["ping"])
    };
    let both: Vec<_> = pipeline().chain(pipeline()).collect();
    let seen = commands(&server, || {
        let written = cache.write_many(0..20, || Ok::<_, Infallible>(()));
        assert!(written.unwrap().deferred().is_empty());
    });
    assert_eq!(seen, both);
    // Several caches on one pool share the pipelines.
    let redis = Redis::builder(server.url()).build().unwrap();
    let caches: [Cache; 2] =
        ["test:a:", "test:b:"].map(|prefix| Cache::builder(&redis).prefix(prefix).build().unwrap());
    caches[0].ttl_remaining("warm").unwrap();
    let seen = commands(&server, || {
        let mut unit = UnitOfWork::new();
        for number in 0..20 {
            unit.add(&caches[number % 2], number).unwrap();
        }
        unit.guard();
        assert!(unit.commit().deferred().is_empty());
    });
    assert_eq!(seen, both);
}

#[test]
fn a_record_under_another_prefix_ends_in_the_same_request() {
    let server = Server::start();
    let new = server.builder().also_invalidates("test:1:");
    let cache: Cache = new.build().unwrap();
    cache.ttl_remaining("warm").unwrap();
    let seen = commands(&server, || {
        cache.invalidate("p-001").unwrap();
    });
    assert_eq!(seen, ["script", "evalsha", "evalsha", "ping"]);
}

#[test]
fn nothing_is_sent_to_test_a_connection() {
    let server = Server::start();
    let seen = commands(&server, || {
        let cache = server.cache();
        for _ in 0..5 {
            cache.get("p-001", load_loaf).unwrap();
        }
    });
    assert!(!seen.contains(&"ping".to_owned()), "{seen:?}");
    // `build` loads the scripts, and checks that they can be called.
    let build = [&["script"; 13][..], &["evalsha"]].concat();
    let one_load = ["hgetall", "evalsha", "evalsha"];
    let expected = [&build[..], &one_load, &["hgetall"; 4]].concat();
    assert_eq!(seen, expected);
}

/// HELLO and INFO, in one round trip. Without a user, a password or a database nothing else is
/// sent.
#[test]
fn only_a_new_connection_sends_hello_and_info() {
    let server = Server::start();
    let opened = || {
        let mut info = redis::cmd("INFO");
        let stats: String = info.arg("stats").query(&mut server.connect()).unwrap();
        let line = stats
            .lines()
            .find_map(|line| line.strip_prefix("total_connections_received:"));
        line.unwrap().parse::<usize>().unwrap()
    };
    let mut connections = 0;
    let seen = all_commands(&server, || {
        let before = opened();
        let cache = server.cache();
        for _ in 0..5 {
            cache.get("p-001", load_loaf).unwrap();
        }
        connections = opened() - before - 1;
    });
    // The first two are this test's own. A connection opened after the second of them may be
    // counted or not.
    let greetings = seen
        .windows(2)
        .filter(|two| *two == ["hello", "info"])
        .count();
    assert!(
        greetings >= connections && connections >= 2,
        "{connections}: {seen:?}"
    );
    assert_eq!(
        seen.iter().filter(|command| *command == "hello").count(),
        greetings
    );
    assert_eq!(
        seen.iter().filter(|command| *command == "info").count(),
        greetings + 2
    );
}

#[test]
fn a_server_that_forgot_the_scripts_gets_them_again() {
    let server = Server::start();
    let cache = warm(&server);
    let flush = || {
        let flushed = redis::cmd("SCRIPT")
            .arg("FLUSH")
            .exec(&mut server.connect());
        flushed.unwrap();
    };
    flush();
    cache.get("p-001", load_loaf).unwrap();
    flush();
    assert!(cache.update_field("p-001", "stock", "41").unwrap());
    flush();
    assert!(cache.invalidate("p-001").unwrap());
    assert_eq!(cache.stats().store_errors, 0);
}

#[test]
fn a_closure_that_panics_in_an_update_leaves_no_watched_connection_behind() {
    let server = Server::start();
    let redis = Redis::builder(server.url()).pool_size(1);
    let cache: Cache = Cache::builder(redis).prefix("test:").build().unwrap();
    cache.get("p-001", load_loaf).unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        cache.update("p-001", |_| panic!("the closure's own"))
    }));
    assert!(panicked.is_err());
    // On a connection that still watched, this transaction would fail.
    let bump = |record: &Record| {
        let mut record = record.clone();
        record.insert("stock", "1");
        Some(record)
    };
    server.cache().update_field("p-001", "stock", "3").unwrap();
    assert!(cache.update("p-001", bump).unwrap());
    let clients: String = redis::cmd("CLIENT")
        .arg("LIST")
        .query(&mut server.connect())
        .unwrap();
    assert!(!clients.contains("watch=2"), "{clients}");
}
