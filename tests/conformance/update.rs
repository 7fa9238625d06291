//! Invalidations and updates of cached records.

use std::{
    cell::Cell,
    collections::BTreeMap,
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use crate::{
    environment::Environment,
    support::{load_loaf, loaf},
};
use cache_aside::{Cache, Error, Record, Source, TtlRemaining};
use serde::{Deserialize, Serialize};

fn cached(environment: &Environment) -> Cache {
    let cache = environment.cache();
    cache.get("p-001", load_loaf).unwrap();
    cache
}

fn stock(cache: &Cache) -> String {
    let found = cache.get("p-001", load_loaf).unwrap();
    assert_eq!(found.source(), Source::Hit);
    found.record().unwrap().get("stock").unwrap().to_owned()
}

/// Leaves the record five seconds.
fn age(environment: &Environment) {
    let brief = Duration::from_secs(5);
    let aging: Cache = environment.builder().ttl(brief).build().unwrap();
    assert!(
        aging
            .update("p-001", |record| Some(record.clone()))
            .unwrap()
    );
}

fn left(cache: &Cache) -> Duration {
    match cache.ttl_remaining("p-001").unwrap() {
        TtlRemaining::Left(left) => left,
        other => panic!("{other:?}"),
    }
}

fn an_invalidation_says_whether_there_was_a_record(environment: &Environment) {
    let cache = cached(environment);
    assert!(cache.invalidate("p-001").unwrap());
    assert!(!cache.invalidate("p-001").unwrap());
    assert_eq!(
        cache.get("p-001", load_loaf).unwrap().source(),
        Source::Loaded
    );
}

fn a_field_is_updated_only_where_a_record_is_cached(environment: &Environment) {
    let cache = environment.cache();
    assert!(!cache.update_field("p-001", "stock", "41").unwrap());
    assert_eq!(
        cache.ttl_remaining("p-001").unwrap(),
        TtlRemaining::NoSuchKey
    );

    cache.get("p-001", load_loaf).unwrap();
    assert!(cache.update_field("p-001", "stock", "41").unwrap());
    assert_eq!(stock(&cache), "41");
}

fn an_update_starts_the_ttl_anew_unless_it_is_to_be_kept(environment: &Environment) {
    let cache = cached(environment);
    let keeping: Cache = environment
        .builder()
        .keep_ttl_on_update(true)
        .build()
        .unwrap();
    let change = |record: &Record| {
        let mut record = record.clone();
        record.insert("stock", "40");
        Some(record)
    };
    age(environment);
    keeping.update_field("p-001", "stock", "41").unwrap();
    assert!(left(&cache) <= Duration::from_secs(5));
    keeping.update("p-001", change).unwrap();
    assert!(left(&cache) <= Duration::from_secs(5));
    cache.update_field("p-001", "stock", "41").unwrap();
    assert!(left(&cache) > Duration::from_secs(5));
    age(environment);
    cache.update("p-001", change).unwrap();
    assert!(left(&cache) > Duration::from_secs(5));
}

fn the_ttl_tells_what_is_left_from_no_record(environment: &Environment) {
    let cache = cached(environment);
    assert_eq!(cache.ttl(), Duration::from_secs(30));
    assert!(left(&cache) <= Duration::from_secs(30));
    assert!(left(&cache) > Duration::from_secs(25));
    assert_eq!(
        cache.ttl_remaining("p-002").unwrap(),
        TtlRemaining::NoSuchKey
    );
}

fn an_update_changes_adds_and_removes_fields(environment: &Environment) {
    let cache = cached(environment);
    let changed = cache.update("p-001", |record| {
        let mut record = record.clone();
        record.insert("stock", "41");
        record.insert("note", "last ones");
        record.remove("price_cents");
        Some(record)
    });
    assert!(changed.unwrap());
    let mut expected = loaf();
    expected.insert("stock", "41");
    expected.insert("note", "last ones");
    expected.remove("price_cents");
    let found = cache.get("p-001", load_loaf).unwrap();
    assert_eq!(**found.record().unwrap(), expected);
}

fn an_update_leaves_the_fields_that_the_type_does_not_know(environment: &Environment) {
    cached(environment);
    let names: Cache<BTreeMap<String, String>> = environment.builder().build().unwrap();
    let typed: Cache<Stock> = environment.builder().build().unwrap();
    let sold = |old: &Stock| {
        Some(Stock {
            stock: old.stock - 1,
        })
    };
    assert!(typed.update("p-001", sold).unwrap());
    let found = names.get("p-001", |_| Ok::<_, Infallible>(None)).unwrap();
    assert_eq!(found.record().unwrap()["stock"], "41");
    assert_eq!(found.record().unwrap()["name"], "Sourdough Loaf");
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Stock {
    stock: u32,
}

fn an_update_that_declines_or_finds_nothing_changes_nothing(environment: &Environment) {
    let cache = cached(environment);
    assert!(!cache.update("p-001", |_| None).unwrap());
    assert_eq!(stock(&cache), "42");
    assert!(
        !cache
            .update("p-002", |_| panic!("nothing is cached"))
            .unwrap()
    );
}

fn an_update_that_was_overtaken_sees_the_newer_record(environment: &Environment) {
    let cache = cached(environment);
    let calls = Cell::new(0);
    let changed = cache.update("p-001", |record| {
        calls.set(calls.get() + 1);
        if calls.get() == 1 {
            cache.update_field("p-001", "stock", "7").unwrap();
        }
        let mut record = record.clone();
        let stock: u32 = record.get("stock").unwrap().parse().unwrap();
        record.insert("stock", (stock - 1).to_string());
        Some(record)
    });
    assert!(changed.unwrap());
    assert_eq!(calls.get(), 2);
    assert_eq!(stock(&cache), "6");
}

fn an_update_that_is_always_overtaken_gives_up_and_leaves_nothing_stale(environment: &Environment) {
    let cache = cached(environment);
    let calls = Cell::new(0);
    let error = cache
        .update("p-001", |record| {
            calls.set(calls.get() + 1);
            let stock = calls.get().to_string();
            cache.update_field("p-001", "stock", stock).unwrap();
            Some(record.clone())
        })
        .unwrap_err();
    assert!(
        matches!(error, Error::Contended { attempts: 16, .. }),
        "{error}"
    );
    assert_eq!(calls.get(), 16);
    assert_eq!(
        cache.ttl_remaining("p-001").unwrap(),
        TtlRemaining::NoSuchKey
    );
}

fn an_update_to_a_record_that_cannot_be_cached_is_refused_and_the_next_one_works(
    environment: &Environment,
) {
    let cache = cached(environment);
    let own = Record::from([("__cache_aside_x", "1")]);
    let error = cache.update("p-001", |_| Some(own.clone())).unwrap_err();
    assert!(
        matches!(error, Error::InvalidRecord { field: None, .. }),
        "{error}"
    );
    assert_eq!(stock(&cache), "42");
    assert!(cache.update_field("p-001", "stock", "41").unwrap());
    assert_eq!(stock(&cache), "41");
}

fn a_closure_that_panics_in_an_update_leaves_the_record_and_its_lease_to_the_others(
    environment: &Environment,
) {
    let cache = cached(environment);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        cache.update("p-001", |_| panic!("the closure's own"))
    }));
    assert!(panicked.is_err());
    assert_eq!(stock(&cache), "42");
    let other = environment.cache();
    for cache in [&cache, &other] {
        assert!(cache.update_field("p-001", "stock", "3").unwrap());
        assert!(
            cache
                .update("p-001", |record| Some(record.clone()))
                .unwrap()
        );
    }
    assert_eq!(stock(&cache), "3");
}

