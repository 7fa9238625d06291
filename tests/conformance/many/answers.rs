//! What a batch returns, and which requests it sends.

use std::{sync::Mutex, time::Duration};

use cache_aside::{Cache, Error};

use super::*;
use crate::{
    environment::Environment,
    support::{load_loaf, loaf},
};

fn a_batch_is_loaded_once_and_hit_from_then_on(environment: &Environment) {
    let cache = environment.cache();
    let calls = Mutex::new(Vec::new());
    let load = |missing: &[&str]| {
        calls.lock().unwrap().push(missing.join(" "));
        rows("1")(missing)
    };
    let found = cache.get_many(["c", "a", "b"], load).unwrap();
    assert_eq!(ids(&found), ["c", "a", "b"]);
    assert_eq!(sources(&found), [Source::Loaded; 3]);
    let found = cache.get_many(["b", "d", "a"], load).unwrap();
    assert_eq!(ids(&found), ["b", "d", "a"]);
    assert_eq!(sources(&found), [Source::Hit, Source::Loaded, Source::Hit]);
    let found = cache
        .get_many(vec!["a".to_owned(), "b".to_owned()], never)
        .unwrap();
    assert_eq!(sources(&found), [Source::Hit; 2]);
    assert_eq!(*calls.lock().unwrap(), ["c a b", "d"]);
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.loads), (4, 4, 2));
    assert_eq!((stats.refused_fills, stats.degraded), (0, 0));
    // A record that a batch has cached is a hit for a single lookup.
    assert!(cache.get("d", load_loaf).unwrap().is_hit());
}

fn a_batch_of_none_asks_nobody(environment: &Environment) {
    let cache = environment.cache();
    assert!(cache.get_many([""; 0], never).unwrap().is_empty());
    assert_eq!(cache.stats(), environment.cache().stats());
}

fn an_id_that_comes_twice_is_one_question_and_has_its_answer_in_each_place(
    environment: &Environment,
) {
    let cache = environment.cache();
    let load = |missing: &[&str]| {
        assert_eq!(missing, ["a", "b"]);
        rows("1")(missing)
    };
    let found = cache.get_many(["a", "b", "a", "a"], load).unwrap();
    assert_eq!(ids(&found), ["a", "b", "a", "a"]);
    let found = cache.get_many(["b", "b"], never).unwrap();
    assert_eq!(ids(&found), ["b", "b"]);
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.loads), (1, 2, 1));
}

fn an_id_that_cannot_be_one_is_refused_before_anything_is_loaded(environment: &Environment) {
    let cache = environment.cache();
    let long = "x".repeat((64 << 10) + 1);
    for bad in ["", &long] {
        let refused = cache.get_many(["a", bad], never);
        assert!(matches!(refused, Err(Error::InvalidId { .. })));
    }
    assert_eq!(cache.stats().misses, 0);
}

fn what_the_loader_leaves_out_has_no_record_and_what_it_adds_is_ignored(environment: &Environment) {
    let cache = environment.cache();
    let load = |_: &[&str]| rows("1")(&["b", "more"]);
    let found = cache.get_many(["a", "b"], load).unwrap();
    assert!(found[0].record().is_none() && found[1].record().is_some());
    assert!(cache.peek("more").unwrap().is_none());
    assert!(!environment.is_held("a"), "its lease is given back");
    // It is asked for again.
    let found = cache.get_many(["a", "b"], rows("2")).unwrap();
    assert_eq!(versions(&found), ["2", "1"]);

    let cache = environment.builder().negative_ttl(Duration::from_secs(5));
    let cache: Cache = cache.build().unwrap();
    let nothing = |_: &[&str]| Ok::<_, Infallible>(Rows::new());
    cache.get_many(["x", "y"], nothing).unwrap();
    let found = cache.get_many(["x", "y"], never).unwrap();
    assert!(
        found
            .iter()
            .all(|found| found.is_hit() && found.record().is_none())
    );
    assert_eq!(cache.stats().negative_hits, 2);
}

fn pairs_of_any_kind_are_records(environment: &Environment) {
    let cache = environment.cache();
    let load = |missing: &[&str]| {
        let pairs = missing.iter().map(|id| (id.to_string(), row(id, "1")));
        Ok::<_, Infallible>(pairs.collect::<Vec<_>>())
    };
    let found = cache.get_many(&["a", "b"], load).unwrap();
    assert_eq!(ids(&found), ["a", "b"]);
    let load = |_: &[&str]| Ok::<_, Infallible>([("c", row("c", "1"))]);
    let found = cache
        .options()
        .ttl(Duration::from_secs(3))
        .get_many(["c"], load);
    assert_eq!(ids(&found.unwrap()), ["c"]);
    let left = cache.ttl_remaining("c").unwrap().left().unwrap();
    assert!(left <= Duration::from_secs(3));
}

fn a_batch_that_skips_the_cache_neither_reads_nor_writes_it(environment: &Environment) {
    let cache = environment.cache();
    cache.get_many(["a"], rows("1")).unwrap();
    let skipping = cache.options().skip_cache(true);
    let found = skipping.get_many(["a", "b", "a"], rows("2")).unwrap();
    assert_eq!(versions(&found), ["2"; 3]);
    assert!(cache.peek("b").unwrap().is_none());
    assert_eq!(cache.stats().loads, 2);
    assert!(skipping.get_many([""; 0], never).unwrap().is_empty());
}

fn what_cannot_be_read_is_loaded_and_replaced(environment: &Environment) {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Counted {
        version: u32,
    }
    let cache = environment.cache();
    cache
        .get("a", |_| Ok::<_, Infallible>(Some(row("a", "one"))))
        .unwrap();
    let typed: Cache<Counted> = environment.builder().build().unwrap();
    let load = |missing: &[&str]| {
        let version = |id: &&str| (id.to_string(), Counted { version: 7 });
        Ok::<_, Infallible>(missing.iter().map(version).collect::<HashMap<_, _>>())
    };
    let found = typed.get_many(["a", "b"], load).unwrap();
    assert!(
        found
            .iter()
            .all(|found| found.record().unwrap().version == 7)
    );
    assert_eq!(typed.stats().unreadable_entries, 1);
    let again = |_: &[&str]| -> Result<Vec<(String, Counted)>, Infallible> { unreachable!() };
    typed.get_many(["a", "b"], again).unwrap();
}

fn a_loaf_is_a_loaf(environment: &Environment) {
    let cache = environment.cache();
    let load = |_: &[&str]| Ok::<_, Infallible>([("p-001", loaf())]);
    let found = cache.get_many(["p-001"], load).unwrap();
    assert_eq!(**found[0].record().unwrap(), loaf());
    assert_eq!(
        cache.get("p-001", load_loaf).unwrap().record(),
        found[0].record()
    );
}

on_both_stores! {
    a_batch_is_loaded_once_and_hit_from_then_on,
    a_batch_of_none_asks_nobody,
    an_id_that_comes_twice_is_one_question_and_has_its_answer_in_each_place,
    an_id_that_cannot_be_one_is_refused_before_anything_is_loaded,
    what_the_loader_leaves_out_has_no_record_and_what_it_adds_is_ignored,
    pairs_of_any_kind_are_records,
    a_batch_that_skips_the_cache_neither_reads_nor_writes_it,
    what_cannot_be_read_is_loaded_and_replaced,
    a_loaf_is_a_loaf,
}
