//! Units of work with tags, and writes of records under tags.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
};

use cache_aside::{Cache, Error, Source, UnitOfWork};

use super::get;
use crate::{environment::Environment, held::version};

fn a_unit_ends_its_tags_when_it_commits(environment: &Environment) {
    let (cache, other) = (environment.cache(), environment.cache());
    get(&cache, &["a"], 1);
    let mut unit = UnitOfWork::new();
    unit.add(&cache, "another").unwrap();
    unit.add_tag(&cache, "a").unwrap();
    unit.add_tag(&other, "b").unwrap();
    unit.guard();
    // Tags have no guard.
    assert_eq!(get(&cache, &["a"], 2), (1, Source::Hit));
    let written = unit.commit();
    assert!(written.deferred().is_empty() && written.guard_error().is_none());
    assert_eq!(get(&cache, &["a"], 2), (2, Source::Loaded));
    // A unit may have tags only, and no guard.
    let mut unit = UnitOfWork::new();
    unit.add_tag(&cache, "a").unwrap();
    assert!(unit.commit().deferred().is_empty());
    assert_eq!(get(&cache, &["a"], 3), (3, Source::Loaded));
}

fn a_unit_that_is_dropped_ends_its_tags_only_after_its_guard(environment: &Environment) {
    let cache = environment.cache();
    get(&cache, &["a"], 1);
    let mut unit = UnitOfWork::new();
    unit.add_tag(&cache, "a").unwrap();
    unit.rollback();
    assert_eq!(get(&cache, &["a"], 2), (1, Source::Hit));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let mut unit = UnitOfWork::new();
        unit.add_tag(&cache, "a").unwrap();
        unit.guard();
        panic!("nobody knows whether the primary has committed");
    }));
    assert!(panicked.is_err());
    assert_eq!(get(&cache, &["a"], 2), (2, Source::Loaded));
}

fn a_unit_refuses_a_tag_that_no_key_can_have(environment: &Environment) {
    let cache = environment.cache();
    let mut unit = UnitOfWork::new();
    let refused = unit.add_tag(&cache, "").unwrap_err();
    assert!(matches!(refused, Error::InvalidSetting { .. }));
    assert!(unit.commit().deferred().is_empty());
}

fn an_invalidation_ends_a_record_under_tags(environment: &Environment) {
    let cache = environment.cache();
    get(&cache, &["a"], 1);
    assert!(cache.invalidate("k").unwrap());
    assert_eq!(get(&cache, &["a"], 2), (2, Source::Loaded));
    let _ = cache.write("k", || Ok::<_, Infallible>(())).unwrap();
    assert_eq!(get(&cache, &["a"], 3), (3, Source::Loaded));
    assert_eq!(cache.clear().unwrap(), 1);
    assert_eq!(get(&cache, &["a"], 4), (4, Source::Loaded));
}

fn an_update_leaves_a_record_under_its_tags(environment: &Environment) {
    let cache = environment.cache();
    get(&cache, &["a"], 1);
    assert!(cache.update_field("k", "version", "2").unwrap());
    assert!(cache.update("k", |_| Some(version(3))).unwrap());
    assert_eq!(get(&cache, &["a"], 9), (3, Source::Hit));
    cache.invalidate_tag("a").unwrap();
    assert!(cache.update_field("k", "version", "4").unwrap());
    assert_eq!(get(&cache, &["a"], 5), (5, Source::Loaded), "it had ended");
}

/// Nothing is known of the tags of its later lookups.
fn a_record_that_is_written_through_is_under_no_tag(environment: &Environment) {
    let cache: Cache = environment.cache();
    let written = cache.write_through("k", || Ok::<_, Infallible>(((), Some(version(1)))));
    assert!(written.unwrap().is_cached());
    assert_eq!(get(&cache, &[], 9), (1, Source::Hit));
    assert_eq!(get(&cache, &["a"], 2), (2, Source::Loaded));
}

on_both_stores! {
    a_unit_ends_its_tags_when_it_commits,
    a_unit_that_is_dropped_ends_its_tags_only_after_its_guard,
    a_unit_refuses_a_tag_that_no_key_can_have,
    an_invalidation_ends_a_record_under_tags,
    an_update_leaves_a_record_under_its_tags,
    a_record_that_is_written_through_is_under_no_tag,
}
