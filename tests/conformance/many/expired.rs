//! Many records are expired, or read without a load.

use std::time::Duration;

use cache_aside::{Cache, Error, Lookup, Record, Source};

use super::*;
use crate::{
    environment::{Environment, keys},
    support::load_nothing,
};

const GRACE: Duration = Duration::from_secs(600);

fn with_grace(environment: &Environment) -> Cache {
    let builder = environment.builder().grace(GRACE).negative_ttl(GRACE / 100);
    builder.ttl(GRACE / 10).build().unwrap()
}

fn down(_: &[&str]) -> Result<Rows, &'static str> {
    Err("no connection")
}

fn each_of_many_expired_records_is_stale_and_none_that_was_not_named(environment: &Environment) {
    let cache = with_grace(environment);
    cache.get_many(["a", "b", "c"], rows("1")).unwrap();
    cache.get("none", load_nothing).unwrap();
    let expired = cache.expire_many(["a", "none", "b", "a", "no such"]);
    // `a` was named twice, and a cached "no such record" is removed.
    assert_eq!(expired.unwrap(), 4);
    assert!(cache.peek("none").unwrap().is_none());
    let found = cache.get_many(["a", "b", "c"], down).unwrap();
    assert_eq!(sources(&found), [Source::Stale, Source::Stale, Source::Hit]);
    assert_eq!(cache.expire_many([""; 0]).unwrap(), 0);
}

fn without_a_grace_many_expired_records_are_gone(environment: &Environment) {
    let cache = environment.cache();
    cache.get_many(["a", "b", "c"], rows("1")).unwrap();
    assert_eq!(cache.expire_many(["a", "b"]).unwrap(), 2);
    let cached = cache.peek_many(["a", "b", "c"]).unwrap();
    assert_eq!(
        cached.iter().map(Option::is_some).collect::<Vec<_>>(),
        [false, false, true]
    );
}

fn loads_under_way_are_ended_with_the_expired_records(environment: &Environment) {
    let cache = with_grace(environment);
    cache
        .get_many(["a", "b"], |ids| {
            assert_eq!(cache.expire_many(["a", "other"]).unwrap(), 0);
            rows("1")(ids)
        })
        .unwrap();
    let cached = cache.peek_many(["a", "b"]).unwrap();
    assert!(cached[0].is_none() && cached[1].is_some());
    assert_eq!(cache.stats().refused_fills, 1);
}

fn many_are_expired_under_their_own_prefix_and_removed_under_another(environment: &Environment) {
    let builder = environment.builder().grace(GRACE).prefix("test:new:");
    let new: Cache = builder.also_invalidates("test:old:").build().unwrap();
    let builder = environment.builder().grace(GRACE).prefix("test:old:");
    let old: Cache = builder.build().unwrap();
    for cache in [&new, &old] {
        cache.get_many(["a", "b"], rows("1")).unwrap();
    }
    assert_eq!(new.expire_many(["a", "b"]).unwrap(), 2);
    let kept = new.peek_many(["a", "b"]).unwrap();
    assert!(kept.iter().flatten().all(Lookup::is_stale) && kept.iter().all(Option::is_some));
    assert!(
        old.peek_many(["a", "b"])
            .unwrap()
            .iter()
            .all(Option::is_none)
    );
}

fn many_are_peeked_in_the_order_of_their_ids(environment: &Environment) {
    let cache = with_grace(environment);
    cache.get_many(["a", "b", "stale"], rows("1")).unwrap();
    cache.get("none", load_nothing).unwrap();
    cache.expire("stale").unwrap();
    // An entry that is no record.
    let (store, unreadable) = (environment.store(), keys("unreadable"));
    let token = cache_aside::store::Token::random();
    let skip = cache_aside::store::Recheck::Never;
    store.acquire(&unreadable, token, GRACE, skip).unwrap();
    let fields = vec![(b"__cache_aside_later".to_vec(), b"1".to_vec())];
    assert!(store.fill(&unreadable, token, GRACE, &fields).unwrap());

    let before = cache.stats();
    let ids = ["b", "no such", "none", "stale", "unreadable", "b", "a"];
    let cached = cache.peek_many(ids).unwrap();
    let told: Vec<_> = cached
        .iter()
        .map(|found| {
            let found = found.as_ref()?;
            let id = found.record().map(|record| record["id"].to_owned());
            Some((id, found.source()))
        })
        .collect();
    let record = |id: &str, source| Some((Some(id.to_owned()), source));
    let expected = [
        record("b", Source::Hit),
        None,
        Some((None, Source::Hit)),
        record("stale", Source::Stale),
        None,
        record("b", Source::Hit),
        record("a", Source::Hit),
    ];
    assert_eq!(told, expected);
    assert_eq!(cache.stats(), before, "a peek is no lookup");
    assert!(cache.peek_many([""; 0]).unwrap().is_empty());
}

fn an_id_that_cannot_be_one_is_refused_before_anything_is_sent(environment: &Environment) {
    let cache = with_grace(environment);
    cache.get_many(["a"], rows("1")).unwrap();
    for refused in [
        cache.expire_many(["a", ""]).map(drop),
        cache.peek_many(["a", ""]).map(drop),
    ] {
        assert!(matches!(refused, Err(Error::InvalidId { .. })));
    }
    assert!(cache.peek("a").unwrap().unwrap().source() == Source::Hit);
}

fn many_are_expired_and_peeked_by_slices(environment: &Environment) {
    let builder = environment.patient_builder().grace(GRACE);
    let cache: Cache = builder.ttl(GRACE).build().unwrap();
    let ids: Vec<_> = (0..10_100).map(|id| id.to_string()).collect();
    for some in ids.chunks(2_000) {
        cache.get_many(some, rows("1")).unwrap();
    }
    let kept = cache.peek_many(&ids).unwrap().into_iter().flatten().count() as u64;
    assert_eq!(cache.expire_many(&ids).unwrap(), kept);
    let stale = cache.peek_many(&ids).unwrap();
    let stale = stale
        .iter()
        .flatten()
        .filter(|it: &&Lookup<Record>| it.is_stale());
    assert_eq!(stale.count() as u64, kept);
}

on_both_stores! {
    each_of_many_expired_records_is_stale_and_none_that_was_not_named,
    without_a_grace_many_expired_records_are_gone,
    loads_under_way_are_ended_with_the_expired_records,
    many_are_expired_under_their_own_prefix_and_removed_under_another,
    many_are_peeked_in_the_order_of_their_ids,
    an_id_that_cannot_be_one_is_refused_before_anything_is_sent,
    many_are_expired_and_peeked_by_slices,
}
