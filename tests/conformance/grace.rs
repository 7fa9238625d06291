//! Records that outlive their TTL: one caller reloads them, the others get the old record.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Barrier, mpsc},
    thread,
    time::Duration,
};

use cache_aside::{Cache, CacheBuilder, Error, Loaded, Record, Source};

use crate::{
    environment::Environment,
    support::{load_loaf, load_nothing, loaf, until},
};

const GRACE: Duration = Duration::from_secs(600);

fn builder(environment: &Environment) -> CacheBuilder {
    environment.builder().grace(GRACE)
}

/// A cache with a loaf in it that is stale.
fn stale(environment: &Environment) -> Cache {
    let cache = builder(environment).build().unwrap();
    cache.get("p-001", load_loaf).unwrap();
    assert!(cache.expire("p-001").unwrap());
    cache
}

fn rye() -> Record {
    Record::from([("name", "Rye Loaf")])
}

#[expect(clippy::unnecessary_wraps, reason = "a loader's answer")]
fn load_rye(_: &str) -> Result<Option<Record>, &'static str> {
    Ok(Some(rye()))
}

fn down(_: &str) -> Result<Option<Record>, &'static str> {
    Err("no connection")
}

fn never(_: &str) -> Result<Option<Record>, &'static str> {
    panic!("nobody was to load");
}

fn while_one_loads_a_stale_record_anew_the_others_are_served_it(environment: &Environment) {
    let (here, there) = (stale(environment), builder(environment).build().unwrap());
    let refreshed = here.get("p-001", |id| {
        for cache in [&here, &there] {
            let served = thread::scope(|scope| scope.spawn(|| cache.get("p-001", never)).join());
            let served = served.unwrap().unwrap();
            assert!(served.is_stale() && served.is_hit());
            assert_eq!(**served.record().unwrap(), loaf());
            assert!(served.refresh_error().is_none());
        }
        load_rye(id)
    });
    let refreshed = refreshed.unwrap();
    assert_eq!(refreshed.source(), Source::Refreshed);
    assert_eq!(**refreshed.record().unwrap(), rye());

    let next = there.get("p-001", never).unwrap();
    assert_eq!(next.source(), Source::Hit);
    assert_eq!(**next.record().unwrap(), rye());
    let stats = here.stats();
    assert_eq!((stats.refreshes, stats.stale_hits, stats.hits), (1, 1, 1));
    assert_eq!((stats.misses, stats.loads), (1, 2), "of the first lookup");
}

/// Also where the loader has returned before the others ask for the lease.
fn of_all_who_find_a_record_stale_at_once_one_loads(environment: &Environment) {
    const READERS: usize = 8;
    for _ in 0..20 {
        let cache = stale(environment);
        let start = Barrier::new(READERS);
        thread::scope(|scope| {
            for _ in 0..READERS {
                scope.spawn(|| {
                    start.wait();
                    cache.get("p-001", load_rye).unwrap();
                });
            }
        });
        assert_eq!(cache.stats().refreshes, 1);
        cache.invalidate("p-001").unwrap();
    }
}

fn a_record_is_stale_when_its_ttl_is_over(environment: &Environment) {
    let ttl = Duration::from_millis(300);
    let cache: Cache = builder(environment).ttl(ttl).build().unwrap();
    cache.get("p-001", load_loaf).unwrap();
    if cache.ttl_remaining("p-001").unwrap().left().unwrap() > GRACE + ttl / 2 {
        assert!(!cache.peek("p-001").unwrap().unwrap().is_stale());
    }
    until(|| cache.peek("p-001").unwrap().unwrap().is_stale());
    assert_eq!(
        cache.get("p-001", load_rye).unwrap().source(),
        Source::Refreshed
    );
}

fn a_loader_that_fails_serves_the_stale_record_and_says_so(environment: &Environment) {
    let cache = stale(environment);
    let served = cache.get("p-001", down).unwrap();
    assert_eq!(served.source(), Source::Stale);
    assert_eq!(**served.record().unwrap(), loaf());
    let Some(Error::Loader(why)) = served.refresh_error() else {
        panic!("the loader's own error: {:?}", served.refresh_error());
    };
    assert_eq!(why.to_string(), "no connection");
    assert!(served.degraded_cause().is_none());
    let stats = cache.stats();
    assert_eq!((stats.refresh_errors, stats.load_errors), (1, 1));
}

