//! Slots that migrate while their records are read, written and ended.

use std::{convert::Infallible, time::Duration};

use cache_aside::{Cache, LoadContext, Loaded, Record, Source, store::Keys};

use super::{DATA, ID, load, version};
use crate::support::{chain, load_loaf, loaf};
use crate::test_cluster::{Cluster, ask, cluster as order};

/// A cluster of two masters, the slot of [`DATA`], the node that has it and the other one.
fn ground() -> (Cluster, u16, usize, usize) {
    let cluster = Cluster::start(2, 0);
    let slot = cluster.slot_of(DATA);
    let from = cluster.owner_of(DATA).unwrap();
    (cluster, slot, from, 1 - from)
}

fn stands(cluster: &Cluster, node: usize) -> bool {
    let slot = cluster.slot_of(DATA);
    let here: Vec<String> = ask(
        &cluster.nodes[node],
        order("GETKEYSINSLOT").arg(slot).arg(10),
    );
    here.contains(&DATA.to_owned())
}

#[test]
fn a_slot_that_has_been_moved_is_followed_by_every_call() {
    let (cluster, slot, from, to) = ground();
    let (mut here, mut there) = (from, to);
    let cache: Cache = cluster.builder().build().unwrap();
    let mut moved = || {
        cluster.move_slot(slot, here, there);
        std::mem::swap(&mut here, &mut there);
    };
    cache.get(ID, load_loaf).unwrap();
    moved();
    assert!(cache.get(ID, load_loaf).unwrap().is_hit());
    moved();
    assert!(cache.get_fields(ID, &["stock"]).unwrap().is_some());
    moved();
    assert!(cache.update_field(ID, "stock", "1").unwrap());
    moved();
    assert!(cache.update(ID, |_: &Record| Some(version(2))).unwrap());
    moved();
    assert!(
        cache
            .get_many([ID], |ids: &[&str]| {
                Ok::<_, Infallible>(
                    ids.iter()
                        .map(|id| ((*id).to_owned(), loaf()))
                        .collect::<Vec<_>>(),
                )
            })
            .unwrap()[0]
            .is_hit()
    );
    moved();
    assert!(cache.invalidate(ID).unwrap());
    moved();
    // The read of the record, the request for the lease, and the fill.
    let loader = |_: &str| {
        moved();
        load_loaf(ID)
    };
    assert_eq!(cache.get(ID, loader).unwrap().source(), Source::Loaded);
    assert!(cache.get(ID, load_loaf).unwrap().is_hit());
    assert_eq!(cache.invalidate_many([ID]).unwrap(), 1);
    assert_eq!(cache.stats().invalidations_pending, 0);
}

#[test]
fn a_record_whose_slot_is_being_moved_is_a_hit_before_and_after_it_was_handed_over() {
    let (cluster, slot, from, to) = ground();
    let cache: Cache = cluster.builder().build().unwrap();
    cache.get(ID, load_loaf).unwrap();
    let has_stock = || {
        let fields = cache.get_fields(ID, &["stock", "no such"]).unwrap();
        fields.unwrap().record().unwrap().len() == 1
    };
    cluster.begin_move(slot, from, to);
    assert!(stands(&cluster, from));
    assert!(cache.get(ID, load_loaf).unwrap().is_hit() && has_stock());
    assert!(cache.ttl_remaining(ID).unwrap().left().is_some());
    cluster.hand_over(slot, from, to);
    assert!(!stands(&cluster, from) && stands(&cluster, to));
    assert!(cache.get(ID, load_loaf).unwrap().is_hit() && has_stock());
    assert!(cache.ttl_remaining(ID).unwrap().left().is_some());
    cluster.end_move(slot, to);
    assert!(cache.get(ID, load_loaf).unwrap().is_hit() && has_stock());
}

#[test]
fn a_record_whose_slot_is_being_moved_is_ended_wherever_it_is() {
    let (cluster, slot, from, to) = ground();
    let cache: Cache = cluster.builder().build().unwrap();
    for has_been_handed_over in [false, true] {
        cache.get(ID, load(1)).unwrap();
        cluster.begin_move(slot, from, to);
        if has_been_handed_over {
            cluster.hand_over(slot, from, to);
        }
        assert!(cache.get(ID, load(2)).unwrap().is_hit());
        assert!(cache.invalidate(ID).unwrap());
        let next = cache.get(ID, load(3)).unwrap();
        assert_eq!(next.record().unwrap().get("version"), Some("3"));
        assert!(!cache.invalidate(ID).unwrap());
        assert_eq!(cache.stats().invalidations_pending, 0);
        cluster.end_move(slot, to);
        cluster.move_slot(slot, to, from);
    }
}

/// What the loader of a cache with versions is told.
fn told(cache: &Cache) -> (Option<u64>, bool) {
    let mut told = None;
    let load = |context: &LoadContext<'_>| {
        told = Some((context.min_version(), context.read_primary()));
        Ok::<_, Infallible>(Loaded::new(loaf()).version(u64::MAX))
    };
    let found = cache.options().get_with_context(ID, load).unwrap();
    assert!(!found.is_hit());
    told.unwrap()
}

