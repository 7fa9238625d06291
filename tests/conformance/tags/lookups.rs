//! Lookups whose callers name their tags.

use std::time::Duration;

use cache_aside::{
    Cache, Error, Miss, Source,
    store::{TAG_CLOCK_FIELD, TagKeys},
};

use super::{LONG, get, load, seen, stored};
use crate::{
    environment::Environment,
    support::{load_loaf, load_nothing},
};

fn an_invalidation_of_a_tag_ends_all_records_under_it_and_no_others(environment: &Environment) {
    let (cache, writer) = (environment.cache(), environment.cache());
    let lookups: [(&str, &[&str]); 4] = [
        ("one", &["a"]),
        ("two", &["b", "a"]),
        ("three", &["b"]),
        ("four", &["c"]),
    ];
    let get = |id, tags, fresh| seen(&cache.options().tags(tags).get(id, load(fresh)).unwrap());
    for (id, tags) in lookups {
        assert_eq!(get(id, tags, 1), (1, Source::Loaded));
        assert_eq!(get(id, tags, 9), (1, Source::Hit));
    }
    writer.invalidate_tag("a").unwrap();
    for (id, tags) in lookups {
        let expected = if tags.contains(&"a") {
            (2, Source::Loaded)
        } else {
            (1, Source::Hit)
        };
        assert_eq!(get(id, tags, 2), expected, "{id}");
    }
    writer.invalidate_tags(["b", "c"]).unwrap();
    for (id, tags) in lookups {
        let expected = if id == "one" {
            (2, Source::Hit)
        } else {
            (3, Source::Loaded)
        };
        assert_eq!(get(id, tags, 3), expected, "{id}");
    }
}

fn a_tag_is_shared_by_all_caches_of_its_namespace(environment: &Environment) {
    let pages: Cache = environment.builder().prefix("a:").build().unwrap();
    let results: Cache = environment.builder().prefix("b:").build().unwrap();
    let other = environment.builder().tag_namespace("test");
    let other: Cache = other.prefix("test:").build().unwrap();
    for cache in [&pages, &results, &other] {
        assert_eq!(get(cache, &["a"], 1), (1, Source::Loaded));
    }
    pages.invalidate_tag("a").unwrap();
    assert_eq!(get(&results, &["a"], 2), (2, Source::Loaded));
    assert_eq!(get(&pages, &["a"], 2), (2, Source::Loaded));
    assert_eq!(get(&other, &["a"], 2), (1, Source::Hit));
}

fn a_tag_is_invalidated_before_anything_is_under_it(environment: &Environment) {
    let cache = environment.cache();
    cache.invalidate_tag("a").unwrap();
    assert_eq!(get(&cache, &["a"], 1), (1, Source::Loaded));
    assert_eq!(get(&cache, &["a"], 2), (1, Source::Hit));
    cache.invalidate_tags(Vec::<String>::new()).unwrap();
    assert_eq!(get(&cache, &["a"], 2), (1, Source::Hit));
}

fn a_record_under_fewer_tags_answers_no_newer_tag(environment: &Environment) {
    let cache = environment.cache();
    assert_eq!(get(&cache, &["a"], 1), (1, Source::Loaded));
    cache.invalidate_tag("b").unwrap();
    assert_eq!(get(&cache, &["a"], 2), (1, Source::Hit));
    assert_eq!(get(&cache, &["a", "b"], 2), (2, Source::Loaded));
}

fn a_lookup_without_tags_reads_no_record_under_tags_nor_the_reverse(environment: &Environment) {
    let cache = environment.cache();
    assert_eq!(get(&cache, &["a"], 1), (1, Source::Loaded));
    assert!(cache.peek("k").unwrap().is_none());
    assert!(cache.get_fields("k", &["version"]).unwrap().is_none());
    assert_eq!(get(&cache, &[], 2), (2, Source::Loaded));
    assert_eq!(get(&cache, &[], 3), (2, Source::Hit));
    assert_eq!(get(&cache, &["a"], 3), (3, Source::Loaded));
    assert_eq!(get(&cache, &["a"], 4), (3, Source::Hit));
}

