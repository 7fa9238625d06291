//! The options of one lookup, and what a loader may return besides the record.

use std::{
    convert::Infallible,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use crate::support::{load_loaf, load_nothing, loaf, until};
use cache_aside::{Cache, CacheBuilder, Error, Loaded, Memory, Record, Source, TtlRemaining};

const LONG: Duration = Duration::from_secs(60);

fn builder() -> CacheBuilder {
    Cache::builder(Memory::new(1_000)).prefix("test:")
}

fn cache() -> Cache {
    builder().build().unwrap()
}

fn left(cache: &Cache) -> Option<Duration> {
    cache.ttl_remaining("p-001").unwrap().left()
}

#[test]
fn a_lookup_may_choose_the_ttl_of_what_it_loads() {
    let cache = cache();
    let found = cache.options().ttl(LONG).get("p-001", load_loaf).unwrap();
    assert_eq!(found.source(), Source::Loaded);
    let left = left(&cache).unwrap();
    assert!(left > cache.ttl() && left <= LONG, "{left:?}");
}

#[test]
fn a_ttl_of_zero_is_not_cached() {
    let cache = cache();
    let zero = cache.options().ttl(Duration::ZERO);
    assert!(zero.get("p-001", load_loaf).unwrap().record().is_some());
    assert_eq!(
        cache.ttl_remaining("p-001").unwrap(),
        TtlRemaining::NoSuchKey
    );
}

const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

#[test]
fn a_lookup_refuses_what_a_builder_refuses() {
    let cache: Cache = builder().near_cache(100).build().unwrap();
    let options = || cache.options();
    let poll = "1ms is shorter than one `poll` of 25ms";
    let too_short = "999µs is too short, it must be at least 1ms";
    let too_long = "315360001s is too long, it must be at most ten years";
    let over = TEN_YEARS + Duration::from_secs(1);
    let refused = [
        (options().ttl(Duration::from_micros(999)), "ttl", too_short),
        (options().ttl(over), "ttl", too_long),
        (
            options().wait_timeout(Duration::from_millis(1)),
            "wait_timeout",
            poll,
        ),
        (options().wait_timeout(over), "wait_timeout", too_long),
        (
            options().max_age(Duration::from_micros(999)),
            "max_age",
            too_short,
        ),
        (options().max_age(over), "max_age", too_long),
    ];
    let check = |error: Error, name, why| match error {
        Error::InvalidSetting {
            setting, reason, ..
        } => assert_eq!((setting, &*reason), (name, why)),
        other => panic!("no such error: {other:?}"),
    };
    // A hit is no reason to accept it.
    cache.get("cached", load_loaf).unwrap();
    let before = cache.stats();
    let load = |_: &str| -> Result<Option<Record>, Infallible> { panic!("no load") };
    let load_many = |_: &[&str]| -> Result<Vec<(String, Record)>, Infallible> { panic!("no load") };
    for (options, name, why) in refused {
        for options in [options, options.skip_cache(true)] {
            for id in ["cached", "p-001"] {
                check(options.get(id, load).unwrap_err(), name, why);
                check(options.get_many([id], load_many).unwrap_err(), name, why);
            }
        }
    }
    assert_eq!(cache.stats(), before);
    for allowed in [TEN_YEARS, Duration::ZERO] {
        let options = options()
            .ttl(allowed)
            .wait_timeout(allowed)
            .max_age(allowed);
        options.get("p-001", load_loaf).unwrap();
        assert_eq!(left(&cache).is_some(), !allowed.is_zero());
        cache.invalidate("p-001").unwrap();
    }
}

#[test]
fn the_ttl_of_a_loader_is_clamped() {
    let cache = cache();
    let load = |_: &str| Ok::<_, Infallible>(Loaded::new(loaf()).ttl(Duration::MAX));
    cache.options().get("p-001", load).unwrap();
    let left = left(&cache).unwrap();
    assert!(left <= TEN_YEARS && left > TEN_YEARS / 2, "{left:?}");
}

#[test]
fn that_there_is_no_record_is_kept_no_longer_than_the_lookup_wants() {
    let cache: Cache = builder().negative_ttl(LONG / 4).build().unwrap();
    cache.get("p-001", load_nothing).unwrap();
    assert!(left(&cache).unwrap() > LONG / 8);
    cache.invalidate("p-001").unwrap();
    let brief = cache.options().ttl(Duration::from_secs(1));
    brief.get("p-001", load_nothing).unwrap();
    assert!(left(&cache).unwrap() <= Duration::from_secs(1));
}

#[test]
fn a_lookup_that_skips_the_cache_neither_reads_nor_writes_it() {
    let cache = cache();
    let skip = || cache.options().skip_cache(true);
    let found = skip().get("p-001", load_loaf).unwrap();
    assert_eq!(found.source(), Source::Loaded);
    assert!(left(&cache).is_none());

    cache.get("p-001", load_loaf).unwrap();
    let newer = Record::from([("stock", "41")]);
    let load = |_: &str| Ok::<_, Infallible>(Some(newer.clone()));
    assert_eq!(
        **skip().get("p-001", load).unwrap().record().unwrap(),
        newer
    );
    let cached = cache.get("p-001", load).unwrap();
    assert_eq!(**cached.record().unwrap(), loaf());
    assert!(
        skip()
            .skip_cache(false)
            .get("p-001", load)
            .unwrap()
            .is_hit()
    );

    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.loads), (2, 1, 3));
    assert!(matches!(skip().get("", load), Err(Error::InvalidId { .. })));
}