#[test]
fn a_floor_is_raised_while_its_slot_is_being_moved_and_goes_with_the_slot() {
    let (cluster, slot, from, to) = ground();
    let lag = Duration::from_secs(600);
    let builder = || cluster.builder().versions(lag);
    let (cache, other): (Cache, Cache) = (builder().build().unwrap(), builder().build().unwrap());
    let mut before = None;
    // First without a floor, and then with one.
    for (has_been_handed_over, version) in [(false, 7), (false, 8), (true, 9)] {
        assert_eq!(told(&cache), (before, false));
        cluster.begin_move(slot, from, to);
        if has_been_handed_over {
            cluster.hand_over(slot, from, to);
        }
        assert!(cache.invalidate_at(ID, version).unwrap());
        let unknown = (None, true);
        assert_eq!(told(&other), unknown, "no lease, so no floor");
        cluster.hand_over(slot, from, to);
        cluster.end_move(slot, to);
        cluster.move_slot(slot, to, from);
        assert_eq!(cache.stats().invalidations_pending, 0);
        before = Some(version);
    }
    assert_eq!(told(&other), (before, false));
    cluster.assert_every_key_expires();
}

#[test]
fn a_write_through_whose_slot_is_being_moved_only_ends_the_record() {
    let (cluster, slot, from, to) = ground();
    let lag = Duration::from_secs(600);
    let cache: Cache = cluster.builder().versions(lag).build().unwrap();
    let through = |meanwhile: &dyn Fn()| {
        let change = || {
            meanwhile();
            Ok::<_, Infallible>(((), Loaded::new(loaf()).version(7)))
        };
        let written = cache.write_through(ID, change).unwrap();
        assert!(written.invalidation_error().is_none());
        written.is_cached()
    };
    assert!(through(&|| ()));
    assert!(!through(&|| cluster.begin_move(slot, from, to)));
    assert!(!through(&|| ()), "begun during the migration");
    cluster.hand_over(slot, from, to);
    cluster.end_move(slot, to);
    assert!(!stands(&cluster, from) && !stands(&cluster, to));
    let (_, read_primary) = told(&cache);
    assert!(read_primary, "the guard made the floor unknown");
    cluster.assert_every_key_expires();
}

#[test]
fn a_refusal_because_a_slot_is_being_moved_names_the_node() {
    let (cluster, slot, from, to) = ground();
    let cache: Cache = cluster.builder().build().unwrap();
    cluster.begin_move(slot, from, to);
    let node = |index: usize| format!(" to 127.0.0.1:{} failed", cluster.nodes[index].port());
    // The old node redirects to the new one.
    let found = cache.get(ID, load_loaf).unwrap();
    let cause = found.degraded_cause().unwrap();
    assert!(chain(cause).contains("is being moved"), "{cause:#}");
    assert!(cause.to_string().ends_with(&node(to)), "{cause:#}");
    let refused = cache.clear().unwrap_err();
    let either = [node(from), node(to)];
    let names_either = either
        .iter()
        .any(|node| refused.to_string().ends_with(node));
    assert!(names_either, "{refused:#}");
}

#[test]
fn a_load_from_before_an_invalidation_is_not_filled_though_its_slot_was_moved_in_between() {
    let (cluster, slot, from, to) = ground();
    let cache: Cache = cluster.builder().build().unwrap();
    let writer: Cache = cluster.builder().build().unwrap();
    let loader = |_: &str| {
        // Now there is a lease, and no record.
        cluster.begin_move(slot, from, to);
        writer.invalidate(ID).unwrap();
        cluster.hand_over(slot, from, to);
        cluster.end_move(slot, to);
        Ok::<_, Infallible>(Some(version(1)))
    };
    assert_eq!(cache.get(ID, loader).unwrap().source(), Source::Loaded);
    let next = cache.get(ID, load(2)).unwrap();
    assert_eq!(next.record().unwrap().get("version"), Some("2"));
}

/// As after a `MIGRATE` that timed out when the new node had the key already.
#[test]
fn what_stands_at_both_nodes_is_ended_at_both() {
    let (cluster, slot, from, to) = ground();
    let cache: Cache = cluster.builder().build().unwrap();
    cache.get(ID, load(1)).unwrap();
    cluster.begin_move(slot, from, to);
    cluster.copy(DATA, from, to);
    assert!(stands(&cluster, from) && stands(&cluster, to));
    assert!(cache.invalidate(ID).unwrap());
    assert!(!stands(&cluster, from) && !stands(&cluster, to));
    cluster.end_move(slot, to);
    let next = cache.get(ID, load(2)).unwrap();
    assert_eq!(next.record().unwrap().get("version"), Some("2"));
}

