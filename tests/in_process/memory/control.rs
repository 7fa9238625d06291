//! What the tests of a program do to the store in memory: time passes, and requests fail.

use std::{
    cell::{Cell, RefCell},
    sync::{Barrier, mpsc},
    thread,
    time::Duration,
};

use cache_aside::{
    Cache, CacheBuilder, Error, Lookup, Memory, Source, TtlRemaining,
    store::{Acquire, Floor, Keys, Recheck, Token},
};
use serde::{Deserialize, Deserializer, Serialize};

use crate::support::{load_loaf, load_nothing};

const SECOND: Duration = Duration::from_secs(1);
const TTL: Duration = Duration::from_secs(30);

fn builder(memory: &Memory) -> CacheBuilder {
    Cache::builder(memory).prefix("test:").ttl(TTL)
}

fn source(cache: &Cache) -> Source {
    cache.get(1, load_loaf).unwrap().source()
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Price {
    cents: u32,
}

/// A small program: it reads prices through a cache, and goes on selling while the primary fails.
struct Shop {
    prices: Cache<Price>,
    /// Stands for a database: the price of the only product. `Err`: the database is away.
    primary: Cell<Result<Option<u32>, &'static str>>,
    reads: Cell<u32>,
}

impl Shop {
    fn new(memory: &Memory) -> Shop {
        let prices = Cache::builder(memory)
            .prefix("test:price:")
            .ttl(TTL)
            .grace(600 * SECOND)
            .negative_ttl(5 * SECOND);
        Shop {
            prices: prices.build().unwrap(),
            primary: Cell::new(Ok(Some(650))),
            reads: Cell::new(0),
        }
    }

    fn price(&self) -> Result<Option<u32>, Error> {
        let found: Lookup<Price> = self.prices.get("p-001", |_| {
            self.reads.set(self.reads.get() + 1);
            let cents = self.primary.get()?;
            Ok::<_, &str>(cents.map(|cents| Price { cents }))
        })?;
        Ok(found.record().map(|price| price.cents))
    }
}

/// Its test, with times of minutes and without a sleep.
#[test]
fn a_program_is_tested_through_ttl_grace_and_negative_ttl() {
    let memory = Memory::new(100);
    let shop = Shop::new(&memory);
    assert_eq!(shop.price().unwrap(), Some(650));
    memory.advance(29 * SECOND);
    shop.primary.set(Ok(Some(699)));
    assert_eq!(shop.price().unwrap(), Some(650), "within the TTL");
    assert_eq!(shop.reads.get(), 1);
    memory.advance(SECOND);
    assert_eq!(shop.price().unwrap(), Some(699), "after the TTL");

    shop.primary.set(Err("the database is away"));
    memory.advance(TTL + 300 * SECOND);
    assert_eq!(shop.price().unwrap(), Some(699), "within the grace");
    memory.advance(300 * SECOND);
    assert!(shop.price().is_err(), "after the grace");

    shop.primary.set(Ok(None));
    assert_eq!(shop.price().unwrap(), None);
    let reads = shop.reads.get();
    shop.primary.set(Ok(Some(700)));
    memory.advance(4 * SECOND);
    assert_eq!(shop.price().unwrap(), None, "within the negative TTL");
    assert_eq!(shop.reads.get(), reads);
    memory.advance(SECOND);
    assert_eq!(shop.price().unwrap(), Some(700), "after it");
}

#[test]
fn the_remaining_ttl_shrinks_by_what_has_passed() {
    let memory = Memory::new(100);
    let cache = builder(&memory).build().unwrap();
    cache.get(1, load_loaf).unwrap();
    memory.advance(10 * SECOND);
    let left = cache.ttl_remaining(1).unwrap().left().unwrap();
    assert!(left <= 20 * SECOND && left > 15 * SECOND, "{left:?}");
    memory.advance(Duration::MAX);
    assert_eq!(cache.ttl_remaining(1).unwrap(), TtlRemaining::NoSuchKey);
    // Time does not end there.
    assert_eq!(source(&cache), Source::Loaded);
    assert_eq!(source(&cache), Source::Hit);
}

#[test]
fn a_near_cache_follows_the_time_of_the_store() {
    let memory = Memory::new(100);
    let cache = builder(&memory).near_cache(100).build().unwrap();
    for expected in [Source::Loaded, Source::Hit, Source::Near] {
        assert_eq!(source(&cache), expected);
    }
    memory.advance(TTL / 2);
    for expected in [Source::Hit, Source::Near] {
        assert_eq!(source(&cache), expected);
    }
    memory.advance(TTL / 2);
    assert_eq!(source(&cache), Source::Loaded);
}

thread_local! {
    /// The store whose time passes while this thread decodes a record.
    static PASSES: RefCell<Option<Memory>> = const { RefCell::new(None) };
}

#[derive(Clone, Serialize)]
struct Slow {
    cents: u32,
}

impl<'de> Deserialize<'de> for Slow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Slow, D::Error> {
        let Price { cents } = Price::deserialize(deserializer)?;
        if let Some(memory) = PASSES.take() {
            memory.advance(TTL);
        }
        Ok(Slow { cents })
    }
}

