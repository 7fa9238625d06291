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

fn under_tags<'a>(cache: &'a Cache, tags: &'a [&'a str]) -> Source {
    let found = cache.options().tags(tags).get("k", load_loaf);
    found.unwrap().source()
}

#[test]
fn a_tag_whose_invalidation_failed_is_pending_and_no_lookup_under_it_reads_redis() {
    let server = Server::start();
    let redis = impatient(&server).build().unwrap();
    let cache = cache(&redis, "test:");
    // Another cache of this process, on the same connections.
    let other = self::cache(&redis, "a:");
    let by_loader = Cache::builder(&redis).prefix("b:").loader_tags(true);
    let by_loader: Cache = by_loader.build().unwrap();
    let ends = || other.options().tags(&["a"]).get("m", load_loaf);
    ends().unwrap();
    for cache in [&cache, &other] {
        under_tags(cache, &["a"]);
        cache.options().tags(&["b"]).get("l", load_loaf).unwrap();
        cache.get("plain", load_loaf).unwrap();
    }
    by_loader.get("k", load_loaf).unwrap();
    server.freeze();
    assert!(cache.invalidate_tag("a").is_err());
    server.thaw();
    // The replay may come at any moment. Until then nothing is read under the tag, and after it
    // the record is missing.
    for cache in [&cache, &other] {
        assert_ne!(under_tags(cache, &["b", "a"]), Source::Hit);
    }
    assert!(cache.flush(LONG));
    assert_eq!(cache.stats().invalidations_pending, 0);
    // One that was not read since.
    assert_eq!(ends().unwrap().source(), Source::Loaded);
    assert_eq!(ends().unwrap().source(), Source::Hit);
    let found = other.options().tags(&["b"]).get("l", load_loaf).unwrap();
    assert_eq!(found.source(), Source::Hit);
}

#[test]
fn lookups_go_without_redis_only_under_a_tag_that_is_pending() {
    let memory = Memory::new(100);
    let build = |prefix: &str, by_loader| -> Cache {
        let builder = Cache::builder(&memory).prefix(prefix);
        builder.loader_tags(by_loader).build().unwrap()
    };
    let (cache, by_loader) = (build("test:", false), build("a:", true));
    let mut sources = Vec::new();
    for round in 0..2 {
        if round == 1 {
            memory.fail_next(1);
            assert!(cache.invalidate_tag("a").is_err());
            // The replay comes in a moment. Let it fail, too.
            memory.set_unavailable(true);
            assert_eq!(cache.stats().invalidations_pending, 1);
            memory.fail_next(0);
        }
        sources.push(under_tags(&cache, &["a"]));
    }
    assert_eq!(sources, [Source::Loaded, Source::Degraded]);
    memory.set_unavailable(false);
    assert_eq!(cache.stats().invalidations_pending, 0);
    assert_eq!(under_tags(&cache, &["a"]), Source::Loaded);
    assert!(!by_loader.get("k", load_loaf).unwrap().is_hit());
}

#[test]
fn a_clear_by_tag_that_fails_is_pending_and_the_cache_reads_nothing_until_it_is_replayed() {
    let server = Server::start();
    let redis = impatient(&server).build().unwrap();
    let builder = Cache::builder(&redis).prefix("test:").clear_by_tag(true);
    let cache: Cache = builder.build().unwrap();
    cache.get("k", load_loaf).unwrap();
    server.freeze();
    assert!(cache.clear().is_err());
    server.thaw();
    assert!(!cache.get("k", load_loaf).unwrap().is_hit());
    assert!(cache.flush(LONG));
    cache.get("k", load_loaf).unwrap();
    assert!(cache.get("k", load_loaf).unwrap().is_hit());
}

#[test]
fn a_unit_names_the_tags_whose_invalidation_is_pending() {
    let server = Server::start();
    let redis = impatient(&server).build().unwrap();
    let cache = cache(&redis, "test:");
    let ends = || cache.options().tags(&["a"]).get("m", load_loaf);
    ends().unwrap();
    under_tags(&cache, &["a"]);
    let mut unit = UnitOfWork::new();
    unit.add_tag(&cache, "a").unwrap();
    unit.add_tag(&cache, "b").unwrap();
    unit.guard();
    server.freeze();
    let written = unit.commit();
    server.thaw();
    let deferred: Vec<_> = written.deferred().iter().map(|it| &*it.id).collect();
    assert_eq!(deferred, ["a", "b"]);
    assert_ne!(under_tags(&cache, &["a"]), Source::Hit);
    assert!(cache.flush(LONG));
    // One that was not read since.
    assert_eq!(ends().unwrap().source(), Source::Loaded);
}
