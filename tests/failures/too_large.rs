//! Rows that the cache would store and the server rejects: it closes the connection in the middle
//! of a value longer than its `proto-max-bulk-len`. No caller waits because of that, and the other
//! rows are cached.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use crate::support::{Server, load_loaf, until};
use cache_aside::{Cache, CacheBuilder, Event, Lookup, Record, Redis, Source};

/// Far longer than any test takes: a test that waits until a lease lapses fails.
const LEASE_TTL: Duration = Duration::from_secs(60);

/// The smallest limit that a server can have.
const LIMIT: usize = 1 << 20;

fn server() -> Server {
    Server::start_with(&["--proto-max-bulk-len", "1mb"])
}

fn builder(server: &Server) -> CacheBuilder {
    let builder = server.builder().lease_ttl(LEASE_TTL);
    // The longest load that the lease allows.
    builder.max_load_time(LEASE_TTL).tracking(true)
}

fn cache(server: &Server) -> Cache {
    let cache: Cache = builder(server).build().unwrap();
    until(|| cache.stats().tracking_live);
    cache
}

fn row_of(bytes: usize) -> Record {
    Record::from([("photo", "x".repeat(bytes))])
}

#[expect(clippy::unnecessary_wraps, reason = "a loader returns a result")]
fn load_large(_: &str) -> Result<Option<Record>, Infallible> {
    Ok(Some(row_of(3 * LIMIT)))
}

/// The id of a large row says so.
#[expect(clippy::unnecessary_wraps, reason = "a loader returns a result")]
fn load_many(ids: &[&str]) -> Result<Vec<(String, Record)>, Infallible> {
    let row = |id: &&str| {
        let bytes = if id.starts_with("large") {
            3 * LIMIT
        } else {
            1
        };
        ((*id).to_owned(), row_of(bytes))
    };
    Ok(ids.iter().map(row).collect())
}

fn sources(found: &[Lookup<Record>]) -> Vec<Source> {
    found.iter().map(Lookup::source).collect()
}

fn is_held(server: &Server, id: &str) -> bool {
    redis::cmd("EXISTS")
        .arg(format!("lock:{{test:{id}}}"))
        .query(&mut server.connect())
        .unwrap()
}

#[test]
fn a_fill_that_the_server_refuses_gives_its_lease_back() {
    let server = server();
    let (cache, other) = (cache(&server), cache(&server));
    for cache in [&cache, &cache, &other] {
        let began = Instant::now();
        let found = cache.get("large", load_large).unwrap();
        assert_eq!(found.source(), Source::Loaded);
        assert!(found.degraded_cause().is_none());
        assert!(began.elapsed() < LEASE_TTL / 4);
        until(|| !is_held(&server, "large"));
    }
    assert_eq!(cache.stats().loads, 2);
}

#[test]
fn a_cache_elsewhere_that_waits_for_such_a_fill_is_freed_at_once() {
    let server = server();
    let (cache, other) = (cache(&server), cache(&server));
    let (loading, is_loading) = mpsc::channel();
    thread::scope(|scope| {
        let leader = scope.spawn(|| {
            cache.get("large", |id| {
                loading.send(()).unwrap();
                until(|| other.stats().misses == 1);
                load_large(id)
            })
        });
        is_loading.recv().unwrap();
        let began = Instant::now();
        let found = other.get("large", load_loaf).unwrap();
        assert!(began.elapsed() < LEASE_TTL / 4);
        assert_eq!(found.source(), Source::Loaded);
        leader.join().unwrap().unwrap();
    });
}

#[test]
fn the_neighbours_of_a_row_that_the_server_refuses_are_cached() {
    let server = server();
    let cache = cache(&server);
    let ids = ["a", "large1", "b", "large2", "c"];
    let (hit, loaded) = (Source::Hit, Source::Loaded);
    let found = cache.get_many(ids, load_many).unwrap();
    assert_eq!(sources(&found), [loaded; 5]);
    until(|| !is_held(&server, "large1") && !is_held(&server, "large2"));
    for id in ["a", "b", "c"] {
        assert!(!is_held(&server, id));
    }
    let found = cache.get_many(ids, load_many).unwrap();
    assert_eq!(sources(&found), [hit, loaded, hit, loaded, hit]);
    assert_eq!(cache.stats().degraded, 0);
}

