//! Units of work and `flush` while Redis is away.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::support::{Server, load_loaf};
use cache_aside::{Cache, Memory, Redis, RedisBuilder, Source, UnitOfWork};

/// Short enough for a test, long enough for a server that works.
const TIMEOUT: Duration = Duration::from_millis(400);

/// Longer than a busy machine needs for a replay.
const LONG: Duration = Duration::from_secs(20);

fn impatient(server: &Server) -> RedisBuilder {
    Redis::builder(server.url())
        .checkout_timeout(TIMEOUT)
        .connect_timeout(TIMEOUT)
        .io_timeout(TIMEOUT)
        .probe_interval(Duration::from_millis(50))
}

fn cache(redis: &Redis, prefix: &str) -> Cache {
    Cache::builder(redis).prefix(prefix).build().unwrap()
}

#[test]
fn a_unit_names_the_records_whose_invalidation_is_pending_and_they_are_replayed() {
    let server = Server::start();
    let redis = impatient(&server).build().unwrap();
    let (products, orders) = (cache(&redis, "test:product:"), cache(&redis, "test:order:"));
    let memory = Cache::builder(Memory::new(10)).prefix("test:page:");
    let pages: Cache = memory.build().unwrap();
    products.get("p-001", load_loaf).unwrap();
    let mut unit = UnitOfWork::new();
    unit.add(&products, "p-001").unwrap();
    unit.add(&orders, 17).unwrap();
    unit.add(&pages, "/").unwrap();
    unit.guard();
    server.freeze();
    let written = unit.commit();
    assert!(written.guard_error().is_none());
    let mut deferred: Vec<_> = written
        .deferred()
        .iter()
        .map(|it| (&*it.cache, &*it.id))
        .collect();
    deferred.sort_unstable();
    // The third cache is on a store that works.
    assert_eq!(
        deferred,
        [("test:order:", "17"), ("test:product:", "p-001")]
    );
    assert!(written.invalidation_error().is_some());
    assert_eq!(products.stats().invalidations_pending, 2);
    let found = products.get("p-001", load_loaf).unwrap();
    assert_eq!(found.source(), Source::Degraded);

    assert!(!redis.flush(Duration::ZERO));
    let began = Instant::now();
    assert!(!products.flush(2 * TIMEOUT));
    assert!(began.elapsed() >= 2 * TIMEOUT);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| orders.flush(LONG));
        server.thaw();
        assert!(waiting.join().unwrap());
    });
    assert_eq!(products.stats().invalidations_pending, 0);
    let began = Instant::now();
    assert!(products.flush(LONG) && redis.flush(LONG) && pages.flush(LONG));
    assert!(began.elapsed() < TIMEOUT, "nothing is pending");
    assert!(!products.get("p-001", load_loaf).unwrap().is_hit());
    assert!(products.get("p-001", load_loaf).unwrap().is_hit());
}

#[test]
fn a_unit_whose_guards_fail_commits_and_says_so() {
    let server = Server::start();
    let redis = impatient(&server).build().unwrap();
    let products = cache(&redis, "test:product:");
    products.get("p-001", load_loaf).unwrap();
    let mut unit = UnitOfWork::new();
    unit.add(&products, "p-001").unwrap();
    unit.add(&products, "p-002").unwrap();
    server.freeze();
    unit.guard();
    server.thaw();
    // The breaker is closed: that was one failure.
    let written = unit.commit();
    assert!(written.guard_error().is_some());
    assert!(written.deferred().is_empty(), "{:?}", written.deferred());
    assert!(!products.get("p-001", load_loaf).unwrap().is_hit());
}

#[test]
fn a_failed_clear_is_pending_until_its_repetition_succeeds() {
    let server = Server::start();
    let redis = impatient(&server).build().unwrap();
    let cache = cache(&redis, "test:");
    cache.get("p-001", load_loaf).unwrap();
    server.freeze();
    assert!(cache.clear().is_err());
    assert!(!cache.flush(Duration::ZERO));
    server.thaw();
    assert!(cache.flush(LONG));
    assert!(!cache.get("p-001", load_loaf).unwrap().is_hit());
}

/// The other prefix's records in this process are bypassed too.
#[test]
fn a_write_that_fails_leaves_the_other_prefix_pending_too() {
    let server = Server::start();
    let redis = impatient(&server).build().unwrap();
    let new = Cache::builder(&redis).prefix("test:2:");
    let new: Cache = new.also_invalidates("test:1:").build().unwrap();
    let old = cache(&redis, "test:1:");
    old.get("p-001", load_loaf).unwrap();
    server.freeze();
    assert!(new.invalidate("p-001").is_err());
    server.thaw();
    let found = old.get("p-001", load_loaf).unwrap();
    assert!(!found.is_hit(), "{found:?}");
    assert!(new.flush(LONG));
    assert!(old.get("p-001", load_loaf).unwrap().source() != Source::Degraded);
}
