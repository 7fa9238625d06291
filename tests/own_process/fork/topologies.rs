//! Caches on a cluster and behind Sentinel that were built before a `fork`.

use std::convert::Infallible;

use cache_aside::{Cache, CacheBuilder, Record, Source};

use crate::{forked, sentinel_set::SentinelSet, support::until, test_cluster::Cluster};

/// Reads and writes records of all nodes, each of which holds its own id.
fn use_all(cache: &Cache) {
    for turn in 0..200 {
        let id = (turn % 40).to_string();
        let found = cache.get(&id, |id| {
            Ok::<_, Infallible>(Some(Record::from([("v", id.to_owned())])))
        });
        let found = found.unwrap();
        assert!(found.degraded_cause().is_none(), "{found:?}");
        assert_eq!(found.record().unwrap().get("v"), Some(&*id));
        if turn % 7 == 0 {
            cache.invalidate(&id).unwrap();
        }
    }
}

fn parent_and_child_use_it(cache: CacheBuilder<Record>) {
    let cache = cache.near_cache(100).build().unwrap();
    let is_near = || {
        let found = cache.get("p", |_| {
            Ok::<_, Infallible>(Some(Record::from([("v", "p")])))
        });
        found.unwrap().source() == Source::Near
    };
    let child = forked::start(|| {
        use_all(&cache);
        until(is_near);
        drop(cache.clone());
    });
    use_all(&cache);
    child.ends_well();
    use_all(&cache);
    forked::run(move || drop(cache));
}

#[test]
fn a_child_has_connections_of_its_own_to_all_nodes_of_a_cluster() {
    own_process!();
    parent_and_child_use_it(Cluster::start(3, 0).builder());
}

#[test]
fn a_child_finds_the_master_behind_sentinels() {
    own_process!();
    parent_and_child_use_it(SentinelSet::start().builder());
}
