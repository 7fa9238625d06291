//! Batches with records that are stale, and with some that are near.

use std::{thread, time::Duration};

use cache_aside::{Cache, Error};

use super::*;
use crate::{environment::Environment, support::until};

const GRACE: Duration = Duration::from_secs(600);

/// A cache with these records, of which the first two are stale.
fn stale(environment: &Environment) -> Cache {
    let cache: Cache = environment.builder().grace(GRACE).build().unwrap();
    cache.get_many(["a", "b", "c"], rows("old")).unwrap();
    assert!(cache.expire("a").unwrap() && cache.expire("b").unwrap());
    cache
}

fn down(_: &[&str]) -> Result<Rows, &'static str> {
    Err("no connection")
}

fn what_is_stale_is_loaded_anew_together_with_what_is_missing(environment: &Environment) {
    let cache = stale(environment);
    let mut calls = Vec::new();
    let found = cache.get_many(["a", "b", "c", "d"], |ids| {
        calls.push(ids.join(" "));
        rows("new")(ids)
    });
    let found = found.unwrap();
    assert_eq!(calls, ["a b d"]);
    let expected = [
        Source::Refreshed,
        Source::Refreshed,
        Source::Hit,
        Source::Loaded,
    ];
    assert_eq!(sources(&found), expected);
    assert_eq!(versions(&found), ["new", "new", "old", "new"]);
    let next = cache.get_many(["a", "b", "c", "d"], never).unwrap();
    assert_eq!(sources(&next), [Source::Hit; 4]);
    assert_eq!(cache.stats().refreshes, 2);
}

fn while_a_batch_loads_what_is_stale_others_are_served_it(environment: &Environment) {
    let cache = stale(environment);
    let refreshed = cache.get_many(["a", "b"], |ids| {
        thread::scope(|scope| {
            let served = scope.spawn(|| cache.get_many(["b", "a"], never)).join();
            let served = served.unwrap().unwrap();
            assert_eq!(sources(&served), [Source::Stale; 2]);
            let one = scope.spawn(|| {
                cache.get("a", |_| -> Result<Option<Record>, Error> {
                    panic!("nobody was to load")
                })
            });
            assert_eq!(one.join().unwrap().unwrap().source(), Source::Stale);
        });
        rows("new")(ids)
    });
    assert_eq!(sources(&refreshed.unwrap()), [Source::Refreshed; 2]);
}

fn a_batch_of_stale_records_survives_a_loader_that_fails(environment: &Environment) {
    let cache = stale(environment);
    let found = cache.get_many(["a", "b", "c"], down).unwrap();
    assert_eq!(sources(&found), [Source::Stale, Source::Stale, Source::Hit]);
    assert_eq!(versions(&found), ["old"; 3]);
    let failed = found.iter().map(|found| found.refresh_error().is_some());
    assert_eq!(failed.collect::<Vec<_>>(), [true, true, false]);
    assert_eq!(cache.stats().refresh_errors, 2);
    // No caller retries for a while.
    let again = cache.get_many(["a", "b"], never).unwrap();
    assert_eq!(sources(&again), [Source::Stale; 2]);
}

fn where_something_is_missing_as_well_the_error_is_the_batchs(environment: &Environment) {
    let cache = stale(environment);
    let failed = cache.get_many(["a", "d"], down);
    assert!(matches!(failed, Err(Error::Loader(_))), "{failed:?}");
    assert!(!environment.is_held("d"));
    assert!(cache.peek("a").unwrap().unwrap().is_stale());
}

fn what_a_refresh_does_not_find_is_ended(environment: &Environment) {
    let cache = stale(environment);
    let none = |_: &[&str]| Ok::<_, Error>(Rows::new());
    let found = cache.get_many(["a", "b", "c"], none).unwrap();
    assert!(found[0].record().is_none() && found[1].record().is_none());
    assert!(cache.peek("a").unwrap().is_none());
    assert!(!environment.is_held("a"));
}

fn what_is_near_is_not_asked_for(environment: &Environment) {
    let cache: Cache = environment.builder().near_cache(100).build().unwrap();
    until(|| cache.stats().tracking_live);
    cache.get_many(["a", "b", "c"], rows("old")).unwrap();
    // A filled record enters the near cache at its next read, also by a batch.
    until(|| {
        let found = cache.get_many(["a", "b"], never).unwrap();
        sources(&found) == [Source::Near; 2]
    });
    let mixed = cache.get_many(["c", "a", "d"], rows("new")).unwrap();
    assert_eq!(mixed[1].source(), Source::Near);
    assert_eq!(versions(&mixed), ["old", "old", "new"]);
}

fn what_a_call_for_many_ends_is_near_no_longer(environment: &Environment) {
    let ways: [fn(&Cache); 2] = [
        |cache| assert_eq!(cache.invalidate_many(["a", "b"]).unwrap(), 2),
        |cache| assert_eq!(cache.clear().unwrap(), 2),
    ];
    let here: Cache = environment.builder().near_cache(100).build().unwrap();
    until(|| here.stats().tracking_live);
    for end in ways {
        here.get_many(["a", "b"], rows("old")).unwrap();
        until(|| {
            let found = here.get_many(["a", "b"], never).unwrap();
            sources(&found) == [Source::Near; 2]
        });
        end(&here);
        let found = here.get_many(["a", "b"], rows("new")).unwrap();
        assert_eq!(versions(&found), ["new"; 2]);
        here.invalidate_many(["a", "b"]).unwrap();
    }
}

/// The near copy ends when the record is stale, not when its grace is over.
fn what_is_stale_is_near_no_longer(environment: &Environment) {
    let builder = environment
        .builder()
        .grace(GRACE)
        .ttl(Duration::from_millis(300));
    let cache: Cache = builder.near_cache(100).near_ttl(GRACE).build().unwrap();
    until(|| cache.stats().tracking_live);
    let find = || cache.get_many(["a"], rows("old")).unwrap()[0].source();
    until(|| find() == Source::Near);
    until(|| find() == Source::Refreshed);
}

on_both_stores! {
    what_is_stale_is_near_no_longer,
    what_is_stale_is_loaded_anew_together_with_what_is_missing,
    while_a_batch_loads_what_is_stale_others_are_served_it,
    a_batch_of_stale_records_survives_a_loader_that_fails,
    where_something_is_missing_as_well_the_error_is_the_batchs,
    what_a_refresh_does_not_find_is_ended,
    what_is_near_is_not_asked_for,
    what_a_call_for_many_ends_is_near_no_longer,
}
