//! Versions: loaders that read a replica which lags, and writers that write through. Each rule of
//! the model is an interleaving here, also with what goes wrong without it.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Barrier,
        atomic::{AtomicU32, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use cache_aside::{
    Cache, CacheBuilder, Error, LoadContext, Loaded, Lookup, Record, Source, UnitOfWork,
};

use crate::{
    environment::{Environment, keys},
    held::version,
    support::until,
};
use cache_aside::store::{Recheck, Token};

/// Longer than a test takes: the replica lags until the test says otherwise.
const LAG: Duration = Duration::from_secs(600);

/// A primary with one record, whose replica lags.
#[derive(Default)]
struct Shop {
    primary: AtomicU64,
    replica: AtomicU64,
    /// How often the primary itself was read.
    primary_reads: AtomicU32,
}

impl Shop {
    fn at(version: u64) -> Shop {
        let shop = Shop::default();
        shop.commit(version);
        shop.replicate();
        shop
    }

    fn commit(&self, version: u64) {
        self.primary.store(version, SeqCst);
    }

    fn replicate(&self) {
        self.replica.store(self.primary.load(SeqCst), SeqCst);
    }

    fn load(&self, context: &LoadContext<'_>) -> Loaded<Record> {
        let from = if context.read_primary() {
            self.primary_reads.fetch_add(1, SeqCst);
            &self.primary
        } else {
            &self.replica
        };
        row(from.load(SeqCst))
    }

    fn get(&self, cache: &Cache) -> (u64, Source) {
        let load = |context: &LoadContext<'_>| Ok::<_, Infallible>(self.load(context));
        number(&cache.options().get_with_context("k", load).unwrap())
    }

    /// How often the primary itself was read since the last call.
    fn primary_reads(&self) -> u32 {
        self.primary_reads.swap(0, SeqCst)
    }
}

/// The row at a version; 0 is before it was inserted.
fn row(number: u64) -> Loaded<Record> {
    match u32::try_from(number).expect("tests count to a few") {
        0 => Loaded::new(None),
        number => Loaded::new(version(number)).version(number.into()),
    }
}

fn number(found: &Lookup<Record>) -> (u64, Source) {
    let record = found.record().map(|record| record.get("version").unwrap());
    let number = record.map_or(0, |number| number.parse().unwrap());
    (number, found.source())
}

fn builder(environment: &Environment) -> CacheBuilder {
    environment.builder().versions(LAG)
}

fn versioned(environment: &Environment) -> Cache {
    builder(environment).build().unwrap()
}

/// Removes the record as a store does that is full.
fn evict(environment: &Environment, id: &str) {
    environment.store().invalidate(&keys(id)).unwrap();
}

fn a_replica_is_read_where_no_write_is_recent(environment: &Environment) {
    let (cache, shop) = (versioned(environment), Shop::at(1));
    assert_eq!(shop.get(&cache), (1, Source::Loaded));
    assert_eq!(shop.get(&cache), (1, Source::Hit));
    assert_eq!(shop.primary_reads(), 0);
}

fn a_load_below_the_floor_is_repeated_at_the_primary(environment: &Environment) {
    let (cache, other, shop) = (versioned(environment), versioned(environment), Shop::at(1));
    shop.get(&cache);
    shop.commit(2);
    other.invalidate_at("k", 2).unwrap();
    // The replica still has version 1.
    assert_eq!(shop.get(&cache), (2, Source::Loaded));
    assert_eq!((shop.primary_reads(), cache.stats().stale_loads), (1, 1));
    assert_eq!(shop.get(&cache), (2, Source::Hit));
    assert_eq!(cache.stats().loads, 3, "two of them for one lookup");
}

/// What the floor is for: the same without it.
fn without_versions_the_lagging_replica_is_believed(environment: &Environment) {
    let (cache, shop) = (environment.cache(), Shop::at(1));
    shop.commit(2);
    cache.invalidate_at("k", 2).unwrap();
    let load = |_: &LoadContext<'_>| Ok::<_, Infallible>(row(shop.replica.load(SeqCst)));
    let found = cache.options().get_with_context("k", load).unwrap();
    assert_eq!(number(&found), (1, Source::Loaded));
    assert_eq!(shop.get(&cache), (1, Source::Hit));
}

fn a_replica_that_has_the_version_is_read(environment: &Environment) {
    let (cache, shop) = (versioned(environment), Shop::at(1));
    shop.commit(2);
    shop.replicate();
    cache.invalidate_at("k", 2).unwrap();
    assert_eq!(shop.get(&cache), (2, Source::Loaded));
    assert_eq!(shop.primary_reads(), 0);
}

fn the_loader_sees_the_floor(environment: &Environment) {
    let cache = versioned(environment);
    let seen = |id: &str| {
        let mut seen = Vec::new();
        let load = |context: &LoadContext<'_>| {
            assert_eq!(context.id(), id);
            seen.push((context.min_version(), context.read_primary()));
            Ok::<_, Infallible>(Loaded::new(version(1)).no_store())
        };
        cache.options().get_with_context(id, load).unwrap();
        seen
    };
    assert_eq!(seen("k"), [(None, false)]);
    cache.invalidate_at("k", 7).unwrap();
    // Without a version, a record counts as read from the primary.
    assert_eq!(seen("k"), [(Some(7), false)]);
    cache.invalidate("k").unwrap();
    assert_eq!(seen("k"), [(None, true)]);
    cache.invalidate_at("k", 8).unwrap();
    assert_eq!(seen("k"), [(None, true)], "an unknown floor stays unknown");
}

