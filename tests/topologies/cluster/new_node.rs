//! A node that joins the cluster and has no slots at first.

use std::sync::Barrier;

use cache_aside::{Cache, Source};

use super::{DATA, ID, load};
use crate::{support::load_loaf, test_cluster::Cluster};

/// No report of the slots names a node that has none yet.
#[test]
fn a_slot_that_moves_to_a_node_without_slots_is_followed_at_once_by_all_callers() {
    let cluster = Cluster::start_with_empty(2, 1);
    let (slot, from) = (cluster.slot_of(DATA), cluster.owner_of(DATA).unwrap());
    // One calls while the slot is being moved, the other only before and after that.
    let during: Cache = cluster.builder().build().unwrap();
    let after: Cache = cluster.builder().build().unwrap();
    during.get(ID, load_loaf).unwrap();
    assert!(after.get(ID, load_loaf).unwrap().is_hit());
    cluster.begin_move(slot, from, 2);
    cluster.hand_over(slot, from, 2);
    assert!(during.get(ID, load_loaf).unwrap().is_hit());
    cluster.end_move(slot, 2);
    let start = Barrier::new(16);
    let is_hit = &|cache: &Cache| {
        start.wait();
        cache.get(ID, load_loaf).unwrap().is_hit()
    };
    std::thread::scope(|scope| {
        let caches = [&during, &after].into_iter().cycle().take(16);
        let calls: Vec<_> = caches
            .map(|cache| scope.spawn(move || is_hit(cache)))
            .collect();
        for call in calls {
            assert!(call.join().unwrap());
        }
    });
    assert!(after.invalidate(ID).unwrap());
    assert_eq!(during.get(ID, load(2)).unwrap().source(), Source::Loaded);
    assert!(after.get(ID, load(3)).unwrap().is_hit());
}

#[test]
fn a_record_whose_slot_moves_to_a_node_without_slots_is_ended_there() {
    let cluster = Cluster::start_with_empty(2, 1);
    let (slot, from) = (cluster.slot_of(DATA), cluster.owner_of(DATA).unwrap());
    let cache: Cache = cluster.builder().build().unwrap();
    cache.get(ID, load(1)).unwrap();
    cluster.begin_move(slot, from, 2);
    cluster.hand_over(slot, from, 2);
    assert!(cache.invalidate(ID).unwrap());
    assert_eq!(cache.invalidate_many([ID]).unwrap(), 0);
    cluster.end_move(slot, 2);
    assert_eq!(cache.get(ID, load(2)).unwrap().source(), Source::Loaded);
    assert_eq!(cache.stats().invalidations_pending, 0);
}
