//! Tags on a cluster: the slot of the tags, and its migration.

use std::{sync::Arc, time::Duration};

use cache_aside::{
    Cache, Loaded, Source, TtlRemaining,
    store::{Entry, Keys, Recheck, Store, TagKeys, TagValues, TaggedStore, Token},
};
use redis::cmd;

use super::load;
use crate::{
    support::until,
    test_cluster::{Cluster, ask},
};

const LIFE: Duration = Duration::from_secs(600);

/// A cluster of two masters, and a store on it.
fn ground() -> (Cluster, Arc<dyn Store>) {
    let cluster = Cluster::start(2, 0);
    let store = cluster.redis().build().unwrap().store();
    (cluster, store)
}

fn keys() -> TagKeys {
    TagKeys::of("test", &["a", "b"]).unwrap()
}

fn tags(store: &Arc<dyn Store>) -> &dyn TaggedStore {
    store.tagged().unwrap()
}

fn read(store: &Arc<dyn Store>) -> TagValues {
    tags(store).read_tags(&keys(), LIFE).unwrap()
}

fn end(store: &Arc<dyn Store>) {
    tags(store).invalidate_tags(&keys(), LIFE, None).unwrap();
}

/// A data key at each of the two nodes.
fn data(cluster: &Cluster) -> [String; 2] {
    [0, 1].map(|node| {
        let mut all = (0..).map(|number| format!("test:{number}"));
        all.find(|key| cluster.owner_of(key) == Some(node)).unwrap()
    })
}

#[test]
fn all_tags_of_a_namespace_are_in_one_slot() {
    let (cluster, _) = ground();
    let keys = TagKeys::of("test", &["", "a", "{b}", "}"]).unwrap();
    let slot = cluster.slot_of(&keys.clock);
    for key in keys.tags.iter().chain([&keys.floor]) {
        assert_eq!(cluster.slot_of(key), slot, "{key}");
    }
}

#[test]
fn an_entry_is_read_beside_its_tags_wherever_it_is() {
    let (cluster, store) = ground();
    for data in data(&cluster) {
        let read_entry = |with_ttl| {
            let read = tags(&store).read_under_tags(&data, with_ttl, &keys(), LIFE);
            read.unwrap()
        };
        let absent = (Entry::Absent, TtlRemaining::NoSuchKey, read(&store));
        assert_eq!(read_entry(true), absent);
        let node = &cluster.nodes[cluster.owner_of(&data).unwrap()];
        let mut put = cmd("HSET");
        ask::<()>(node, put.arg(&data).arg("name").arg("Rye"));
        ask::<()>(node, cmd("PEXPIRE").arg(&data).arg(600_000));
        let record = Entry::Record(vec![(b"name".to_vec(), b"Rye".to_vec())]);
        let (entry, left, values) = read_entry(true);
        assert_eq!((entry, values), (record.clone(), read(&store)));
        assert!(left.left().is_some());
        assert_eq!(read_entry(false).0, record);
    }
}

#[test]
fn tags_that_have_been_moved_are_followed() {
    let (cluster, store) = ground();
    let slot = cluster.slot_of(&keys().clock);
    let from = cluster.owner_of(&keys().clock).unwrap();
    end(&store);
    let before = read(&store);
    cluster.move_slot(slot, from, 1 - from);
    for data in data(&cluster) {
        let read = tags(&store).read_under_tags(&data, false, &keys(), LIFE);
        assert_eq!(read.unwrap().2, before);
    }
    tags(&store).keep_tags(&keys(), 2 * LIFE).unwrap();
    end(&store);
    let after = read(&store);
    assert!(!before.clock.covers(after.newest()));
    // The new node has another history.
    assert!(!after.clock.has_epoch_of(before.clock));
}

#[test]
fn tags_whose_slot_is_being_moved_are_ended_with_all_others() {
    let (cluster, store) = ground();
    let slot = cluster.slot_of(&keys().clock);
    let from = cluster.owner_of(&keys().clock).unwrap();
    for has_been_handed_over in [false, true] {
        end(&store);
        let before = read(&store);
        cluster.begin_move(slot, from, 1 - from);
        if has_been_handed_over {
            cluster.hand_over(slot, from, 1 - from);
        }
        let is_refused = || tags(&store).read_tags(&keys(), LIFE).is_err();
        assert!(
            is_refused(),
            "one key of the request is missing: that of the floor"
        );
        let lag = Some(LIFE);
        tags(&store).invalidate_tags(&keys(), LIFE, lag).unwrap();
        assert!(is_refused());
        cluster.hand_over(slot, from, 1 - from);
        cluster.end_move(slot, 1 - from);
        let after = read(&store);
        assert!(!after.clock.has_epoch_of(before.clock));
        assert!(after.has_floor);
        cluster.move_slot(slot, 1 - from, from);
    }
    cluster.assert_every_key_expires();
}