/// A call that writes, and its name.
type Call = (&'static str, fn(&Cache));

/// The rule `silent` of the model.
fn each_write_without_a_version_makes_loads_read_the_primary(environment: &Environment) {
    const CALLS: [Call; 11] = [
        ("invalidate", |cache| {
            cache.invalidate("k").unwrap();
        }),
        ("invalidate_many", |cache| {
            cache.invalidate_many(["other", "k"]).unwrap();
        }),
        ("expire", |cache| {
            cache.expire("k").unwrap();
        }),
        ("clear", |cache| {
            cache.clear().unwrap();
        }),
        ("update", |cache| {
            cache.update("k", |_| Some(version(2))).unwrap();
        }),
        ("update_field", |cache| {
            cache.update_field("k", "version", "2").unwrap();
        }),
        ("write", |cache| {
            drop(cache.write("k", || Ok::<_, Infallible>(())).unwrap());
        }),
        ("write_many", |cache| {
            let written = cache.write_many(["other", "k"], || Ok::<_, Infallible>(()));
            drop(written.unwrap());
        }),
        ("a unit of work", |cache| {
            let mut unit = UnitOfWork::new();
            unit.add(cache, "k").unwrap();
            unit.guard();
            drop(unit.commit());
        }),
        ("a failed write", |cache| {
            drop(cache.write("k", || Err::<(), _>("no")).unwrap_err());
        }),
        ("a panic in a write", |cache| {
            let panics = || cache.write("k", || -> Result<(), Infallible> { panic!("on purpose") });
            assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        }),
    ];
    for (number, (name, call)) in CALLS.into_iter().enumerate() {
        let builder = builder(environment).prefix(format!("test:{number}:"));
        let (cache, shop) = (builder.build().unwrap(), Shop::at(1));
        shop.get(&cache);
        shop.commit(2);
        call(&cache);
        evict(environment, &format!("{number}:k"));
        assert_eq!(shop.get(&cache), (2, Source::Loaded), "{name}");
        assert_eq!(shop.primary_reads(), 1, "{name}");
        assert_eq!(cache.stats().stale_loads, 0, "{name}");
    }
}

/// The rule `return` of the model: the loader ignores what it is told.
fn a_load_that_stays_below_the_floor_is_an_error_and_not_cached(environment: &Environment) {
    let cache = versioned(environment);
    cache.invalidate_at("k", 7).unwrap();
    let mut calls = 0;
    let load = |_: &LoadContext<'_>| {
        calls += 1;
        Ok::<_, Infallible>(row(6))
    };
    let error = cache.options().get_with_context("k", load).unwrap_err();
    let expected = matches!(
        error,
        Error::StaleLoad {
            version: 6,
            min_version: 7,
            ..
        }
    );
    assert!(expected, "{error}");
    assert_eq!((calls, cache.stats().stale_loads), (2, 1));
    assert!(cache.peek("k").unwrap().is_none());
    assert!(!environment.is_held("k"), "the lease was given back");
    // A loader that cannot be called again is not.
    let once = |_: &str| Ok::<_, Infallible>(row(5));
    let error = cache.options().get("k", once).unwrap_err();
    assert!(
        matches!(error, Error::StaleLoad { version: 5, .. }),
        "{error}"
    );
}