#[test]
fn a_load_whose_lease_stands_at_both_nodes_is_not_filled_after_an_invalidation() {
    let (cluster, slot, from, to) = ground();
    let cache: Cache = cluster.builder().build().unwrap();
    let writer: Cache = cluster.builder().build().unwrap();
    let loader = |_: &str| {
        cluster.begin_move(slot, from, to);
        cluster.copy(&Keys::of(DATA.to_owned()).lease, from, to);
        writer.invalidate(ID).unwrap();
        cluster.end_move(slot, to);
        Ok::<_, Infallible>(Some(version(1)))
    };
    assert_eq!(cache.get(ID, loader).unwrap().source(), Source::Loaded);
    let next = cache.get(ID, load(2)).unwrap();
    assert_eq!(next.record().unwrap().get("version"), Some("2"));
}

#[test]
fn a_write_whose_slot_is_being_moved_ends_the_record_and_what_was_read_meanwhile_is_not_kept() {
    let (cluster, slot, from, to) = ground();
    let cache: Cache = cluster.builder().build().unwrap();
    let reader: Cache = cluster.builder().build().unwrap();
    cache.get(ID, load(1)).unwrap();
    // Guarded before the migration starts, and ended during it.
    let _ = cache
        .write(ID, || {
            cluster.begin_move(slot, from, to);
            let meanwhile = reader.get(ID, load(1)).unwrap();
            assert!(!meanwhile.is_hit());
            cluster.hand_over(slot, from, to);
            Ok::<_, Infallible>(())
        })
        .unwrap();
    let next = reader.get(ID, load(2)).unwrap();
    assert_eq!(next.record().unwrap().get("version"), Some("2"));
    // Begun during the migration.
    let written = cache.write(ID, || Ok::<_, Infallible>(())).unwrap();
    assert!(written.guard_error().is_some() && written.invalidation_error().is_none());
    cluster.end_move(slot, to);
    let next = reader.get(ID, load(3)).unwrap();
    assert_eq!(next.record().unwrap().get("version"), Some("3"));
    assert_eq!(cache.stats().invalidations_pending, 0);
    cluster.assert_every_key_expires();
}

#[test]
fn an_update_whose_slot_is_being_moved_becomes_an_invalidation() {
    let (cluster, slot, from, to) = ground();
    let cache: Cache = cluster.builder().build().unwrap();
    cache.get(ID, load(1)).unwrap();
    cluster.begin_move(slot, from, to);
    assert!(!cache.update_field(ID, "version", "2").unwrap());
    assert!(!stands(&cluster, from) && !stands(&cluster, to));
    cluster.end_move(slot, to);
    let next = cache.get(ID, load(2)).unwrap();
    assert_eq!(next.source(), Source::Loaded);
}

#[test]
fn while_a_slot_is_being_moved_a_cache_is_not_cleared_and_says_so() {
    let (cluster, slot, from, to) = ground();
    let cache: Cache = cluster.builder().build().unwrap();
    cache.get(ID, load_loaf).unwrap();
    cluster.begin_move(slot, from, to);
    let refused = chain(&cache.clear().unwrap_err());
    let moved = format!("slot {slot} is being moved");
    assert!(refused.contains(&moved), "{refused}");
    // The record that should have been ended is not read either.
    assert!(!cache.get(ID, load_loaf).unwrap().is_hit());
    cluster.end_move(slot, to);
    cache.clear().unwrap();
    assert_eq!(cache.get(ID, load_loaf).unwrap().source(), Source::Loaded);
    assert!(cache.get(ID, load_loaf).unwrap().is_hit());
}

/// Redis 7.0 keeps the migrating mark at the old node, if only the other node tells it that the
/// migration is over.
#[test]
fn a_cache_is_cleared_though_a_node_is_marked_as_moving_a_slot_it_no_longer_has() {
    let (cluster, slot, from, to) = ground();
    let cache: Cache = cluster.builder().build().unwrap();
    cache.get(ID, load_loaf).unwrap();
    cluster.begin_move(slot, from, to);
    let there = &cluster.nodes[to];
    let new: String = ask(there, &order("MYID"));
    let () = ask(there, order("SETSLOT").arg(slot).arg("NODE").arg(new));
    // Its keys go with the slot.
    Cluster::until("all nodes know of the move", || !stands(&cluster, from));
    cache.clear().unwrap();
    assert_eq!(cache.get(ID, load_loaf).unwrap().source(), Source::Loaded);
    assert!(cache.get(ID, load_loaf).unwrap().is_hit());
}

#[test]
fn a_clear_during_which_a_slot_is_moved_fails_also_where_it_is_moved_back() {
    for back in [false, true] {
        let (cluster, slot, from, to) = ground();
        let cache: Cache = cluster.builder().build().unwrap();
        cache.get(ID, load_loaf).unwrap();
        let mut is_moved = false;
        let refused = cache.clear_with_progress(|_| {
            if !std::mem::replace(&mut is_moved, true) {
                cluster.move_slot(slot, from, to);
                if back {
                    cluster.move_slot(slot, to, from);
                }
            }
        });
        let refused = chain(&refused.unwrap_err());
        assert!(
            refused.contains("slots of the cluster were moved"),
            "{refused}"
        );
    }
}