#[test]
fn leases_and_guards_under_tags_are_at_the_node_of_the_record() {
    let (cluster, store) = ground();
    for data in data(&cluster) {
        let bounds = read(&store).bounds();
        let keys = Keys::of(data).under_tags(bounds);
        let token = Token::random();
        let recheck = Recheck::Always;
        store.acquire(&keys, token, LIFE, recheck).unwrap();
        assert!(store.renew(&keys, token, LIFE).unwrap());
        assert!(store.release(&keys, token).unwrap());
    }
}

/// A lookup under the tag `a`; a load would bring this version.
fn get(cache: &Cache, id: &str, fresh: u32) -> (u32, Source) {
    let found = cache.options().tags(&["a"]).get(id, load(fresh)).unwrap();
    let number = found.record().unwrap().get("version").unwrap();
    (number.parse().unwrap(), found.source())
}

#[test]
fn records_on_any_node_end_with_a_tag() {
    let cluster = Cluster::start(2, 0);
    let (cache, other) = (cluster.builder(), cluster.builder());
    let (cache, other): (Cache, Cache) = (cache.build().unwrap(), other.build().unwrap());
    let ids: Vec<_> = (0..20).map(|id| format!("p-{id}")).collect();
    for id in &ids {
        assert_eq!(get(&cache, id, 1), (1, Source::Loaded));
        assert_eq!(get(&other, id, 2), (1, Source::Hit));
    }
    other.invalidate_tag("a").unwrap();
    let rows = |ids: &[&str]| {
        let rows = ids
            .iter()
            .map(|&id| (id.to_owned(), load(2)(id).unwrap().unwrap()));
        Ok::<_, std::convert::Infallible>(rows.collect::<Vec<_>>())
    };
    let found = cache.options().tags(&["a"]).get_many(&ids, rows).unwrap();
    assert!(found.iter().all(|found| found.source() == Source::Loaded));
    assert!(ids.iter().all(|id| get(&other, id, 3) == (2, Source::Hit)));
}

/// The prefix has a hash tag, so its records are on one node, and the tags may be on another.
#[test]
fn a_near_cache_hears_tags_from_a_node_that_has_none_of_its_records() {
    let cluster = Cluster::start(2, 0);
    let other: Cache = cluster.builder().build().unwrap();
    for prefix in ["test:{0}:", "test:{1}:", "test:{2}:", "test:{3}:"] {
        let builder = cluster.builder().prefix(prefix).near_cache(100);
        let cache: Cache = builder.build().unwrap();
        until(|| cache.stats().tracking_live);
        until(|| get(&cache, "k", 1) == (1, Source::Near));
        other.invalidate_tag("a").unwrap();
        until(|| get(&cache, "k", 2).0 == 2);
    }
}

#[test]
fn lookups_under_tags_go_on_without_redis_while_the_slot_of_the_tags_is_moved() {
    let cluster = Cluster::start(2, 0);
    let cache: Cache = cluster.builder().build().unwrap();
    let clock = TagKeys::of("cache", &[]).unwrap().clock;
    let slot = cluster.slot_of(&clock);
    let from = cluster.owner_of(&clock).unwrap();
    assert_eq!(get(&cache, "k", 1), (1, Source::Loaded));
    cluster.begin_move(slot, from, 1 - from);
    assert_eq!(get(&cache, "k", 2), (2, Source::Degraded));
    cache.invalidate_tag("a").unwrap();
    cluster.hand_over(slot, from, 1 - from);
    cluster.end_move(slot, 1 - from);
    until(|| get(&cache, "k", 3).1 != Source::Degraded);
    assert_ne!(get(&cache, "k", 4).0, 1);
}

/// While the slot is moved, a tag is ended by its deletion. No change is pushed for a tag that was
/// not there.
#[test]
fn a_near_cache_hears_the_end_of_a_tag_that_was_evicted_before_its_slot_is_moved() {
    let cluster = Cluster::start(2, 0);
    let builder = || cluster.builder().ttl(LIFE).loader_tags(true);
    let other: Cache = builder().build().unwrap();
    let cache: Cache = builder().near_cache(100).build().unwrap();
    let number = |cache: &Cache, fresh| {
        let tagged = |id: &str| {
            let row = load(fresh)(id).unwrap().unwrap();
            Ok::<_, std::convert::Infallible>(Loaded::new(row).tags(["a"]))
        };
        let found = cache.options().get("k", tagged).unwrap();
        let number = found.record().unwrap().get("version").unwrap();
        (number.parse().unwrap(), found.source())
    };
    assert_eq!(number(&other, 1), (1, Source::Loaded));
    let keys = TagKeys::of("cache", &["a"]).unwrap();
    let from = cluster.owner_of(&keys.clock).unwrap();
    ask::<()>(&cluster.nodes[from], cmd("DEL").arg(&keys.tags[0]));
    until(|| cache.stats().tracking_live);
    until(|| number(&cache, 1) == (1, Source::Near));
    cluster.begin_move(cluster.slot_of(&keys.clock), from, 1 - from);
    other.invalidate_tag("a").unwrap();
    until(|| number(&cache, 2).0 == 2_u32);
}