fn followers_share_the_final_outcome(environment: &Environment) {
    let (cache, shop) = (versioned(environment), Shop::at(1));
    shop.commit(2);
    cache.invalidate_at("k", 2).unwrap();
    let barrier = Barrier::new(2);
    thread::scope(|scope| {
        let leader = scope.spawn(|| {
            let load = |context: &LoadContext<'_>| {
                if !context.read_primary() {
                    barrier.wait();
                    until(|| cache.stats().misses == 2);
                }
                Ok::<_, Infallible>(shop.load(context))
            };
            number(&cache.options().get_with_context("k", load).unwrap())
        });
        barrier.wait();
        let (seen, _) = shop.get(&cache);
        assert_eq!(seen, 2);
        assert_eq!(leader.join().unwrap().0, 2);
    });
}

/// A replica that lacks the row says that there is none. That has no version.
fn a_row_that_the_replica_lacks_is_looked_for_at_the_primary(environment: &Environment) {
    let cache: Cache = builder(environment)
        .negative_ttl(Duration::from_secs(20))
        .build()
        .unwrap();
    let shop = Shop::at(0);
    shop.commit(1);
    cache.invalidate_at("k", 1).unwrap();
    assert_eq!(shop.get(&cache), (1, Source::Loaded));
    // One that the primary lacks too is not there.
    cache.invalidate_at("gone", 9).unwrap();
    let mut calls = 0;
    let load = |_: &LoadContext<'_>| {
        calls += 1;
        Ok::<_, Infallible>(None)
    };
    let found = cache.options().get_with_context("gone", load).unwrap();
    assert!(found.record().is_none() && calls == 2);
}

fn without_the_cache_the_primary_is_read(environment: &Environment) {
    let (cache, shop) = (versioned(environment), Shop::at(1));
    shop.commit(2);
    let load = |context: &LoadContext<'_>| Ok::<_, Infallible>(shop.load(context));
    let options = cache.options().skip_cache(true);
    let found = options.get_with_context("k", load).unwrap();
    assert_eq!((number(&found).0, shop.primary_reads()), (2, 1));
}

fn on_a_cache_without_versions_the_primary_is_read(environment: &Environment) {
    let (cache, shop) = (environment.cache(), Shop::at(1));
    shop.commit(2);
    assert_eq!(shop.get(&cache), (2, Source::Loaded));
    assert_eq!(shop.primary_reads(), 1);
}

/// A lookup whose wait took too long knows no floor.
fn a_lookup_without_redis_reads_the_primary(environment: &Environment) {
    let (cache, shop) = (versioned(environment), Shop::at(1));
    shop.commit(2);
    let holder = Token::random();
    let store = environment.store();
    store
        .acquire(&keys("k"), holder, LAG, Recheck::Always)
        .unwrap();
    let load = |context: &LoadContext<'_>| Ok::<_, Infallible>(shop.load(context));
    let options = cache.options().wait_timeout(Duration::ZERO);
    let found = options.get_with_context("k", load).unwrap();
    assert_eq!(number(&found), (2, Source::Degraded));
    assert_eq!(shop.primary_reads(), 1);
}

/// The floor is handed over beside a guard too.
fn a_reader_during_a_write_gets_the_floor(environment: &Environment) {
    let (cache, shop) = (versioned(environment), Shop::at(1));
    let written = cache.write("k", || {
        shop.commit(2);
        let seen = shop.get(&cache);
        Ok::<_, Infallible>(seen)
    });
    assert_eq!(written.unwrap().into_value(), (2, Source::Loaded));
    assert_eq!(shop.primary_reads(), 1);
}

