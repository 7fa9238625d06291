//! Loaders of batches that fail, panic, or ask for what they load.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use cache_aside::Error;

use super::*;
use crate::{
    environment::Environment,
    support::{load_loaf, until},
};

fn a_loader_that_fails_is_the_error_and_frees_what_it_held(environment: &Environment) {
    let cache = environment.cache();
    cache.get_many(["a"], rows("1")).unwrap();
    let fail = |_: &[&str]| Err::<Rows, _>(io::Error::other("the primary is away"));
    let failed = cache.get_many(["a", "b", "c"], fail);
    let failed = failed.unwrap_err();
    let cause: Option<&io::Error> = failed.loader();
    assert_eq!(cause.unwrap().to_string(), "the primary is away");
    assert!(!environment.is_held("b") && !environment.is_held("c"));
    assert_eq!(cache.stats().load_errors, 1);
    cache.get_many(["a", "b", "c"], rows("2")).unwrap();
}

fn a_loader_that_panics_frees_what_it_held(environment: &Environment) {
    let cache = environment.cache();
    let panics = |_: &[&str]| -> Result<Rows, Infallible> { panic!("the loader's own") };
    let panicked = catch_unwind(AssertUnwindSafe(|| cache.get_many(["a", "b"], panics)));
    assert!(panicked.is_err());
    until(|| !environment.is_held("a") && !environment.is_held("b"));
    assert_eq!(cache.stats().load_errors, 1);
    let began = Instant::now();
    cache.get_many(["a", "b"], rows("2")).unwrap();
    // And not when the leases lapse.
    assert!(began.elapsed() < Duration::from_secs(2));
}

fn a_record_that_cannot_be_stored_is_returned_and_the_others_are_cached(environment: &Environment) {
    let cache = environment.cache();
    let load = |missing: &[&str]| {
        let mut found = rows("1")(missing)?;
        found.insert("b".to_owned(), Record::from([("__cache_aside_x", "1")]));
        Ok::<_, Infallible>(found)
    };
    let found = cache.get_many(["a", "b", "c"], load).unwrap();
    assert!(found.iter().all(|found| found.record().is_some()));
    assert!(cache.peek("b").unwrap().is_none());
    assert!(cache.peek("a").unwrap().is_some() && cache.peek("c").unwrap().is_some());
    assert!(!environment.is_held("b"));
}

/// A loader that asks for its own record.
fn a_loader_that_asks_for_what_it_loads_gets_reentrant(environment: &Environment) {
    let cache = environment.cache();
    let load = |missing: &[&str]| {
        let within = cache.get("b", load_loaf);
        assert!(matches!(within, Err(Error::Reentrant)), "{within:?}");
        let within = cache.get_many(["z", "a"], rows("1"));
        assert!(matches!(within, Err(Error::Reentrant)), "{within:?}");
        // Released soon.
        until(|| !environment.is_held("z"));
        rows("1")(missing)
    };
    cache.get_many(["a", "b"], load).unwrap();
}

on_both_stores! {
    a_loader_that_fails_is_the_error_and_frees_what_it_held,
    a_loader_that_panics_frees_what_it_held,
    a_record_that_cannot_be_stored_is_returned_and_the_others_are_cached,
    a_loader_that_asks_for_what_it_loads_gets_reentrant,
}
