//! The guard of a write as it is in Redis, and on a server that is full or down.

use std::{cell::Cell, convert::Infallible, time::Duration};

use crate::support::{Server, free_port};
use cache_aside::{Cache, Record, Redis};

fn run<T: redis::FromRedisValue>(server: &Server, command: &[&str]) -> T {
    redis::cmd(command[0])
        .arg(&command[1..])
        .query(&mut server.connect())
        .unwrap()
}

fn fields_of_the_guard(server: &Server) -> u32 {
    run(server, &["HLEN", "lock:{test:p-001}"])
}

#[test]
fn a_guard_is_a_nonce_and_its_writers() {
    let server = Server::start();
    let cache = server.cache();
    let _ = cache
        .write("p-001", || {
            assert_eq!(fields_of_the_guard(&server), 2);
            let _ = cache
                .write("p-001", || {
                    assert_eq!(fields_of_the_guard(&server), 3);
                    Ok::<_, Infallible>(())
                })
                .unwrap();
            assert_eq!(fields_of_the_guard(&server), 2);
            Ok::<_, Infallible>(())
        })
        .unwrap();
    assert_eq!(fields_of_the_guard(&server), 0);
}

#[test]
fn a_guard_has_a_ttl_and_so_has_each_of_its_writers() {
    let server = Server::start();
    let short = Duration::from_millis(300);
    let brief: Cache = server.builder().lease_ttl(short).build().unwrap();
    let cache = server.cache();
    let left = || -> i64 { run(&server, &["PTTL", "lock:{test:p-001}"]) };
    let _ = brief
        .write("p-001", || {
            assert!((1..=300).contains(&left()), "{}", left());
            let _ = cache
                .write("p-001", || {
                    assert!((301..=2000).contains(&left()), "{}", left());
                    Ok::<_, Infallible>(())
                })
                .unwrap();
            // The remaining one lapses as if the other had never existed.
            assert!((1..=300).contains(&left()), "{}", left());
            Ok::<_, Infallible>(())
        })
        .unwrap();
    // A short one does not shorten a long one.
    let nested = cache.write("p-001", || brief.write("p-001", || Ok::<_, i64>(left())));
    let left = nested.unwrap().into_value().into_value();
    assert!((301..=2000).contains(&left), "{left}");
}

#[test]
fn without_redis_the_primary_is_changed_all_the_same_and_the_invalidation_is_remembered() {
    let url = format!("redis://127.0.0.1:{}", free_port());
    let redis = Redis::builder(url);
    let cache: Cache = Cache::builder(redis).prefix("test:").build().unwrap();
    let written = cache.write("p-001", || Ok::<_, Infallible>(7)).unwrap();
    assert_eq!(*written.value(), 7);
    assert!(written.invalidation_error().is_some() && written.guard_error().is_some());
    assert_eq!(cache.stats().invalidations_pending, 1);
}

#[test]
fn a_full_server_lets_a_write_end_and_an_invalidation_meet_a_guard() {
    let server = Server::start();
    let cache = server.cache();
    let primary = Cell::new(1);
    let read = || {
        let load = |_: &str| {
            Ok::<_, Infallible>(Some(Record::from([("version", primary.get().to_string())])))
        };
        let found = cache.get("p-001", load).unwrap();
        found.record().unwrap().get("version").unwrap().to_owned()
    };
    read();
    let maxmemory = |bytes: &str| {
        let _: () = run(&server, &["CONFIG", "SET", "maxmemory", bytes]);
    };
    let written = cache.write("p-001", || {
        maxmemory("1");
        primary.set(2);
        cache.invalidate("p-001").unwrap();
        assert_eq!(read(), "2");
        Ok::<_, Infallible>(())
    });
    assert!(written.unwrap().invalidation_error().is_none());
    maxmemory("0");
    assert_eq!(read(), "2");
}
