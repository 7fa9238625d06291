//! Batches under tags.

use std::convert::Infallible;

use cache_aside::{Cache, Record, Source};

use super::{get, seen};
use crate::{environment::Environment, held::version};

fn rows(number: u32) -> impl Fn(&[&str]) -> Result<Vec<(String, Record)>, Infallible> {
    move |ids| {
        Ok(ids
            .iter()
            .map(|&id| (id.to_owned(), version(number)))
            .collect())
    }
}

fn get_many(cache: &Cache, ids: &[&str], tags: &[&str], fresh: u32) -> Vec<(u32, Source)> {
    let found = cache
        .options()
        .tags(tags)
        .get_many(ids, rows(fresh))
        .unwrap();
    found.iter().map(seen).collect()
}

fn a_batch_is_under_tags_as_single_lookups_are(environment: &Environment) {
    let (cache, writer) = (environment.cache(), environment.cache());
    let ids = ["k", "l", "m"];
    assert_eq!(get_many(&cache, &ids, &["a"], 1), [(1, Source::Loaded); 3]);
    assert_eq!(get_many(&cache, &ids, &["a"], 2), [(1, Source::Hit); 3]);
    assert_eq!(get(&cache, &["a"], 2), (1, Source::Hit));
    writer.invalidate_tag("b").unwrap();
    assert_eq!(get_many(&cache, &ids, &["a"], 2), [(1, Source::Hit); 3]);
    writer.invalidate_tag("a").unwrap();
    assert_eq!(get(&cache, &["a"], 2), (2, Source::Loaded));
    let found = get_many(&cache, &ids, &["a"], 3);
    assert_eq!(
        found,
        [(2, Source::Hit), (3, Source::Loaded), (3, Source::Loaded)]
    );
}

fn a_batch_from_before_an_invalidation_answers_no_later_lookup(environment: &Environment) {
    let cache = environment.cache();
    let tags = ["a"];
    let under = cache.options().tags(&tags);
    let load = |ids: &[&str]| {
        cache.invalidate_tag("a").unwrap();
        rows(1)(ids)
    };
    assert_eq!(under.get_many(["k", "l"], load).unwrap().len(), 2);
    let found = get_many(&cache, &["k", "l"], &["a"], 2);
    assert_eq!(found, [(2, Source::Loaded); 2]);
    assert_eq!(get(&cache, &["a"], 3), (2, Source::Hit));
}

on_both_stores! {
    a_batch_is_under_tags_as_single_lookups_are,
    a_batch_from_before_an_invalidation_answers_no_later_lookup,
}
