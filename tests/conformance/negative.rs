//! Cached "no such record" entries.

use std::{cell::Cell, time::Duration};

use crate::{
    environment::{Environment, keys},
    support::{load_loaf, load_nothing, loaf, until},
};
use cache_aside::{
    Cache, Error, Record, Source, TtlRemaining,
    store::{Diff, Entry, Update},
};

const NEGATIVE_TTL: Duration = Duration::from_secs(5);

fn cache(environment: &Environment) -> Cache {
    let builder = environment.builder().negative_ttl(NEGATIVE_TTL);
    builder.build().unwrap()
}

fn a_record_that_is_not_there_is_asked_for_once(environment: &Environment) {
    let cache = cache(environment);
    let first = cache.get("nope", load_nothing).unwrap();
    assert_eq!(first.source(), Source::Loaded);
    assert!(first.record().is_none());

    let second = cache.get("nope", load_loaf).unwrap();
    assert!(second.is_hit() && second.record().is_none());
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.hits, stats.negative_hits), (1, 1, 1));

    let left = cache.ttl_remaining("nope").unwrap().left().unwrap();
    assert!(left <= NEGATIVE_TTL && left > NEGATIVE_TTL / 2, "{left:?}");
}

fn it_is_kept_as_one_field_that_says_so(environment: &Environment) {
    cache(environment).get("nope", load_nothing).unwrap();
    let field = ("__cache_aside_not_found".into(), "1".into());
    let entry = environment.store().read("test:nope").unwrap();
    assert_eq!(entry, Entry::Record(vec![field]));
}

fn an_invalidation_after_an_insert_ends_it(environment: &Environment) {
    let cache = cache(environment);
    cache.get("p-001", load_nothing).unwrap();
    assert!(cache.invalidate("p-001").unwrap());
    let found = cache.get("p-001", load_loaf).unwrap();
    assert_eq!(**found.record().unwrap(), loaf());
}

fn without_the_setting_nothing_is_kept_but_what_others_kept_is_read(environment: &Environment) {
    let plain = environment.cache();
    plain.get("nope", load_nothing).unwrap();
    assert_eq!(
        plain.ttl_remaining("nope").unwrap(),
        TtlRemaining::NoSuchKey
    );
    cache(environment).get("nope", load_nothing).unwrap();
    assert!(plain.get("nope", load_loaf).unwrap().is_hit());
}

fn a_loader_that_fails_is_not_taken_for_one_that_found_nothing(environment: &Environment) {
    let cache = cache(environment);
    let failed = cache.get("p-001", |_| Err::<Option<Record>, _>("no connection"));
    assert!(matches!(failed, Err(Error::Loader(_))));
    assert!(cache.get("p-001", load_loaf).unwrap().record().is_some());
}

fn those_who_wait_in_another_process_are_told_as_well(environment: &Environment) {
    let (here, there) = (cache(environment), cache(environment));
    std::thread::scope(|scope| {
        let waiting = Cell::new(None);
        here.get("nope", |id| {
            waiting.set(Some(scope.spawn(|| there.get("nope", load_loaf))));
            until(|| there.stats().misses == 1);
            load_nothing(id)
        })
        .unwrap();
        let waited = waiting.take().unwrap().join().unwrap().unwrap();
        // Before or after the fill it got the same answer: none.
        assert!(waited.record().is_none(), "{waited:?}");
    });
    assert_eq!(there.stats().loads, 0);
}

/// The update says that the primary has a record by now.
fn an_update_of_what_was_not_there_ends_it_and_writes_no_part_of_a_record(
    environment: &Environment,
) {
    let cache = cache(environment);
    let is_removed = || cache.ttl_remaining("p-001").unwrap() == TtlRemaining::NoSuchKey;

    cache.get("p-001", load_nothing).unwrap();
    assert!(!cache.update_field("p-001", "stock", "41").unwrap());
    assert!(is_removed());

    cache.get("p-001", load_nothing).unwrap();
    let changed = cache.update("p-001", |_| unreachable!("there is no record"));
    assert!(!changed.unwrap());
    assert!(is_removed());
}

fn fields_that_somebody_added_to_it_make_it_unreadable(environment: &Environment) {
    let cache = cache(environment);
    cache.get("p-001", load_nothing).unwrap();
    let add = &mut |_| {
        let set = vec![("stock".into(), "41".into())];
        let removed = Vec::new();
        Some(Diff { set, removed })
    };
    let added = environment
        .store()
        .update(&keys("p-001"), None, add)
        .unwrap();
    assert_eq!(added, Update::Changed);
    let found = cache.get("p-001", load_loaf).unwrap();
    assert_eq!(found.source(), Source::Loaded);
    assert_eq!(cache.stats().unreadable_entries, 1);
    assert_eq!(
        **cache.get("p-001", load_loaf).unwrap().record().unwrap(),
        loaf()
    );
}

on_both_stores! {
    a_record_that_is_not_there_is_asked_for_once,
    it_is_kept_as_one_field_that_says_so,
    an_invalidation_after_an_insert_ends_it,
    without_the_setting_nothing_is_kept_but_what_others_kept_is_read,
    a_loader_that_fails_is_not_taken_for_one_that_found_nothing,
    those_who_wait_in_another_process_are_told_as_well,
    an_update_of_what_was_not_there_ends_it_and_writes_no_part_of_a_record,
    fields_that_somebody_added_to_it_make_it_unreadable,
}
