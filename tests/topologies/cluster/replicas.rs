//! Invalidations that wait until replicas have them.

use std::{convert::Infallible, time::Duration};

use cache_aside::{Cache, Record, store::Keys};

use super::{DATA, ID, load};
use crate::support::{chain, load_loaf, loaf, until, until_recovered};
use crate::test_cluster::{self as cluster, Cluster};

fn waiting(cluster: &Cluster) -> Cache {
    let redis = cluster.redis().wait_for_replicas(1);
    // Half of it is how long a replica may take. On a busy machine that is long.
    let redis = redis.io_timeout(Duration::from_secs(3)).build().unwrap();
    Cache::builder(&redis).prefix("test:").build().unwrap()
}

#[test]
fn an_invalidation_that_replicas_have_is_not_lost_with_the_master() {
    let mut cluster = Cluster::start(3, 1);
    let cache = waiting(&cluster);
    cache.get(ID, load(1)).unwrap();
    let master = cluster.owner_of(DATA).unwrap();
    let replica = &cluster.nodes[3 + master];
    assert!(cache.invalidate(ID).unwrap());
    assert!(!cache.invalidate(ID).unwrap());
    cache.get(ID, load(2)).unwrap();
    // It has the record by then, and receives nothing more.
    until(|| {
        let mut direct = replica.connect();
        redis::cmd("READONLY").exec(&mut direct).unwrap();
        let there: bool = redis::cmd("EXISTS").arg(DATA).query(&mut direct).unwrap();
        there
    });
    replica.freeze();
    let refused = chain(&cache.invalidate(ID).unwrap_err());
    assert!(
        refused.contains("0 of 1 replicas confirmed the invalidation within"),
        "{refused}"
    );
    assert_eq!(cache.stats().invalidations_pending, 1);
    cluster.nodes[master].kill();
    cluster.nodes[3 + master].thaw();
    Cluster::until("the replica has taken over", || {
        cluster.owner_of(DATA).is_some()
    });
    // It kept the record that should have been removed. That record is not returned. It is removed
    // as soon as there is a replica to confirm it.
    let lookup = cache.get(ID, load(3)).unwrap();
    assert_eq!(lookup.record().unwrap().get("version"), Some("3"));
    cluster.nodes[master].start_again();
    until(|| {
        let lookup = cache.get(ID, load(3)).unwrap();
        assert_eq!(lookup.record().unwrap().get("version"), Some("3"));
        cache.stats().invalidations_pending == 0
    });
    let lookup = cache.get(ID, load(3)).unwrap();
    assert_eq!(lookup.record().unwrap().get("version"), Some("3"));
}

/// The old master may not know yet that it was replaced. If all of its replicas are required, it is
/// one of those that must confirm.
#[test]
fn nothing_is_ended_for_sure_while_a_master_that_was_replaced_may_still_answer() {
    let cluster = Cluster::start(3, 1);
    let cache = waiting(&cluster);
    cache.get(ID, load(1)).unwrap();
    let master = cluster.owner_of(DATA).unwrap();
    let replica = &cluster.nodes[3 + master];
    cluster.nodes[master].freeze();
    Cluster::until("the replica has taken over", || {
        cluster::try_ask::<i64>(replica, redis::cmd("EXISTS").arg(DATA)).is_ok()
    });
    // Also after the new master was found, which takes as many attempts as there are connections to
    // the old one.
    let unconfirmed = || {
        let refused = chain(&cache.invalidate(ID).unwrap_err());
        refused.contains("0 of 1 replicas confirmed the invalidation within")
    };
    until(unconfirmed);
    assert!(unconfirmed());
    cluster.nodes[master].thaw();
    Cluster::until("it confirms, as a replica", || cache.invalidate(ID).is_ok());
    let lookup = cache.get(ID, load(2)).unwrap();
    assert_eq!(lookup.record().unwrap().get("version"), Some("2"));
}

/// With its lease beside it, as during a refresh: then both keys are still at the old node, which
/// ends them itself.
#[test]
fn replicas_that_lack_an_invalidation_do_not_confirm_it_while_its_slot_is_being_moved() {
    let cluster = Cluster::start(2, 1);
    let cache = waiting(&cluster);
    cache.get(ID, load(1)).unwrap();
    let from = cluster.owner_of(DATA).unwrap();
    let keys = Keys::of(DATA.to_owned());
    let mut set = redis::cmd("SET");
    set.arg(&keys.lease).arg("another's").arg(&["PX", "60000"]);
    cluster::ask::<()>(&cluster.nodes[from], &set);
    cluster.begin_move(cluster.slot_of(DATA), from, 1 - from);
    cluster.nodes[2 + from].freeze();
    let refused = chain(&cache.invalidate(ID).unwrap_err());
    assert!(
        refused.contains("0 of 1 replicas confirmed the invalidation within"),
        "{refused}"
    );
    assert_eq!(cache.stats().invalidations_pending, 1);
    cluster.nodes[2 + from].thaw();
    until_recovered(&cache);
    assert!(!cache.invalidate(ID).unwrap());
}

#[test]
fn a_batch_is_counted_whole_while_one_of_its_slots_is_being_moved() {
    let cluster = Cluster::start(2, 1);
    let cache = waiting(&cluster);
    let ids: Vec<_> = (0..50).map(|id| format!("p-{id}")).collect();
    let load_all = |ids: &[&str]| {
        let found = ids.iter().map(|id| ((*id).to_owned(), loaf()));
        Ok::<Vec<(String, Record)>, Infallible>(found.collect())
    };
    for id in [&ids[0], &ids[20]] {
        cache.get_many(&ids, load_all).unwrap();
        let data = format!("test:{id}");
        let from = cluster.owner_of(&data).unwrap();
        let slot = cluster.slot_of(&data);
        cluster.begin_move(slot, from, 1 - from);
        assert_eq!(cache.invalidate_many(&ids).unwrap(), 50);
        cluster.end_move(slot, 1 - from);
    }
    assert_eq!(cache.stats().invalidations_pending, 0);
}

#[test]
fn waiting_for_replicas_touches_no_other_record() {
    let cluster = Cluster::start(1, 1);
    let cache = waiting(&cluster);
    for id in ["{shop}:p", "p"] {
        // The two ids are as similar as possible.
        let other = format!("{id}:wait");
        let slow = |_: &str| {
            cache.invalidate(id).unwrap();
            cache.invalidate(id).unwrap();
            load_loaf(id)
        };
        cache.get(&other, slow).unwrap();
        assert!(cache.get(&other, load_loaf).unwrap().is_hit(), "{id}");
    }
}
