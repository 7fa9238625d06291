//! Tags that the loader names.

use std::{convert::Infallible, thread};

use cache_aside::{Cache, Error, Loaded, Source, store::TAG_LIST_FIELD};

use super::{get, load, seen, stored, tagged};
use crate::{
    environment::Environment,
    held::{held, version},
    support::{load_loaf, until},
};

fn cache(environment: &Environment) -> Cache {
    environment.builder().loader_tags(true).build().unwrap()
}

/// A lookup whose loader would name these tags.
fn look_up(cache: &Cache, fresh: u32, tags: &'static [&'static str]) -> (u32, Source) {
    seen(&cache.options().get("k", tagged(fresh, tags)).unwrap())
}

fn a_record_ends_with_any_tag_that_its_loader_named(environment: &Environment) {
    let (here, there) = (cache(environment), cache(environment));
    for (fresh, tag) in [(1, "a"), (2, "b"), (3, "c:d")] {
        let tags = &["a", "b", "c:d"];
        assert_eq!(look_up(&here, fresh, tags), (fresh, Source::Loaded));
        assert_eq!(look_up(&there, 9, &[]), (fresh, Source::Hit));
        there.invalidate_tag("e").unwrap();
        // Now the tags of the record are read by a second request.
        assert_eq!(look_up(&there, 9, &[]), (fresh, Source::Hit));
        assert_eq!(
            seen(&there.peek("k").unwrap().unwrap()),
            (fresh, Source::Hit)
        );
        assert!(there.get_fields("k", &["version"]).unwrap().is_some());
        there.invalidate_tag(tag).unwrap();
        assert!(here.peek("k").unwrap().is_none());
        assert!(here.get_fields("k", &["version"]).unwrap().is_none());
        assert_eq!(here.peek_many(["k"]).unwrap().len(), 1);
        assert!(here.peek_many(["k"]).unwrap()[0].is_none());
    }
}

fn the_entry_lists_the_tags(environment: &Environment) {
    look_up(&cache(environment), 1, &["a", "b:c"]);
    let list = (TAG_LIST_FIELD.into(), "1:a3:b:c".into());
    let entry = stored(environment);
    assert!(entry.contains(&list), "{entry:?}");
}

fn a_record_without_tags_is_cached_on_such_a_cache_as_on_any(environment: &Environment) {
    let cache = cache(environment);
    assert!(!cache.get("k", load_loaf).unwrap().is_hit());
    cache.invalidate_tag("a").unwrap();
    assert!(cache.get("k", load_loaf).unwrap().is_hit());
    assert!(cache.invalidate("k").unwrap());
}

fn tags_of_the_caller_and_of_the_loader_go_together(environment: &Environment) {
    let cache = cache(environment);
    for (fresh, tag) in [(1, "a"), (2, "b")] {
        let callers = ["a"];
        let under = cache.options().tags(&callers);
        let found = under.get("k", tagged(fresh, &["b"])).unwrap();
        assert_eq!(seen(&found), (fresh, Source::Loaded));
        assert_eq!(get(&cache, &["a"], 9), (fresh, Source::Hit));
        cache.invalidate_tag(tag).unwrap();
    }
    assert_eq!(get(&cache, &["a"], 9), (9, Source::Loaded));
}

/// So a lookup that does not name the tags ends with them too.
fn the_entry_lists_the_tags_of_the_caller_as_well(environment: &Environment) {
    let cache = cache(environment);
    let plain = |fresh| seen(&cache.get("k", load(fresh)).unwrap());
    let (callers, rows) = (["a"], |_: &[&str]| Ok::<_, Infallible>([("k", version(9))]));
    for fresh in [1, 2] {
        let under = cache.options().tags(&callers);
        let found = match fresh {
            1 => under.get("k", tagged(1, &["b"])).unwrap(),
            _ => under.get_many(["k"], rows).unwrap().remove(0),
        };
        let (number, source) = seen(&found);
        assert_eq!(source, Source::Loaded);
        cache.invalidate_tag("other").unwrap();
        assert_eq!(get(&cache, &callers, 0), (number, Source::Hit));
        assert_eq!(plain(0), (number, Source::Hit));
        assert_eq!(seen(&cache.peek("k").unwrap().unwrap()).0, number);
        cache.invalidate_tag("a").unwrap();
        assert!(cache.peek("k").unwrap().is_none());
        assert!(cache.get_fields("k", &["version"]).unwrap().is_none());
        assert_eq!(plain(3), (3, Source::Loaded));
        cache.invalidate("k").unwrap();
    }
}

fn a_batch_reads_the_tags_of_all_its_records(environment: &Environment) {
    let cache = cache(environment);
    for (id, tags) in [("k", &["a"][..]), ("l", &["b"]), ("m", &[])] {
        let load = |_: &str| Ok::<_, Infallible>(Loaded::new(version(1)).tags(tags.to_vec()));
        cache.options().get(id, load).unwrap();
    }
    cache.invalidate_tag("b").unwrap();
    let rows = |ids: &[&str]| {
        let rows = ids.iter().map(|&id| (id.to_owned(), version(2)));
        Ok::<_, Infallible>(rows.collect::<Vec<_>>())
    };
    let found = cache.get_many(["k", "l", "m"], rows).unwrap();
    let found: Vec<_> = found.iter().map(seen).collect();
    assert_eq!(
        found,
        [(1, Source::Hit), (2, Source::Loaded), (1, Source::Hit)]
    );
}

