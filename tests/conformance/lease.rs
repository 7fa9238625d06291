//! How long a lease lives.

use std::{
    convert::Infallible,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
    time::{Duration, Instant},
};

use crate::{
    environment::Environment,
    support::{load_loaf, until},
};
use cache_aside::{Cache, Error, Record, Source, store::Acquire};

/// Longer than a busy machine keeps the thread waiting that renews it.
const LEASE_TTL: Duration = Duration::from_millis(900);

fn short(environment: &Environment, max_load_time: Duration) -> Cache {
    environment
        .builder()
        .lease_ttl(LEASE_TTL)
        .max_load_time(max_load_time)
        .build()
        .unwrap()
}

fn a_lease_outlives_its_ttl_while_its_loader_runs(environment: &Environment) {
    let cache = short(environment, Duration::from_secs(60));
    let other = short(environment, Duration::from_secs(60));
    thread::scope(|scope| {
        let slow = scope.spawn(|| {
            cache.get("p-001", |id| {
                thread::sleep(4 * LEASE_TTL);
                load_loaf(id)
            })
        });
        until(|| environment.is_held("p-001"));
        let found = other.get("p-001", load_loaf).unwrap();
        assert_eq!(found.source(), Source::Waited);
        assert_eq!(slow.join().unwrap().unwrap().source(), Source::Loaded);
    });
    assert_eq!(cache.stats().refused_fills, 0);
}

fn a_hundred_slow_loads_keep_their_leases(environment: &Environment) {
    // Longer than a busy machine keeps a thread waiting.
    let lease = Duration::from_millis(1_200);
    let cache: Cache = environment.builder().lease_ttl(lease).build().unwrap();
    thread::scope(|scope| {
        for id in 0..100 {
            let cache = &cache;
            scope.spawn(move || {
                let found = cache.get(id, |id| {
                    thread::sleep(2 * lease);
                    load_loaf(id)
                });
                assert_eq!(found.unwrap().source(), Source::Loaded);
            });
        }
    });
    assert_eq!(cache.stats().refused_fills, 0);
}

fn a_lease_is_not_renewed_beyond_the_longest_load_time(environment: &Environment) {
    let longest = 2 * LEASE_TTL;
    let cache = short(environment, longest);
    let began = Instant::now();
    let found = cache.get("p-001", |id| {
        until(|| !environment.is_held("p-001"));
        load_loaf(id)
    });
    assert_eq!(found.unwrap().source(), Source::Loaded);
    assert!(began.elapsed() >= longest);
    assert_eq!(cache.stats().refused_fills, 1);
}

fn a_lease_carries_the_lease_ttl(environment: &Environment) {
    // A busy machine may take seconds to the look at it.
    let setting = Duration::from_secs(20);
    let cache: Cache = environment.builder().lease_ttl(setting).build().unwrap();
    cache
        .get("p-001", |id| {
            let Acquire::Held { left, .. } = environment.holder(id) else {
                panic!("a load is under way");
            };
            assert!(left <= setting && left > setting / 2, "{left:?}");
            load_loaf(id)
        })
        .unwrap();
    assert!(!environment.is_held("p-001"));
}

fn a_lease_is_given_back_when_there_is_no_record(environment: &Environment) {
    let cache = environment.cache();
    cache.get("p-001", |_| Ok::<_, Infallible>(None)).unwrap();
    assert!(!environment.is_held("p-001"));
}

fn a_lease_is_given_back_when_the_loader_fails(environment: &Environment) {
    let cache = environment.cache();
    let failed = cache.get("p-001", |_| Err(io::Error::other("no")));
    assert!(matches!(failed, Err(Error::Loader(_))));
    assert!(!environment.is_held("p-001"));
}

fn a_lease_is_given_back_when_the_loader_panics(environment: &Environment) {
    // Longer than `until` waits, so that it can't have lapsed.
    let cache: Cache = environment
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
    until(|| !environment.is_held("p-001"));
    assert_eq!(
        cache.get("p-001", load_loaf).unwrap().source(),
        Source::Loaded
    );
}

fn a_lease_is_given_back_when_the_record_cannot_be_stored(environment: &Environment) {
    let cache = environment.cache();
    let own = || Record::from([("__cache_aside_x", "1")]);
    let found = cache
        .get("p-001", |_| Ok::<_, Infallible>(Some(own())))
        .unwrap();
    assert_eq!(found.source(), Source::Loaded);
    assert_eq!(**found.record().unwrap(), own());
    assert!(!environment.is_held("p-001"));
}

on_both_stores! {
    a_lease_outlives_its_ttl_while_its_loader_runs,
    a_hundred_slow_loads_keep_their_leases,
    a_lease_is_not_renewed_beyond_the_longest_load_time,
    a_lease_carries_the_lease_ttl,
    a_lease_is_given_back_when_there_is_no_record,
    a_lease_is_given_back_when_the_loader_fails,
    a_lease_is_given_back_when_the_loader_panics,
    a_lease_is_given_back_when_the_record_cannot_be_stored,
}