fn a_record_has_the_clock_from_before_its_load(environment: &Environment) {
    let cache = environment.cache();
    let store = environment.store().tagged().unwrap();
    let keys = TagKeys::of("cache", &[]).unwrap();
    let before = store.read_tags(&keys, LONG).unwrap().clock;
    let found = cache.options().tags(&["a"]).get("k", |id| {
        cache.invalidate_tag("b").unwrap();
        load_loaf(id)
    });
    assert!(!found.unwrap().is_hit());
    let entry = stored(environment);
    let clock = (TAG_CLOCK_FIELD.into(), before.to_string().into());
    assert!(entry.contains(&clock), "{entry:?}");
    let again = cache.options().tags(&["a"]).get("k", load_nothing).unwrap();
    assert!(again.is_hit());
}

fn a_missing_record_is_cached_under_its_tags(environment: &Environment) {
    let ttl = Duration::from_secs(20);
    let cache: Cache = environment.builder().negative_ttl(ttl).build().unwrap();
    let tags = ["a"];
    let under = cache.options().tags(&tags);
    assert!(under.get("k", load_nothing).unwrap().record().is_none());
    let found = under.get("k", load_loaf).unwrap();
    assert!(found.is_hit() && found.record().is_none());
    cache.invalidate_tag("a").unwrap();
    assert!(under.get("k", load_loaf).unwrap().record().is_some());
}

fn a_record_older_than_its_tag_is_a_miss_with_that_reason(environment: &Environment) {
    let (sender, reasons) = std::sync::mpsc::channel();
    let observer = move |_: &str, event: &cache_aside::Event<'_>| {
        if let cache_aside::Event::Missed { reason, .. } = event {
            let _ = sender.send(*reason);
        }
    };
    let sender = std::sync::Mutex::new(observer);
    let observer = move |cache: &str, event: &cache_aside::Event<'_>| {
        sender.lock().unwrap()(cache, event);
    };
    let cache: Cache = environment.builder().observer(observer).build().unwrap();
    get(&cache, &["a"], 1);
    cache.invalidate_tag("a").unwrap();
    get(&cache, &["a"], 2);
    let reasons: Vec<_> = reasons.try_iter().collect();
    assert_eq!(reasons, [Miss::Absent, Miss::OlderThanTag]);
    assert_eq!(cache.stats().unreadable_entries, 0);
}

fn a_tag_that_no_key_can_have_is_refused_before_anything_is_sent(environment: &Environment) {
    let cache = environment.cache();
    let long = "x".repeat((64 << 10) + 1);
    for wrong in ["", &*long] {
        let errors = [
            cache.invalidate_tag(wrong).unwrap_err(),
            cache.invalidate_tags(["a", wrong]).unwrap_err(),
            cache
                .options()
                .tags(&[wrong])
                .get("k", load_loaf)
                .unwrap_err(),
        ];
        for error in errors {
            assert!(
                matches!(
                    &error,
                    Error::InvalidSetting {
                        setting: "tags",
                        ..
                    }
                ),
                "{error:?}"
            );
        }
    }
    assert_eq!((cache.stats().loads, cache.stats().misses), (0, 0));
    for wrong in ["", "a}", "}"] {
        let built = environment
            .builder::<cache_aside::Record>()
            .tag_namespace(wrong)
            .build();
        let setting = "tag_namespace";
        assert!(matches!(&built, Err(Error::InvalidSetting { setting: it, .. }) if *it == setting));
    }
}

on_both_stores! {
    an_invalidation_of_a_tag_ends_all_records_under_it_and_no_others,
    a_tag_is_shared_by_all_caches_of_its_namespace,
    a_tag_is_invalidated_before_anything_is_under_it,
    a_record_under_fewer_tags_answers_no_newer_tag,
    a_lookup_without_tags_reads_no_record_under_tags_nor_the_reverse,
    a_record_has_the_clock_from_before_its_load,
    a_missing_record_is_cached_under_its_tags,
    a_record_older_than_its_tag_is_a_miss_with_that_reason,
    a_tag_that_no_key_can_have_is_refused_before_anything_is_sent,
}
