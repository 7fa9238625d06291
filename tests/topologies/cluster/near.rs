//! Near caches on a cluster: they listen to every master.

use std::time::{Duration, Instant};

use cache_aside::{Cache, Source};

use super::{DATA, ID, load};
use crate::support::until;
use crate::test_cluster::{self as cluster, Cluster};

fn near(cluster: &Cluster) -> Cache {
    let cache: Cache = cluster.builder().near_cache(1_000).build().unwrap();
    until(|| cache.stats().tracking_live);
    cache
}

fn number(cache: &Cache, id: &str, fresh: u32) -> (u32, Source) {
    let lookup = cache.get(id, load(fresh)).unwrap();
    let number = lookup.record().unwrap().get("version").unwrap();
    (number.parse().unwrap(), lookup.source())
}

/// Keeps a record near, and makes sure that it stays.
fn settle(cache: &Cache, id: &str, fresh: u32) {
    let is_near = || number(cache, id, fresh) == (fresh, Source::Near);
    until(|| {
        (0..5).all(|_| {
            std::thread::sleep(Duration::from_millis(1));
            is_near()
        })
    });
}

#[test]
fn a_change_on_any_master_is_heard() {
    let cluster = Cluster::start(3, 0);
    let (cache, other) = (near(&cluster), cluster.builder().build().unwrap());
    let _: &Cache = &other;
    for id in (0..20).map(|id| format!("p-{id}")) {
        settle(&cache, &id, 1);
        other.invalidate(&id).unwrap();
        until(|| number(&cache, &id, 2).0 == 2);
    }
}

#[test]
fn what_moves_to_another_master_is_heard_there() {
    let cluster = Cluster::start(2, 0);
    let (cache, other) = (near(&cluster), cluster.builder().build().unwrap());
    let _: &Cache = &other;
    let slot = cluster.slot_of(DATA);
    let from = cluster.owner_of(DATA).unwrap();
    settle(&cache, ID, 1);
    cluster.move_slot(slot, from, 1 - from);
    other.invalidate(ID).unwrap();
    until(|| number(&cache, ID, 2).0 == 2);
    settle(&cache, ID, 2);
    other.invalidate(ID).unwrap();
    until(|| number(&cache, ID, 3).0 == 3);
}

#[test]
fn what_moves_to_a_node_that_had_no_slots_is_not_near_before_that_is_heard() {
    let cluster = Cluster::start_with_empty(2, 1);
    let (cache, other) = (near(&cluster), cluster.builder().build().unwrap());
    let _: &Cache = &other;
    let slot = cluster.slot_of(DATA);
    let from = cluster.owner_of(DATA).unwrap();
    settle(&cache, ID, 1);
    for at in 1..=20 {
        // To and fro, each time with a node that was known and forgotten, or not.
        let (here, there) = if at % 2 == 1 { (from, 2) } else { (2, from) };
        cluster.begin_move(slot, here, there);
        cluster.hand_over(slot, here, there);
        let before = number(&cache, ID, 100).0;
        cluster.end_move(slot, there);
        assert_eq!(before, at);
        other.invalidate(ID).unwrap();
        until(|| number(&cache, ID, at + 1).0 == at + 1);
        settle(&cache, ID, at + 1);
    }
}

#[test]
fn a_master_that_has_been_replaced_and_lives_is_relied_on_no_longer() {
    let cluster = Cluster::start(3, 1);
    let (cache, other) = (near(&cluster), cluster.builder().build().unwrap());
    let _: &Cache = &other;
    let master = cluster.owner_of(DATA).unwrap();
    let replica = &cluster.nodes[3 + master];
    settle(&cache, ID, 1);
    cluster::ask::<()>(replica, &cluster::cluster("FAILOVER"));
    Cluster::until("the replica has taken over", || {
        cluster.owner_of(DATA) == Some(3 + master)
    });
    other.invalidate(ID).unwrap();
    let bound = Duration::from_secs(1);
    std::thread::sleep(bound);
    assert_eq!(number(&cache, ID, 2).0, 2);
    until(|| cache.stats().tracking_live);
    settle(&cache, ID, 2);
    other.invalidate(ID).unwrap();
    until(|| number(&cache, ID, 3).0 == 3);
}

#[test]
fn when_a_replica_has_taken_over_what_is_read_from_it_is_near_soon() {
    let mut cluster = Cluster::start(3, 1);
    let (cache, other) = (near(&cluster), cluster.builder().build().unwrap());
    let _: &Cache = &other;
    let master = cluster.owner_of(DATA).unwrap();
    settle(&cache, ID, 1);
    cluster.nodes[master].kill();
    until(|| !cache.stats().tracking_live);
    Cluster::until("the replica has taken over", || {
        cluster.owner_of(DATA) == Some(3 + master)
    });
    // Although no lookup asks for its records.
    until(|| cache.stats().tracking_live);
    settle(&cache, ID, 1);
    // It has not noticed yet.
    until(|| other.invalidate(ID).is_ok());
    until(|| number(&cache, ID, 2).0 == 2);
}

#[test]
fn a_master_that_is_cut_off_from_the_others_is_relied_on_no_longer() {
    // The other masters of three are stopped: this one answers, but must not be used.
    let cluster = Cluster::start(3, 0);
    let cache = near(&cluster);
    let master = cluster.owner_of(DATA).unwrap();
    let others: Vec<_> = (0..3).filter(|at| *at != master).collect();
    settle(&cache, ID, 1);
    for at in &others {
        cluster.nodes[*at].freeze();
    }
    until(|| !cache.stats().tracking_live);
    for at in &others {
        cluster.nodes[*at].thaw();
    }
    until(|| cache.stats().tracking_live);
}

#[test]
fn a_prefix_with_a_hash_tag_needs_one_master_only() {
    let mut cluster = Cluster::start_with(3, 0, &["--cluster-require-full-coverage", "no"]);
    let cache = cluster.builder().prefix("{test}:").near_cache(10);
    let cache: Cache = cache.build().unwrap();
    until(|| cache.stats().tracking_live);
    let master = cluster.owner_of("{test}:1").unwrap();
    cluster.nodes[(master + 1) % 3].kill();
    std::thread::sleep(Duration::from_secs(2));
    assert!(cache.stats().tracking_live);
    settle(&cache, ID, 1);
}

/// A listener checks one of the slots of its node to see that the node is still a master. That slot
/// may migrate like any other.
#[test]
fn what_is_near_stays_near_while_a_slot_of_others_is_being_moved() {
    let cluster = Cluster::start(2, 0);
    let cache = near(&cluster);
    // To another master than the record's.
    let to = cluster.owner_of(DATA).unwrap();
    let from = 1 - to;
    // The slot that is checked is the last one: see `src/redis/cluster/probe_key.rs`.
    let slot = [cluster::SLOTS / 2 - 1, cluster::SLOTS - 1][from];
    settle(&cache, ID, 1);
    cluster.begin_move(slot, from, to);
    let until_then = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until_then {
        assert!(cache.stats().tracking_live);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(number(&cache, ID, 2), (1, Source::Near));
    cluster.end_move(slot, to);
    // Another slot is checked.
    until(|| cache.stats().tracking_live);
    settle(&cache, ID, 1);
}
