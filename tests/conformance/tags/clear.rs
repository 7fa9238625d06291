//! Caches that are cleared by a tag of their own.

use cache_aside::{Cache, Source};

use super::{get, load, seen};
use crate::{
    environment::Environment,
    held::{held, version},
    support::{load_loaf, load_nothing},
};

fn cache(environment: &Environment) -> Cache {
    environment.builder().clear_by_tag(true).build().unwrap()
}

fn a_clear_ends_all_records_of_the_cache_and_removes_none(environment: &Environment) {
    let (here, there) = (cache(environment), cache(environment));
    let other = environment.builder().prefix("a:").clear_by_tag(true);
    let other: Cache = other.build().unwrap();
    for cache in [&here, &other] {
        assert_eq!(get(cache, &[], 1), (1, Source::Loaded));
        assert_eq!(get(cache, &[], 2), (1, Source::Hit));
    }
    let mut progress = Vec::new();
    let cleared = there.clear_with_progress(|so_far| progress.push(so_far.fraction));
    assert_eq!((cleared.unwrap(), progress), (0, vec![1.0]));
    assert!(here.peek("k").unwrap().is_none());
    assert!(
        here.ttl_remaining("k").unwrap().left().is_some(),
        "it is there"
    );
    assert_eq!(get(&here, &[], 2), (2, Source::Loaded));
    assert_eq!(get(&there, &[], 3), (2, Source::Hit));
    assert_eq!(get(&other, &[], 3), (1, Source::Hit));
}

fn a_load_from_before_a_clear_answers_no_later_lookup(environment: &Environment) {
    let cache = cache(environment);
    let (old, holder) = held();
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| cache.get("k", old.load(1)).unwrap());
        holder.has_read.recv().unwrap();
        cache.clear().unwrap();
        assert_eq!(get(&cache, &[], 2), (2, Source::Loaded));
        holder.let_go.send(()).unwrap();
        slow.join().unwrap();
    });
    assert_eq!(get(&cache, &[], 3), (2, Source::Hit));
}

fn updates_and_expiry_keep_a_record_under_its_tag(environment: &Environment) {
    let cache = cache(environment);
    get(&cache, &[], 1);
    assert!(cache.update_field("k", "version", "2").unwrap());
    assert_eq!(get(&cache, &[], 9), (2, Source::Hit));
    assert!(cache.update("k", |_| Some(version(3))).unwrap());
    assert_eq!(get(&cache, &[], 9), (3, Source::Hit));
    let fields = cache.get_fields("k", &["version"]).unwrap().unwrap();
    assert_eq!(seen(&fields), (3, Source::Hit));
    cache.clear().unwrap();
    assert!(cache.peek("k").unwrap().is_none());
    assert_eq!(get(&cache, &[], 4), (4, Source::Loaded));
    assert!(cache.expire("k").unwrap());
    assert_eq!(get(&cache, &[], 5), (5, Source::Loaded));
}

fn a_record_that_is_written_through_is_under_the_tag(environment: &Environment) {
    let cache = cache(environment);
    let through = |number| {
        let record = Ok::<_, std::convert::Infallible>(((), Some(version(number))));
        cache.write_through("k", || record).unwrap()
    };
    assert!(through(1).is_cached());
    assert_eq!(get(&cache, &[], 9), (1, Source::Hit));
    cache.clear().unwrap();
    assert_eq!(get(&cache, &[], 2), (2, Source::Loaded));
    let written = cache.write_through("k", || {
        cache.clear().unwrap();
        Ok::<_, std::convert::Infallible>(((), Some(version(3))))
    });
    assert!(written.unwrap().is_cached());
    // The clear may have come after the change of the primary.
    assert_eq!(get(&cache, &[], 4), (4, Source::Loaded));
}

/// Such a lookup does not know whether they have ended.
fn a_lookup_reads_no_record_under_tags_of_another_caller(environment: &Environment) {
    let cache = cache(environment);
    for (others, fresh) in [(&[][..], 2), (&["b"], 3)] {
        assert_eq!(get(&cache, &["a"], 1), (1, Source::Loaded));
        cache.invalidate_tag("a").unwrap();
        assert!(cache.peek("k").unwrap().is_none());
        assert!(cache.get_fields("k", &["version"]).unwrap().is_none());
        assert_eq!(get(&cache, others, fresh), (fresh, Source::Loaded));
        cache.invalidate("k").unwrap();
    }
    assert_eq!(get(&cache, &["a"], 4), (4, Source::Loaded));
    assert_eq!(get(&cache, &["b", "a"], 5), (4, Source::Hit));
}

fn a_clear_reaches_the_other_prefixes_whatever_their_setting(environment: &Environment) {
    let old = environment.builder().prefix("a:");
    let old: Cache = old.build().unwrap();
    let middle = environment.builder().prefix("b:").clear_by_tag(true);
    let middle: Cache = middle.build().unwrap();
    let new = environment.builder().clear_by_tag(true);
    let new = new.also_invalidates("a:").also_invalidates("b:");
    let new: Cache = new.build().unwrap();
    for cache in [&old, &middle, &new] {
        cache.get("k", load(1)).unwrap();
    }
    assert_eq!(new.clear().unwrap(), 2);
    for cache in [&old, &middle, &new] {
        assert_eq!(seen(&cache.get("k", load(2)).unwrap()), (2, Source::Loaded));
    }
}

/// A program without the setting fills a record. It is under no tag, so no clear would end it.
fn a_record_of_a_cache_without_the_setting_is_not_read(environment: &Environment) {
    let (plain, cache) = (environment.cache(), cache(environment));
    plain.get("k", load_loaf).unwrap();
    assert!(cache.get("k", load_nothing).unwrap().record().is_none());
}

on_both_stores! {
    a_clear_ends_all_records_of_the_cache_and_removes_none,
    a_load_from_before_a_clear_answers_no_later_lookup,
    updates_and_expiry_keep_a_record_under_its_tag,
    a_record_that_is_written_through_is_under_the_tag,
    a_lookup_reads_no_record_under_tags_of_another_caller,
    a_clear_reaches_the_other_prefixes_whatever_their_setting,
    a_record_of_a_cache_without_the_setting_is_not_read,
}
