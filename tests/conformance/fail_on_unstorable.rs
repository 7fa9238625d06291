//! The setting that makes a record that cannot be cached an error.

use std::{convert::Infallible, sync::Barrier, thread, time::Duration};

use cache_aside::{Cache, CacheBuilder, Error, Loaded, Record, Source};

use crate::{
    environment::Environment,
    support::{load_loaf, loaf, until},
};

fn bad() -> Record {
    Record::from([("__cache_aside_x", "1")])
}

#[expect(clippy::unnecessary_wraps, reason = "a loader returns this")]
fn load_bad(_: &str) -> Result<Option<Record>, Infallible> {
    Ok(Some(bad()))
}

fn builder(environment: &Environment) -> CacheBuilder {
    environment.builder().fail_on_unstorable(true)
}

#[track_caller]
fn is_invalid(error: &Error) {
    assert!(matches!(error, Error::InvalidRecord { .. }), "{error}");
    let said = "the record cannot be stored: names that begin with `__cache_aside` are reserved for \
        the cache";
    assert_eq!(error.to_string(), said);
}

fn a_lookup_of_such_a_record_fails_and_gives_the_lease_back(environment: &Environment) {
    let cache: Cache = builder(environment).build().unwrap();
    for count in 1..=2 {
        is_invalid(&cache.get("r", load_bad).unwrap_err());
        assert!(!environment.is_held("r"));
        assert!(cache.peek("r").unwrap().is_none());
        assert_eq!(cache.stats().unstorable_records, count);
    }
    assert_eq!(cache.get("r", load_loaf).unwrap().source(), Source::Loaded);
    assert_eq!(cache.get("r", load_bad).unwrap().source(), Source::Hit);
    // By default, it is returned.
    let cache = environment.cache();
    cache.invalidate("r").unwrap();
    let found = cache.get("r", load_bad).unwrap();
    assert_eq!(**found.record().unwrap(), bad());
}

fn a_batch_with_such_a_record_fails_and_the_others_are_cached(environment: &Environment) {
    let cache: Cache = builder(environment).build().unwrap();
    let ids: Vec<_> = (0..100).map(|number| number.to_string()).collect();
    let load = |ids: &[&str]| {
        let row = |id: &str| if id == "50" { bad() } else { loaf() };
        let rows = ids.iter().map(|id| ((*id).to_owned(), row(id)));
        Ok::<_, Infallible>(rows.collect::<Vec<_>>())
    };
    is_invalid(&cache.get_many(&ids, load).unwrap_err());
    for id in &ids {
        assert!(!environment.is_held(id));
        assert_eq!(cache.peek(id).unwrap().is_none(), id == "50", "{id}");
    }
}

fn all_who_wait_for_the_load_get_the_error(environment: &Environment) {
    let cache: Cache = builder(environment).build().unwrap();
    let (loading, go_on) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        let leader = scope.spawn(|| {
            cache.get("r", |id| {
                loading.wait();
                go_on.wait();
                load_bad(id)
            })
        });
        loading.wait();
        let never = || cache.get("r", |_| -> Result<Option<Record>, Infallible> { panic!() });
        let follower = scope.spawn(never);
        until(|| cache.stats().misses == 2);
        thread::sleep(Duration::from_millis(200)); // until it has asked for the lease
        go_on.wait();
        for lookup in [leader, follower] {
            is_invalid(&lookup.join().unwrap().unwrap_err());
        }
    });
}

fn a_refresh_that_finds_such_a_record_keeps_the_one_in_its_grace(environment: &Environment) {
    let (ttl, grace) = (Duration::from_millis(20), Duration::from_secs(60));
    let cache: Cache = builder(environment).ttl(ttl).grace(grace).build().unwrap();
    cache.get("r", load_loaf).unwrap();
    thread::sleep(ttl + Duration::from_millis(5));
    let found = cache.get("r", load_bad).unwrap();
    assert!(found.is_stale());
    is_invalid(found.refresh_error().unwrap());
    assert_eq!(**found.record().unwrap(), loaf());
}

fn a_record_that_is_not_to_be_cached_is_returned(environment: &Environment) {
    let cache: Cache = builder(environment).build().unwrap();
    let zero = cache.options().ttl(Duration::ZERO);
    let skip = cache.options().skip_cache(true);
    let unstored = |_: &str| Ok::<_, Infallible>(Loaded::new(bad()).no_store());
    let during = cache.write("r", || cache.get("r", load_bad));
    let found = [
        zero.get("r", load_bad),
        skip.get("r", load_bad),
        cache.options().get("r", unstored),
        Ok(during.unwrap().into_value()),
    ];
    for found in found {
        assert_eq!(**found.unwrap().record().unwrap(), bad());
    }
}

on_both_stores! {
    a_lookup_of_such_a_record_fails_and_gives_the_lease_back,
    a_batch_with_such_a_record_fails_and_the_others_are_cached,
    all_who_wait_for_the_load_get_the_error,
    a_refresh_that_finds_such_a_record_keeps_the_one_in_its_grace,
    a_record_that_is_not_to_be_cached_is_returned,
}
