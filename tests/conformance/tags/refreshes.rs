//! Refreshes of records under tags: by callers and in the background.

use std::{convert::Infallible, time::Duration};

use cache_aside::{
    Cache, Loaded, LoadingCache, Record, Source,
    store::{TAG_CLOCK_FIELD, TagKeys},
};

use super::{LONG, get, load, seen, stored};
use crate::{environment::Environment, held::version, support::until};

fn stale(cache: &Cache) {
    assert!(cache.expire("k").unwrap());
}

fn a_stale_record_that_a_tag_has_ended_is_not_served(environment: &Environment) {
    let cache: Cache = environment.builder().grace(LONG).build().unwrap();
    let tags = ["a"];
    let under = cache.options().tags(&tags);
    let down = |_: &str| Err::<Option<Record>, _>("no connection");
    under.get("k", load(1)).unwrap();
    stale(&cache);
    assert_eq!(seen(&under.get("k", down).unwrap()), (1, Source::Stale));
    cache.invalidate_tag("a").unwrap();
    assert!(under.get("k", down).is_err());
    // The failed refresh has left a back-off, which stops no lookup without a record.
    assert_eq!(get(&cache, &["a"], 2), (2, Source::Loaded));
}

fn a_refresh_gives_the_record_the_clock_from_before_it(environment: &Environment) {
    let cache: Cache = environment.builder().grace(LONG).build().unwrap();
    get(&cache, &["a"], 1);
    stale(&cache);
    cache.invalidate_tag("b").unwrap();
    assert_eq!(get(&cache, &["a"], 2), (2, Source::Refreshed));
    assert_eq!(get(&cache, &["a", "b"], 3), (2, Source::Hit));
    stale(&cache);
    let tags = ["a"];
    let refreshed = cache.options().tags(&tags).get("k", |_| {
        cache.invalidate_tag("a").unwrap();
        Ok::<_, Infallible>(Some(version(3)))
    });
    assert_eq!(seen(&refreshed.unwrap()), (3, Source::Refreshed));
    assert_eq!(get(&cache, &["a"], 4), (4, Source::Loaded));
}

fn a_refresh_in_the_background_ends_with_its_tag(environment: &Environment) {
    let builder = environment.patient_builder().grace(LONG).loader_tags(true);
    let cache: Cache = builder.build().unwrap();
    let numbers = std::sync::atomic::AtomicU32::new(1);
    let pages = cache.loading_with_context(move |_| {
        let number = numbers.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Ok::<_, Infallible>(Loaded::new(version(number)).tags(["a"]))
    });
    assert_eq!(seen(&pages.get("k").unwrap()), (1, Source::Loaded));
    stale(&cache);
    assert_eq!(seen(&pages.get("k").unwrap()), (1, Source::Stale));
    until(|| seen(&pages.get("k").unwrap()) == (2, Source::Hit));
    cache.invalidate_tag("a").unwrap();
    assert_eq!(seen(&pages.get("k").unwrap()), (3, Source::Loaded));
    assert!(pages.shutdown(Duration::from_secs(20)));
}

/// The entry gets the clock of the lookup whose loader found it unchanged.
fn an_unchanged_record_is_good_for_tags_that_ended_before_its_reload(environment: &Environment) {
    let builder = environment.patient_builder().grace(LONG).loader_tags(true);
    let cache: Cache = builder.build().unwrap();
    let load = |_: &cache_aside::LoadContext<'_>, cached: Option<&Record>| {
        Ok::<_, Infallible>(match cached {
            Some(_) => Loaded::unchanged(),
            None => Loaded::new(version(1)).tags(["a"]),
        })
    };
    let pages = LoadingCache::builder_with_cached(&cache, load)
        .build()
        .unwrap();
    assert_eq!(seen(&pages.get("k").unwrap()), (1, Source::Loaded));
    cache.invalidate_tag("b").unwrap();
    stale(&cache);
    assert_eq!(seen(&pages.get("k").unwrap()), (1, Source::Stale));
    until(|| seen(&pages.get("k").unwrap()) == (1, Source::Hit));
    let store = environment.store().tagged().unwrap();
    let keys = TagKeys::of("cache", &[]).unwrap();
    let clock = store.read_tags(&keys, LONG).unwrap().clock;
    let field = (TAG_CLOCK_FIELD.into(), clock.to_string().into());
    assert!(stored(environment).contains(&field));
    cache.invalidate_tag("a").unwrap();
    assert_eq!(seen(&pages.get("k").unwrap()), (1, Source::Loaded));
}

/// The load moves to another thread, with the clock that its caller has read.
fn a_load_under_a_hard_timeout_is_cached_under_its_tags(environment: &Environment) {
    let builder = environment.patient_builder().clear_by_tag(true);
    let cache: Cache = builder.loader_tags(true).build().unwrap();
    let pages = LoadingCache::builder_with_context(&cache, |_| {
        Ok::<_, Infallible>(Loaded::new(version(1)).tags(["a"]))
    });
    let pages = pages.hard_timeout(Duration::from_secs(20)).build().unwrap();
    for end in [0, 1] {
        assert_eq!(seen(&pages.get("k").unwrap()), (1, Source::Loaded));
        assert_eq!(seen(&pages.get("k").unwrap()), (1, Source::Hit));
        if end == 0 {
            cache.invalidate_tag("a").unwrap();
        } else {
            cache.clear().unwrap();
        }
        assert_eq!(seen(&pages.get("k").unwrap()), (1, Source::Loaded));
        cache.invalidate("k").unwrap();
    }
    assert_eq!(cache.stats().background_loads, 4);
}

/// The loads of a cache with versions may read a replica that lags.
fn a_load_after_the_end_of_a_tag_reads_the_primary(environment: &Environment) {
    let builder = environment.builder().versions(LONG);
    let cache: Cache = builder.build().unwrap();
    let tags = ["a"];
    let reads_primary = || {
        let mut reads_primary = None;
        let found = cache
            .options()
            .tags(&tags)
            .get_with_context("k", |context| {
                reads_primary = Some(context.read_primary());
                Ok::<_, Infallible>(Some(version(1)))
            });
        found.unwrap();
        reads_primary
    };
    assert_eq!(reads_primary(), Some(false));
    assert_eq!(reads_primary(), None, "a hit");
    environment.cache().invalidate_tag("b").unwrap();
    assert_eq!(reads_primary(), None);
    cache.invalidate_tag("a").unwrap();
    assert_eq!(reads_primary(), Some(true));
}

on_both_stores! {
    a_stale_record_that_a_tag_has_ended_is_not_served,
    a_refresh_gives_the_record_the_clock_from_before_it,
    a_refresh_in_the_background_ends_with_its_tag,
    an_unchanged_record_is_good_for_tags_that_ended_before_its_reload,
    a_load_under_a_hard_timeout_is_cached_under_its_tags,
    a_load_after_the_end_of_a_tag_reads_the_primary,
}