/// Reader: placeholder, read — time passes — reader: fill of the near cache.
#[test]
fn a_record_that_was_read_before_time_passed_does_not_enter_the_near_cache_after_it() {
    let memory = Memory::new(100);
    let builder = Cache::builder(&memory).prefix("test:").ttl(TTL);
    let cache: Cache<Slow> = builder.near_cache(100).build().unwrap();
    let source = || {
        let load = |_: &str| Ok::<_, Error>(Some(Slow { cents: 650 }));
        cache.get(1, load).unwrap().source()
    };
    assert_eq!(source(), Source::Loaded);
    PASSES.set(Some(memory.clone()));
    assert_eq!(source(), Source::Hit);
    assert!(PASSES.take().is_none(), "time has passed");
    assert_eq!(source(), Source::Loaded);
}

#[test]
fn a_load_whose_lease_lapses_is_returned_and_not_cached() {
    let memory = Memory::new(100);
    let cache = builder(&memory).build().unwrap();
    let found = cache.get(1, |id| {
        memory.advance(60 * SECOND);
        load_loaf(id)
    });
    assert_eq!(found.unwrap().source(), Source::Loaded);
    assert_eq!(cache.stats().refused_fills, 1);
    assert_eq!(source(&cache), Source::Loaded);
}

/// The holder of the lease has died. A lookup that waits for a pushed change takes the lease as
/// soon as it has lapsed.
#[test]
fn a_lookup_that_waits_for_a_lease_is_notified_when_time_passes() {
    let memory = Memory::new(100);
    let hour = 3600 * SECOND;
    let patient = builder(&memory).wait_timeout(hour).tracking(true);
    let cache = patient.build().unwrap();
    let (store, keys) = (memory.store(), Keys::of("test:1".to_owned()));
    let taken = store
        .acquire(&keys, Token::random(), hour, Recheck::Never)
        .unwrap();
    assert_eq!(taken, Acquire::Acquired(Floor::None));
    let (done, is_done) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| done.send(source(&cache)).unwrap());
        // It has asked for the lease, or will find that it has lapsed.
        crate::support::until(|| cache.stats().misses == 1);
        memory.advance(hour);
        let answer = is_done.recv_timeout(20 * SECOND);
        assert_eq!(answer, Ok(Source::Loaded));
    });
}

#[test]
fn guards_and_floors_lapse() {
    let memory = Memory::new(100);
    let (store, token) = (memory.store(), Token::random);
    let keys = Keys::of("test:1".to_owned()).with_floor(60 * SECOND);
    store.guard(&keys, token(), 10 * SECOND).unwrap();
    let ask = || {
        store
            .acquire(&keys, token(), SECOND, Recheck::Never)
            .unwrap()
    };
    let is_guarded = matches!(
        ask(),
        Acquire::Guarded {
            floor: Floor::Unknown,
            ..
        }
    );
    assert!(is_guarded);
    memory.advance(10 * SECOND);
    assert_eq!(ask(), Acquire::Acquired(Floor::Unknown));
    memory.advance(60 * SECOND);
    assert_eq!(ask(), Acquire::Acquired(Floor::None));
}

#[test]
fn the_next_requests_fail_and_no_others() {
    let memory = Memory::new(100);
    let cache = builder(&memory).build().unwrap();
    cache.get(1, load_loaf).unwrap();
    memory.fail_next(2);
    for expected in [Source::Degraded, Source::Degraded, Source::Hit] {
        assert_eq!(source(&cache), expected);
    }
    memory.fail_next(7);
    memory.fail_next(0);
    assert_eq!(source(&cache), Source::Hit);
}