/// The guard lapses before the replica has the commit.
fn after_a_writer_died_the_primary_is_read(environment: &Environment) {
    let (cache, shop) = (versioned(environment), Shop::at(1));
    let brief = Duration::from_millis(20);
    let keys = keys("k").with_floor(LAG);
    let store = environment.store();
    store.guard(&keys, Token::random(), brief).unwrap();
    shop.commit(2);
    thread::sleep(brief + Duration::from_millis(5));
    assert_eq!(shop.get(&cache), (2, Source::Loaded));
    assert_eq!(shop.get(&cache), (2, Source::Hit));
}

fn a_floor_lapses_and_the_replica_is_read_again(environment: &Environment) {
    let lag = Duration::from_millis(30);
    let cache: Cache = environment.builder().versions(lag).build().unwrap();
    let shop = Shop::at(1);
    shop.commit(2);
    cache.invalidate("k").unwrap();
    shop.replicate();
    thread::sleep(lag + Duration::from_millis(5));
    assert_eq!(shop.get(&cache), (2, Source::Loaded));
    assert_eq!(shop.primary_reads(), 0);
}

fn a_refresh_respects_the_floor(environment: &Environment) {
    let cache: Cache = builder(environment).grace(LAG).build().unwrap();
    let shop = Shop::at(1);
    shop.get(&cache);
    shop.commit(2);
    cache.expire("k").unwrap();
    assert_eq!(shop.get(&cache), (2, Source::Refreshed));
    assert_eq!(shop.primary_reads(), 1);
}

fn the_record_that_a_write_returns_is_cached(environment: &Environment) {
    for cache in [environment.cache(), versioned(environment)] {
        let written = cache.write_through("k", || Ok::<_, Infallible>(("seven", Some(version(7)))));
        let written = written.unwrap();
        assert_eq!(*written.value(), "seven");
        assert!(written.is_cached() && written.guard_error().is_none());
        assert!(written.invalidation_error().is_none());
        let found = cache.get("k", |_| Err::<Option<Record>, _>("it is not loaded"));
        assert_eq!(number(&found.unwrap()), (7, Source::Hit));
        assert!(!environment.is_held("k"), "the guard is gone");
    }
}

fn what_is_written_through_has_its_ttl(environment: &Environment) {
    let ttl = Duration::from_secs(500);
    let cache: Cache = environment.builder().ttl(ttl).build().unwrap();
    let left = || cache.ttl_remaining("k").unwrap().left().unwrap();
    let through = |row: Loaded<Record>| {
        let written = cache.write_through("k", || Ok::<_, Infallible>(((), row)));
        written.unwrap().is_cached()
    };
    assert!(through(row(1)));
    assert!(left() > ttl / 2 && left() <= ttl);
    let chosen = Duration::from_secs(90);
    assert!(through(row(1).ttl(chosen)));
    assert!(left() > chosen / 2 && left() <= chosen);
    assert!(!through(row(1).no_store()));
    assert!(cache.peek("k").unwrap().is_none());
}

fn a_deletion_is_written_through_if_absence_is_cached(environment: &Environment) {
    let delete = || Ok::<_, Infallible>(((), None::<Record>));
    let cache = environment.cache();
    cache
        .get("k", |_| Ok::<_, Infallible>(Some(version(1))))
        .unwrap();
    assert!(!cache.write_through("k", delete).unwrap().is_cached());
    assert!(cache.peek("k").unwrap().is_none());
    let builder = environment.builder().negative_ttl(Duration::from_secs(20));
    let cache: Cache = builder.build().unwrap();
    assert!(cache.write_through("k", delete).unwrap().is_cached());
    let found = cache.get("k", |_| Err::<Option<Record>, _>("it is not loaded"));
    assert!(found.unwrap().record().is_none());
}

/// The rule `overlap` of the model, and `nonce`: the other writer's end gives the guard another
/// nonce, and the record that was returned first is not cached.
fn of_two_writes_that_overlap_none_is_written_through(environment: &Environment) {
    let (cache, other, shop) = (environment.cache(), environment.cache(), Shop::at(1));
    let outer = cache.write_through("k", || {
        shop.commit(2);
        let inner = other.write_through("k", || {
            shop.commit(3);
            Ok::<_, Infallible>(((), Some(version(3))))
        });
        assert!(
            !inner.unwrap().is_cached(),
            "the outer one may commit again"
        );
        Ok::<_, Infallible>(((), Some(version(2))))
    });
    assert!(!outer.unwrap().is_cached());
    assert_eq!(shop.get(&cache), (3, Source::Loaded));
}