fn after_a_failed_refresh_nobody_tries_again_for_one_lease(environment: &Environment) {
    let lease_ttl = Duration::from_millis(300);
    let there: Cache = builder(environment).build().unwrap();
    stale(environment);
    let here: Cache = builder(environment).lease_ttl(lease_ttl).build().unwrap();
    let failed = std::time::Instant::now();
    here.get("p-001", down).unwrap();
    for cache in [&here, &there] {
        let served = cache.get("p-001", |id| {
            assert!(failed.elapsed() >= lease_ttl, "too early");
            load_rye(id)
        });
        assert!(served.unwrap().record().is_some());
    }
    until(|| here.get("p-001", load_rye).unwrap().source() != Source::Stale);
    assert!(failed.elapsed() >= lease_ttl);
}

fn an_invalidation_ends_the_grace_and_the_back_off(environment: &Environment) {
    let cache = stale(environment);
    cache.get("p-001", down).unwrap();
    assert!(cache.invalidate("p-001").unwrap());
    assert!(matches!(cache.get("p-001", down), Err(Error::Loader(_))));
    let loaded = cache.get("p-001", load_rye).unwrap();
    assert_eq!(loaded.source(), Source::Loaded);
}

fn a_refresh_that_finds_no_record_ends_it(environment: &Environment) {
    let cache = stale(environment);
    let gone = cache.get("p-001", load_nothing).unwrap();
    assert_eq!(gone.source(), Source::Refreshed);
    assert!(gone.record().is_none());
    assert!(cache.peek("p-001").unwrap().is_none());
}

fn a_refresh_that_is_not_to_be_stored_ends_the_record(environment: &Environment) {
    let cache = stale(environment);
    let loader = |_: &str| Ok::<_, Error>(Loaded::new(rye()).no_store());
    let fresh = cache.options().get("p-001", loader).unwrap();
    assert_eq!(**fresh.record().unwrap(), rye());
    assert!(cache.peek("p-001").unwrap().is_none());
}

fn a_refresh_that_panics_leaves_the_record_and_the_next_one_tries(environment: &Environment) {
    let cache = stale(environment);
    let panics = AssertUnwindSafe(|| {
        let loader = |_: &str| -> Result<Option<Record>, Error> { panic!("the loader's own") };
        let _ = cache.get("p-001", loader);
    });
    assert!(catch_unwind(panics).is_err());
    until(|| {
        let served = cache.get("p-001", load_rye).unwrap();
        assert!(served.record().is_some());
        served.source() == Source::Refreshed
    });
}

fn a_refresh_that_a_write_overtakes_is_not_cached(environment: &Environment) {
    let cache = stale(environment);
    let loaded = cache.get("p-001", |id| {
        assert!(cache.invalidate("p-001").unwrap());
        load_loaf(id)
    });
    assert_eq!(loaded.unwrap().source(), Source::Refreshed);
    assert_eq!(cache.stats().refused_fills, 1);
    let next = cache.get("p-001", load_rye).unwrap();
    assert_eq!(next.source(), Source::Loaded);
}

fn an_update_leaves_a_stale_record_stale(environment: &Environment) {
    let cache = stale(environment);
    assert!(cache.update_field("p-001", "stock", "7").unwrap());
    let changed = cache.update("p-001", |old| {
        let mut new = old.clone();
        new.set("price_cents", "1");
        Some(new)
    });
    assert!(changed.unwrap());
    let served = cache.get("p-001", down).unwrap();
    assert!(served.is_stale());
    let record = served.record().unwrap();
    assert_eq!(
        (record.get("stock"), record.get("price_cents")),
        (Some("7"), Some("1"))
    );
}