#[test]
fn a_lookup_may_wait_shorter_than_its_cache() {
    let cache = cache();
    let (loading, done) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            cache.get("p-001", |id| {
                loading.wait();
                done.wait();
                load_loaf(id)
            })
        });
        loading.wait();
        for wait in [Duration::ZERO, Duration::from_millis(50)] {
            let began = Instant::now();
            let options = cache.options().wait_timeout(wait);
            let found = options.get("p-001", load_loaf).unwrap();
            assert!(began.elapsed() >= wait);
            assert!(matches!(
                found.degraded_cause(),
                Some(Error::WaitTimeout { .. })
            ));
        }
        done.wait();
    });
}

#[test]
fn a_peek_never_loads_and_is_not_counted() {
    let cache: Cache = builder().negative_ttl(LONG / 4).build().unwrap();
    assert!(cache.peek("p-001").unwrap().is_none());
    cache.get("p-001", load_loaf).unwrap();
    cache.get("nope", load_nothing).unwrap();
    let before = cache.stats();

    let seen = cache.peek("p-001").unwrap().unwrap();
    assert!(seen.is_hit());
    assert_eq!(**seen.record().unwrap(), loaf());
    let seen = cache.peek("nope").unwrap().unwrap();
    assert!(seen.is_hit() && seen.record().is_none());
    assert_eq!(cache.stats(), before);
    assert!(matches!(cache.peek(""), Err(Error::InvalidId { .. })));
}

#[test]
fn a_peek_sees_nothing_where_the_entry_is_of_another_type() {
    let memory = Memory::new(1_000);
    let strings: Cache = Cache::builder(&memory).prefix("test:").build().unwrap();
    let numbers: Cache<Stock> = Cache::builder(&memory).prefix("test:").build().unwrap();
    let record = Record::from([("stock", "many")]);
    strings
        .get("p-001", |_| Ok::<_, Infallible>(Some(record)))
        .unwrap();
    assert!(numbers.peek("p-001").unwrap().is_none());
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Stock {
    stock: u32,
}

#[test]
fn a_loader_may_choose_the_ttl_of_what_it_returns() {
    let cache = cache();
    let load = |_: &str| Ok::<_, Infallible>(Loaded::new(loaf()).ttl(LONG));
    let brief = cache.options().ttl(Duration::from_secs(1));
    brief.get("p-001", load).unwrap();
    assert!(left(&cache).unwrap() > cache.ttl());
}

#[test]
fn a_loader_may_have_it_kept_for_a_while_that_there_is_no_record() {
    let cache = cache();
    let load = |_: &str| Ok::<_, Infallible>(Loaded::new(None).ttl(LONG));
    cache.options().get("p-001", load).unwrap();
    let found = cache.get("p-001", load_loaf).unwrap();
    assert!(found.is_hit() && found.record().is_none());
}

#[test]
fn what_a_loader_wants_not_stored_is_shared_and_not_stored() {
    let cache = cache();
    let loading = Barrier::new(2);
    thread::scope(|scope| {
        let leader = scope.spawn(|| {
            cache.options().get("p-001", |_| {
                loading.wait();
                until(|| cache.stats().misses == 2);
                // Time for the other to ask for the lease.
                thread::sleep(Duration::from_millis(100));
                Ok::<_, Infallible>(Loaded::new(loaf()).no_store())
            })
        });
        loading.wait();
        let follower = cache.get("p-001", load_nothing).unwrap();
        assert_eq!(follower.source(), Source::Waited);
        assert_eq!(**follower.record().unwrap(), loaf());
        assert_eq!(leader.join().unwrap().unwrap().source(), Source::Loaded);
    });
    assert!(left(&cache).is_none());
    assert_eq!(cache.stats().refused_fills, 0);
}