#[test]
fn a_large_row_of_values_that_the_server_takes_is_cached() {
    let server = server();
    let cache = cache(&server);
    let value = || "x".repeat(LIMIT - 1_000);
    let row = || Record::from([("a", value()), ("b", value()), ("c", value())]);
    let load = |ids: &[&str]| {
        Ok::<_, Infallible>(
            ids.iter()
                .map(|id| ((*id).to_owned(), row()))
                .collect::<Vec<_>>(),
        )
    };
    cache.get("large", load_large).unwrap();
    cache
        .get("a", |_| Ok::<_, Infallible>(Some(row())))
        .unwrap();
    cache.get_many(["b", "c"], load).unwrap();
    let found = cache.get_many(["a", "b", "c"], load).unwrap();
    assert_eq!(sources(&found), [Source::Hit; 3]);
}

#[test]
fn a_row_that_the_server_refuses_is_not_taken_for_a_lost_server() {
    let server = server();
    let opened = Arc::new(AtomicBool::new(false));
    let notes = Arc::clone(&opened);
    let observer = move |_: &str, event: &Event<'_>| {
        if let Event::BreakerOpened { .. } = event {
            notes.store(true, SeqCst);
        }
    };
    // The first request that a lost server doesn't answer opens the breaker.
    let redis = Redis::builder(server.url()).breaker_threshold(1);
    let builder = Cache::builder(redis).prefix("test:").observer(observer);
    let cache: Cache = builder.build().unwrap();
    cache.get_many(["a", "large1", "b"], load_many).unwrap();
    cache.get("large2", load_large).unwrap();
    assert!(!opened.load(SeqCst));
    let found = cache.get_many(["a", "b"], load_many).unwrap();
    assert_eq!(sources(&found), [Source::Hit; 2]);
    assert_eq!(cache.stats().store_errors, 2);
}

/// Otherwise each attempt would cost the pool its connections.
#[test]
fn what_the_server_refused_is_not_sent_again_at_once() {
    let args = ["--proto-max-bulk-len", "1mb"];
    // Through TCP a value that is little too long is sent whole before the server hangs up: then
    // its reply is read.
    for (server, bytes) in [
        (server(), 3 * LIMIT),
        (Server::start_on_port_with(&args), LIMIT + 1),
    ] {
        let cache = cache(&server);
        let received = || -> u64 {
            let stats: String = redis::cmd("INFO")
                .arg("stats")
                .query(&mut server.connect())
                .unwrap();
            let count = stats.split("total_connections_received:").nth(1).unwrap();
            count.lines().next().unwrap().parse().unwrap()
        };
        let load = |_: &str| Ok::<_, Infallible>(Some(row_of(bytes)));
        cache.get("large", load).unwrap();
        until(|| !is_held(&server, "large"));
        let before = received();
        for _ in 0..20 {
            cache.get("large", load).unwrap();
            cache.get_many(["large", "large1"], load_many).unwrap();
        }
        // One of them asks here. A busy machine may also try a fill again, once a lease.
        let more = received() - before;
        assert!(more < 20, "{more} connections");
        assert_eq!(cache.stats().degraded, 0);
    }
}

#[test]
fn a_row_that_the_server_refuses_replaces_the_one_in_its_grace() {
    let server = server();
    let ttl = Duration::from_millis(20);
    let builder = builder(&server).ttl(ttl).grace(Duration::from_secs(60));
    let cache: Cache = builder.build().unwrap();
    cache.get_many(["a", "b"], load_many).unwrap();
    thread::sleep(ttl + Duration::from_millis(5));
    let found = cache.get("a", load_large).unwrap();
    assert_eq!(found.source(), Source::Refreshed);
    let large = |_: &[&str]| Ok::<_, Infallible>([("b", row_of(3 * LIMIT))]);
    let found = cache.get_many(["b"], large).unwrap();
    assert_eq!(found[0].source(), Source::Refreshed);
    for id in ["a", "b"] {
        until(|| cache.peek(id).unwrap().is_none());
        assert!(!is_held(&server, id));
    }
}
