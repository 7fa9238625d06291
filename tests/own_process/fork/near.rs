//! Near caches after a fork. The thread that keeps one current does not exist in the child.

use std::{thread, time::Duration};

use cache_aside::{Cache, Source};

use super::{builder, load, pool, value};
use crate::{
    forked,
    support::{Server, until},
};

/// So long that the copy of the parent would be used for the whole test.
const BOUND: Duration = Duration::from_secs(60);

fn near(cache: &Cache, id: &str) -> bool {
    cache.get(id, load("1")).unwrap().source() == Source::Near
}

/// The first call of the child is a lookup, and the parent had the record near until then.
#[test]
fn a_child_does_not_use_what_its_parent_had_near() {
    own_process!();
    let server = Server::start();
    let redis = pool(&server).build().unwrap();
    let cache = builder(&redis).near_cache(100);
    let cache = cache.near_staleness(BOUND).build().unwrap();
    until(|| near(&cache, "p-1"));
    for _ in 0..8 {
        // So the thread asked for its process as late before the fork as can be.
        for _ in 0..1000 {
            assert!(near(&cache, "p-1"));
        }
        forked::run(|| assert!(!near(&cache, "p-1")));
    }
}

#[test]
fn a_child_is_told_of_the_invalidations_of_its_parent() {
    own_process!();
    let server = Server::start();
    let redis = pool(&server).build().unwrap();
    let cache = builder(&redis).near_cache(100).build().unwrap();
    let child = forked::start(|| {
        until(|| near(&cache, "p-1"));
        let mut direct = server.connect();
        let mut tell = redis::cmd("RPUSH");
        tell.arg("near").arg(1).exec(&mut direct).unwrap();
        until(|| value(&cache, "p-1", "2") == "2");
        until(|| cache.get("p-1", load("3")).unwrap().source() == Source::Near);
        assert_eq!(value(&cache, "p-1", "3"), "2");
    });
    let mut wait = redis::cmd("BLPOP");
    wait.arg("near").arg(20);
    wait.exec(&mut server.connect()).unwrap();
    cache.invalidate("p-1").unwrap();
    child.ends_well();
}

/// Single flight and the near cache are those of the child, too.
#[test]
fn the_threads_of_a_child_share_its_near_cache() {
    own_process!();
    let server = Server::start();
    let redis = pool(&server).build().unwrap();
    let cache = builder(&redis).near_cache(100).build().unwrap();
    forked::run(|| {
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for turn in 0..200 {
                        let id = (turn % 10).to_string();
                        assert_eq!(value(&cache, &id, &id), id);
                    }
                });
            }
        });
        until(|| near(&cache, "p-1"));
    });
}