fn an_invalidation_during_a_write_keeps_it_from_being_written_through(environment: &Environment) {
    let (cache, other, shop) = (versioned(environment), versioned(environment), Shop::at(1));
    let written = cache.write_through("k", || {
        shop.commit(2);
        shop.commit(3);
        other.invalidate_at("k", 3).unwrap();
        Ok::<_, Infallible>(((), row(2)))
    });
    assert!(!written.unwrap().is_cached());
    assert_eq!(shop.get(&cache), (3, Source::Loaded));
}

fn a_version_that_is_written_through_is_the_floor(environment: &Environment) {
    let (cache, shop) = (versioned(environment), Shop::at(1));
    shop.commit(2);
    let written = cache.write_through("k", || Ok::<_, Infallible>(((), row(2))));
    assert!(written.unwrap().is_cached());
    evict(environment, "k");
    // The floor is known, so the replica is asked first.
    assert_eq!(shop.get(&cache), (2, Source::Loaded));
    assert_eq!((shop.primary_reads(), cache.stats().stale_loads), (1, 1));
}

fn a_record_that_cannot_be_cached_is_only_ended(environment: &Environment) {
    let cache = environment.cache();
    cache
        .get("k", |_| Ok::<_, Infallible>(Some(version(1))))
        .unwrap();
    let reserved = Record::from([("__cache_aside_x", "1")]);
    let written = cache.write_through("k", || Ok::<_, Infallible>(((), Some(reserved))));
    assert!(!written.unwrap().is_cached());
    assert_eq!(cache.stats().unstorable_records, 1);
    assert!(cache.peek("k").unwrap().is_none());
}

fn a_write_through_that_fails_or_panics_ends_the_record(environment: &Environment) {
    let cache = environment.cache();
    let fill = || {
        cache
            .get("k", |_| Ok::<_, Infallible>(Some(version(1))))
            .unwrap()
    };
    fill();
    let failed = cache.write_through("k", || Err::<((), Option<Record>), _>("no"));
    assert_eq!(
        failed.unwrap_err().to_string(),
        "the change of the primary failed: no"
    );
    assert!(cache.peek("k").unwrap().is_none() && !environment.is_held("k"));
    fill();
    let panics = || {
        cache.write_through("k", || -> Result<((), Option<Record>), Infallible> {
            panic!("on purpose")
        })
    };
    assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
    assert!(cache.peek("k").unwrap().is_none() && !environment.is_held("k"));
}

on_both_stores! {
    a_replica_is_read_where_no_write_is_recent,
    a_load_below_the_floor_is_repeated_at_the_primary,
    without_versions_the_lagging_replica_is_believed,
    a_replica_that_has_the_version_is_read,
    the_loader_sees_the_floor,
    each_write_without_a_version_makes_loads_read_the_primary,
    a_load_that_stays_below_the_floor_is_an_error_and_not_cached,
    followers_share_the_final_outcome,
    a_row_that_the_replica_lacks_is_looked_for_at_the_primary,
    without_the_cache_the_primary_is_read,
    on_a_cache_without_versions_the_primary_is_read,
    a_lookup_without_redis_reads_the_primary,
    a_reader_during_a_write_gets_the_floor,
    after_a_writer_died_the_primary_is_read,
    a_floor_lapses_and_the_replica_is_read_again,
    a_refresh_respects_the_floor,
    the_record_that_a_write_returns_is_cached,
    what_is_written_through_has_its_ttl,
    a_deletion_is_written_through_if_absence_is_cached,
    of_two_writes_that_overlap_none_is_written_through,
    an_invalidation_during_a_write_keeps_it_from_being_written_through,
    a_version_that_is_written_through_is_the_floor,
    a_record_that_cannot_be_cached_is_only_ended,
    a_write_through_that_fails_or_panics_ends_the_record,
}