fn the_caches_own_field_names_are_refused(environment: &Environment) {
    let cache = cached(environment);
    let error = cache
        .update_field("p-001", "__cache_aside_x", "1")
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the record's field `__cache_aside_x` cannot be stored: names that begin with \
            `__cache_aside` are reserved for the cache"
    );
    let record = Record::from([("__cache_aside", "1")]);
    let error = cache.update("p-001", |_| Some(record.clone())).unwrap_err();
    // A name in a map-shaped record may be data, so it is not repeated.
    let said = "the record cannot be stored: names that begin with `__cache_aside` are reserved for \
            the cache";
    assert_eq!(error.to_string(), said);
}

#[derive(Clone, Serialize, Deserialize)]
struct Renamed {
    #[serde(alias = "old_name")]
    name: String,
}

fn an_update_that_cannot_be_merged_with_the_fields_that_stay_ends_the_record(
    environment: &Environment,
) {
    let old: Cache = environment.cache();
    let record = Record::from([("old_name", "Rye"), ("foreign", "1")]);
    old.get("p-001", |_| Ok::<_, Infallible>(Some(record)))
        .unwrap();
    let cache: Cache<Renamed> = environment.builder().build().unwrap();
    let rename = |name: &str| {
        let name = name.to_owned();
        cache.update("p-001", move |_| Some(Renamed { name: name.clone() }))
    };
    assert!(!rename("Wheat").unwrap());
    let load = |_: &str| {
        let name = "Wheat".to_owned();
        Ok::<_, Infallible>(Some(Renamed { name }))
    };
    let found = cache.get("p-001", load).unwrap();
    assert_eq!(found.source(), Source::Loaded);
    assert_eq!(cache.stats().unreadable_entries, 0);
    assert!(old.update_field("p-001", "foreign", "1").unwrap());
    assert!(rename("Oat").unwrap());
    let found = cache.get("p-001", load).unwrap();
    assert_eq!(found.source(), Source::Hit);
    assert_eq!(found.record().unwrap().name, "Oat");
}

on_both_stores! {
    an_update_that_cannot_be_merged_with_the_fields_that_stay_ends_the_record,
    an_invalidation_says_whether_there_was_a_record,
    a_field_is_updated_only_where_a_record_is_cached,
    an_update_starts_the_ttl_anew_unless_it_is_to_be_kept,
    the_ttl_tells_what_is_left_from_no_record,
    an_update_changes_adds_and_removes_fields,
    an_update_leaves_the_fields_that_the_type_does_not_know,
    an_update_that_declines_or_finds_nothing_changes_nothing,
    an_update_that_was_overtaken_sees_the_newer_record,
    an_update_that_is_always_overtaken_gives_up_and_leaves_nothing_stale,
    an_update_to_a_record_that_cannot_be_cached_is_refused_and_the_next_one_works,
    a_closure_that_panics_in_an_update_leaves_the_record_and_its_lease_to_the_others,
    the_caches_own_field_names_are_refused,
}
