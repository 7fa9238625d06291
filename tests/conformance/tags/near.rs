//! The near cache under tags.

use std::time::{Duration, Instant};

use cache_aside::{Cache, Source};

use super::{get, seen, tagged};
use crate::{environment::Environment, support::until};

/// A cache whose change streams are live.
fn near(environment: &Environment) -> Cache {
    let builder = environment.builder().near_cache(100);
    let cache: Cache = builder.loader_tags(true).build().unwrap();
    until(|| cache.stats().tracking_live);
    cache
}

/// Looks `k` up until the near cache answers.
fn settle(cache: &Cache, tags: &[&str], fresh: u32) {
    until(|| get(cache, tags, fresh).1 == Source::Near);
}

fn a_near_hit_under_tags_ends_with_any_of_them(environment: &Environment) {
    let (cache, other) = (near(environment), near(environment));
    for (fresh, tag) in [(1, "a"), (2, "b")] {
        settle(&cache, &["a", "b"], fresh);
        assert_eq!(get(&cache, &["b"], 9), (fresh, Source::Near));
        cache.invalidate_tag("c").unwrap();
        // The same process: at once.
        cache.invalidate_tag(tag).unwrap();
        let (number, source) = get(&cache, &["a", "b"], fresh + 1);
        assert_eq!((number, source), (fresh + 1, Source::Loaded));
    }
    settle(&cache, &["a", "b"], 3);
    // Another process: within `near_staleness`.
    other.invalidate_tag("a").unwrap();
    let ended = Instant::now();
    until(|| get(&cache, &["a", "b"], 4).0 == 4);
    assert!(ended.elapsed() < Duration::from_secs(10));
}

fn a_near_entry_answers_only_lookups_under_its_tags(environment: &Environment) {
    let cache = near(environment);
    settle(&cache, &["a"], 1);
    cache.invalidate_tag("b").unwrap();
    assert_eq!(get(&cache, &["a"], 2), (1, Source::Near));
    assert_eq!(get(&cache, &["a", "b"], 2), (2, Source::Loaded));
}

fn a_near_hit_ends_with_a_tag_of_its_loader(environment: &Environment) {
    let cache = near(environment);
    let look_up = |fresh| seen(&cache.options().get("k", tagged(fresh, &["a"])).unwrap());
    until(|| look_up(1).1 == Source::Near);
    cache.invalidate_tag("b").unwrap();
    assert_eq!(look_up(2), (1, Source::Near));
    cache.invalidate_tag("a").unwrap();
    assert_eq!(look_up(2), (2, Source::Loaded));
}

fn a_clear_by_tag_ends_all_near_entries(environment: &Environment) {
    let builder = environment.builder().near_cache(100);
    let cache: Cache = builder.clear_by_tag(true).build().unwrap();
    until(|| cache.stats().tracking_live);
    settle(&cache, &[], 1);
    cache.clear().unwrap();
    assert_eq!(get(&cache, &[], 2), (2, Source::Loaded));
}

on_both_stores! {
    a_near_hit_under_tags_ends_with_any_of_them,
    a_near_entry_answers_only_lookups_under_its_tags,
    a_near_hit_ends_with_a_tag_of_its_loader,
    a_clear_by_tag_ends_all_near_entries,
}