fn an_update_of_a_fresh_record_starts_its_ttl_anew_with_its_grace(environment: &Environment) {
    let ttl = Duration::from_secs(100);
    let cache: Cache = builder(environment).ttl(ttl).build().unwrap();
    let brief = |_: &str| Ok::<_, Error>(Loaded::new(loaf()).ttl(ttl / 2));
    cache.options().get("p-001", brief).unwrap();
    let left = || cache.ttl_remaining("p-001").unwrap().left().unwrap();
    assert!(left() <= GRACE + ttl / 2);
    assert!(cache.update_field("p-001", "stock", "7").unwrap());
    assert!(left() > GRACE + ttl / 2 && left() <= GRACE + ttl);
}

fn what_is_expired_while_it_is_loaded_is_not_cached(environment: &Environment) {
    let cache: Cache = builder(environment).build().unwrap();
    cache
        .get("p-001", |id| {
            cache.expire("p-001").unwrap();
            load_loaf(id)
        })
        .unwrap();
    assert_eq!(cache.stats().refused_fills, 1);
    assert!(cache.peek("p-001").unwrap().is_none());
}

fn without_grace_expire_invalidates(environment: &Environment) {
    let cache = environment.cache();
    cache.get("p-001", load_loaf).unwrap();
    assert!(cache.expire("p-001").unwrap());
    assert!(cache.peek("p-001").unwrap().is_none());
    assert!(!cache.expire("p-001").unwrap());
}

fn that_there_is_no_record_has_no_grace(environment: &Environment) {
    let negative_ttl = Duration::from_secs(5);
    let cache: Cache = builder(environment)
        .negative_ttl(negative_ttl)
        .build()
        .unwrap();
    cache.get("nope", load_nothing).unwrap();
    let left = cache.ttl_remaining("nope").unwrap().left().unwrap();
    assert!(left <= negative_ttl);
    let again = cache.get("nope", never).unwrap();
    assert_eq!(again.source(), Source::Hit);
    cache.expire("nope").unwrap();
    assert!(cache.get("nope", load_loaf).unwrap().record().is_some());
}

fn who_misses_while_a_refresh_is_under_way_shares_it(environment: &Environment) {
    let (ttl, grace) = (Duration::from_millis(1), Duration::from_secs(1));
    let cache: Cache = environment.builder().ttl(ttl).grace(grace).build().unwrap();
    cache.get("p-001", load_loaf).unwrap();
    until(|| cache.peek("p-001").unwrap().unwrap().is_stale());
    let (begun, begins) = mpsc::channel();
    thread::scope(|scope| {
        let refreshing = scope.spawn(|| {
            let begun = begun;
            cache.get("p-001", |id| {
                until(|| cache.peek("p-001").unwrap().is_none());
                begun.send(()).unwrap();
                // The other one has missed.
                until(|| cache.stats().misses == 2);
                load_rye(id)
            })
        });
        begins.recv().unwrap();
        let waited = cache.get("p-001", never).unwrap();
        assert_eq!(waited.source(), Source::Waited);
        assert_eq!(**waited.record().unwrap(), rye());
        let refreshed = refreshing.join().unwrap().unwrap();
        assert_eq!(refreshed.source(), Source::Refreshed);
    });
}

on_both_stores! {
    while_one_loads_a_stale_record_anew_the_others_are_served_it,
    of_all_who_find_a_record_stale_at_once_one_loads,
    a_record_is_stale_when_its_ttl_is_over,
    a_loader_that_fails_serves_the_stale_record_and_says_so,
    after_a_failed_refresh_nobody_tries_again_for_one_lease,
    an_invalidation_ends_the_grace_and_the_back_off,
    a_refresh_that_finds_no_record_ends_it,
    a_refresh_that_is_not_to_be_stored_ends_the_record,
    a_refresh_that_panics_leaves_the_record_and_the_next_one_tries,
    a_refresh_that_a_write_overtakes_is_not_cached,
    an_update_leaves_a_stale_record_stale,
    an_update_of_a_fresh_record_starts_its_ttl_anew_with_its_grace,
    what_is_expired_while_it_is_loaded_is_not_cached,
    without_grace_expire_invalidates,
    that_there_is_no_record_has_no_grace,
    who_misses_while_a_refresh_is_under_way_shares_it,
}
