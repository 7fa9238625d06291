//! How long a lease lives.

mod support;

use std::{
    convert::Infallible,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
    time::{Duration, Instant},
};

use cache_aside::{Cache, Error, Record, Source};
use support::{Server, load_loaf, until};

const LEASE: &str = "lock:{test:p-001}";

fn lease_is_there(server: &Server) -> bool {
    redis::cmd("EXISTS")
        .arg(LEASE)
        .query(&mut server.connect())
        .unwrap()
}

fn short(server: &Server, max_load_time: Duration) -> Cache {
    server
        .builder()
        .lease_ttl(Duration::from_millis(150))
        .max_load_time(max_load_time)
        .build()
        .unwrap()
}

#[test]
fn a_lease_outlives_its_ttl_while_its_loader_runs() {
    let server = Server::start();
    let cache = short(&server, Duration::from_secs(60));
    let other = short(&server, Duration::from_secs(60));
    thread::scope(|scope| {
        let slow = scope.spawn(|| {
            cache.get("p-001", |id| {
                thread::sleep(Duration::from_millis(600)); // four lease TTLs
                load_loaf(id)
            })
        });
        until(|| lease_is_there(&server));
        let found = other.get("p-001", load_loaf).unwrap();
        assert_eq!(found.source(), Source::Waited);
        assert_eq!(slow.join().unwrap().unwrap().source(), Source::Loaded);
    });
    assert_eq!(cache.stats().refused_fills, 0);
}

#[test]
fn a_hundred_slow_loads_keep_their_leases() {
    let server = Server::start();
    // Longer than a busy machine keeps a thread waiting.
    let lease = Duration::from_millis(400);
    let cache: Cache = server.builder().lease_ttl(lease).build().unwrap();
    thread::scope(|scope| {
        for id in 0..100 {
            let cache = &cache;
            scope.spawn(move || {
                let found = cache.get(&id.to_string(), |id| {
                    thread::sleep(4 * lease);
                    load_loaf(id)
                });
                assert_eq!(found.unwrap().source(), Source::Loaded);
            });
        }
    });
    assert_eq!(cache.stats().refused_fills, 0);
    server.assert_every_key_expires();
}

#[test]
fn a_lease_is_not_renewed_beyond_the_longest_load_time() {
    let server = Server::start();
    let cache = short(&server, Duration::from_millis(300));
    let began = Instant::now();
    let found = cache.get("p-001", |id| {
        until(|| !lease_is_there(&server));
        load_loaf(id)
    });
    assert_eq!(found.unwrap().source(), Source::Loaded);
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(cache.stats().refused_fills, 1);
}

#[test]
fn a_lease_carries_the_lease_ttl() {
    let server = Server::start();
    let cache = server.cache();
    cache
        .get("p-001", |id| {
            let left: i64 = redis::cmd("PTTL")
                .arg(LEASE)
                .query(&mut server.connect())
                .unwrap();
            assert!((1..=2000).contains(&left), "{left}");
            load_loaf(id)
        })
        .unwrap();
    assert!(!lease_is_there(&server));
}

#[test]
fn a_lease_is_given_back_when_there_is_no_record() {
    let server = Server::start();
    let cache = server.cache();
    cache.get("p-001", |_| Ok::<_, Infallible>(None)).unwrap();
    assert!(!lease_is_there(&server));
}

#[test]
fn a_lease_is_given_back_when_the_loader_fails() {
    let server = Server::start();
    let cache = server.cache();
    let failed = cache.get("p-001", |_| Err(io::Error::other("no")));
    assert!(matches!(failed, Err(Error::Loader(_))));
    assert!(!lease_is_there(&server));
}

#[test]
fn a_lease_is_given_back_when_the_loader_panics() {
    let server = Server::start();
    // Longer than `until` waits, so that it can't have lapsed.
    let cache: Cache = server
        .builder()
        .lease_ttl(Duration::from_secs(60))
        .build()
        .unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        cache.get("p-001", |_| -> Result<Option<Record>, Infallible> {
            panic!("the loader's own")
        })
    }));
    assert!(panicked.is_err());
    until(|| !lease_is_there(&server));
    assert_eq!(
        cache.get("p-001", load_loaf).unwrap().source(),
        Source::Loaded
    );
}

#[test]
fn a_lease_is_given_back_when_the_record_cannot_be_stored() {
    let server = Server::start();
    let cache = server.cache();
    let error = cache
        .get("p-001", |_| Ok::<_, Infallible>(Some(Record::new())))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the record cannot be stored: it has no field, and Redis keeps no empty hash"
    );
    assert!(!lease_is_there(&server));
}