#[test]
fn a_batch_counts_as_one_request_that_fails() {
    let memory = Memory::new(100);
    let cache = builder(&memory).negative_ttl(TTL).build().unwrap();
    cache.get(1, load_loaf).unwrap();
    cache.get(2, load_nothing).unwrap();
    memory.fail_next(2);
    for expected in [Source::Degraded, Source::Degraded, Source::Hit] {
        let found = cache.get_many([1, 2], |ids| {
            let loaf = load_loaf(ids[0])?.unwrap();
            Ok::<_, std::convert::Infallible>([("1", loaf)])
        });
        let found = found.unwrap();
        assert!(found.iter().all(|found| found.source() == expected));
        assert!(found[1].record().is_none());
    }
}

#[test]
fn a_failed_invalidation_is_remembered_and_replayed() {
    let memory = Memory::new(100);
    let cache = builder(&memory).build().unwrap();
    cache.get(1, load_loaf).unwrap();
    memory.fail_next(1);
    assert!(matches!(cache.invalidate(1), Err(Error::Store { .. })));
    assert!(cache.flush(20 * SECOND));
    assert!(cache.peek(1).unwrap().is_none());
}

/// What `outage.rs` requires of a cache on Redis.
#[test]
fn a_cache_on_an_unavailable_store_degrades_and_loses_no_invalidation() {
    let memory = Memory::new(100);
    let cache = builder(&memory).near_cache(100).build().unwrap();
    for id in [1, 2] {
        cache.get(id, load_loaf).unwrap();
    }
    assert_eq!(
        [source(&cache), source(&cache)],
        [Source::Hit, Source::Near]
    );

    memory.set_unavailable(true);
    assert!(!cache.stats().tracking_live);
    for _ in 0..7 {
        assert_eq!(source(&cache), Source::Degraded);
    }
    assert!(cache.stats().breaker_open);
    assert!(cache.invalidate(1).is_err() && cache.peek(1).is_err());
    let written = cache.write(2, || Ok::<_, Error>(())).unwrap();
    assert!(written.invalidation_error().is_some() && written.guard_error().is_some());
    assert_eq!(cache.stats().invalidations_pending, 2);

    memory.set_unavailable(false);
    let stats = cache.stats();
    assert!(!stats.breaker_open && stats.tracking_live);
    assert_eq!(stats.invalidations_pending, 0);
    for expected in [Source::Loaded, Source::Hit, Source::Near] {
        assert_eq!(source(&cache), expected);
    }
    assert!(cache.peek(2).unwrap().is_none());
}

#[test]
fn a_failed_clear_is_repeated() {
    let memory = Memory::new(100);
    let cache = builder(&memory).build().unwrap();
    cache.get(1, load_loaf).unwrap();
    memory.set_unavailable(true);
    assert!(cache.clear().is_err());
    memory.set_unavailable(false);
    assert!(cache.flush(20 * SECOND));
    assert!(cache.peek(1).unwrap().is_none());
}

#[test]
fn a_cache_that_is_built_on_an_unavailable_store_works_as_soon_as_the_store_does() {
    let memory = Memory::new(100);
    memory.set_unavailable(true);
    let cache = builder(&memory).near_cache(100).build().unwrap();
    assert_eq!(source(&cache), Source::Degraded);
    memory.set_unavailable(false);
    for expected in [Source::Loaded, Source::Hit, Source::Near] {
        assert_eq!(source(&cache), expected);
    }
}

/// One thread: unavailable, listeners told — another: available again, listeners told.
#[test]
fn the_last_switch_decides_whether_near_caches_are_used() {
    let memory = Memory::new(100);
    let start = Barrier::new(3);
    let caches = thread::scope(|scope| {
        for is_unavailable in [true, false] {
            let (memory, start) = (&memory, &start);
            scope.spawn(move || {
                start.wait();
                for _ in 0..200 {
                    memory.set_unavailable(is_unavailable);
                }
            });
        }
        start.wait();
        let build = |_| builder(&memory).near_cache(10).build().unwrap();
        (0..20).map(build).collect::<Vec<_>>()
    });
    let is_available = memory.store().ping().is_ok();
    for cache in &caches {
        assert_eq!(cache.stats().tracking_live, is_available);
    }
}