/// Its tags are not known before it ends, so it may be under the tag that was invalidated.
fn a_load_is_joined_only_while_nothing_at_all_is_invalidated(environment: &Environment) {
    let cache = cache(environment);
    let (started, has_started) = std::sync::mpsc::channel();
    let (release, is_released) = std::sync::mpsc::channel::<()>();
    thread::scope(|scope| {
        let slow = &cache;
        let slow = scope.spawn(move || {
            let load = |_: &str| {
                started.send(()).unwrap();
                is_released.recv().unwrap();
                Ok::<_, Infallible>(Loaded::new(version(1)).tags(["a"]))
            };
            slow.options().get("k", load).unwrap()
        });
        has_started.recv().unwrap();
        cache.invalidate_tag("a").unwrap();
        assert_eq!(look_up(&cache, 2, &["a"]), (2, Source::Loaded));
        release.send(()).unwrap();
        assert_eq!(seen(&slow.join().unwrap()).0, 1);
    });
    // The first load has filled, and its entry lists the tag.
    assert_eq!(look_up(&cache, 3, &["a"]), (3, Source::Loaded));
    assert_eq!(look_up(&cache, 4, &["a"]), (3, Source::Hit));
    assert_eq!(cache.stats().refused_fills, 0);
}

/// A lookup that cannot share a load must not end it either.
fn a_record_is_cached_although_other_tags_are_invalidated_during_its_load(
    environment: &Environment,
) {
    let (cache, other) = (cache(environment), cache(environment));
    // The tag has a value. One that is missing gets the clock, and counts as invalidated now.
    look_up(&cache, 0, &["a"]);
    cache.invalidate("k").unwrap();
    let found = cache.options().get("k", |_| {
        for fresh in [2, 3] {
            other.invalidate_tag("another").unwrap();
            assert_eq!(look_up(&other, fresh, &["a"]), (fresh, Source::Loaded));
        }
        Ok::<_, Infallible>(Loaded::new(version(1)).tags(["a"]))
    });
    assert_eq!(seen(&found.unwrap()), (1, Source::Loaded));
    for reader in [&cache, &other] {
        assert_eq!(look_up(reader, 4, &["a"]), (1, Source::Hit));
        assert_eq!(reader.stats().refused_fills, 0);
    }
}

/// They have read the same clock, so what one of them loads is as new as what the other would. A
/// follower that comes too late loads for itself, so it is tried again.
fn lookups_that_cannot_share_a_load_share_the_one_beside_it(environment: &Environment) {
    let (cache, other) = (cache(environment), cache(environment));
    let shares = |id: &str| {
        let answer = cache.options().get(id, |_| {
            other.invalidate_tag("another").unwrap();
            let before = other.stats();
            let (slow, holder) = held();
            let shared = thread::scope(|scope| {
                let reader = &other;
                let beside = scope.spawn(move || reader.get(id, slow.load(2)).unwrap());
                holder.has_read.recv().unwrap();
                let follower = scope.spawn(|| seen(&other.get(id, load(3)).unwrap()).0);
                until(|| other.stats().misses == before.misses + 2);
                holder.let_go.send(()).unwrap();
                assert_eq!(seen(&beside.join().unwrap()), (2, Source::Loaded));
                follower.join().unwrap() == 2
            });
            let loads = other.stats().loads - before.loads;
            assert_eq!(loads, if shared { 1 } else { 2 });
            Ok::<_, Infallible>(Loaded::new(version(u32::from(shared))).tags(["a"]))
        });
        seen(&answer.unwrap()).0 == 1
    };
    assert!((0..50).any(|nth: u32| shares(&nth.to_string())));
}

fn a_cache_without_the_setting_returns_such_a_record_and_does_not_cache_it(
    environment: &Environment,
) {
    let cache = environment.cache();
    for _ in 0..2 {
        assert_eq!(look_up(&cache, 1, &["a"]), (1, Source::Loaded));
    }
    assert_eq!(cache.stats().unstorable_records, 2);
    let strict = environment.builder().fail_on_unstorable(true);
    let strict: Cache = strict.build().unwrap();
    let refused = strict.options().get("k", tagged(1, &["a"])).unwrap_err();
    assert!(matches!(refused, Error::InvalidRecord { .. }));
    assert!(refused.to_string().contains("loader_tags"), "{refused}");
}

/// A cache without the setting does not read the tags of the record.
fn a_cache_without_the_setting_reads_no_record_with_tags_of_its_loader(environment: &Environment) {
    look_up(&cache(environment), 1, &["a"]);
    let plain = environment.cache();
    assert_eq!(get(&plain, &["b"], 2), (2, Source::Loaded));
}

fn a_tag_that_no_key_can_have_makes_the_record_unstorable(environment: &Environment) {
    let cache = cache(environment);
    assert_eq!(look_up(&cache, 1, &[""]), (1, Source::Loaded));
    assert_eq!(cache.stats().unstorable_records, 1);
    assert_eq!(look_up(&cache, 2, &["a"]), (2, Source::Loaded));
}

on_both_stores! {
    a_record_ends_with_any_tag_that_its_loader_named,
    the_entry_lists_the_tags,
    a_record_without_tags_is_cached_on_such_a_cache_as_on_any,
    tags_of_the_caller_and_of_the_loader_go_together,
    the_entry_lists_the_tags_of_the_caller_as_well,
    a_batch_reads_the_tags_of_all_its_records,
    a_load_is_joined_only_while_nothing_at_all_is_invalidated,
    a_record_is_cached_although_other_tags_are_invalidated_during_its_load,
    lookups_that_cannot_share_a_load_share_the_one_beside_it,
    a_cache_without_the_setting_returns_such_a_record_and_does_not_cache_it,
    a_cache_without_the_setting_reads_no_record_with_tags_of_its_loader,
    a_tag_that_no_key_can_have_makes_the_record_unstorable,
}
