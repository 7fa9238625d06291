//! Processes that write.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use cache_aside::{Cache, Source};

use super::{
    MS, load, number,
    pair::{Former, Pair},
    version,
};
use crate::support::{load_loaf, until};

/// Threads with hits keep old connections in use.
fn no_get_returns_what_an_invalidation_before_it_ended(former: Former) {
    let pair = Pair::start();
    let redis = pair.redis().io_timeout(Duration::from_secs(10));
    let cache: Cache = Cache::builder(redis).prefix("test:").build().unwrap();
    let primary = AtomicU64::new(0);
    let read = |_: &str| Ok::<_, std::convert::Infallible>(Some(version(primary.load(SeqCst))));
    for id in ["x", "hot"] {
        cache.get(id, read).unwrap();
    }
    let stop = AtomicBool::new(false);
    let (mut acknowledged, mut stale) = (0, Vec::new());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(SeqCst) {
                    cache.get("hot", read).unwrap();
                }
            });
        }
        // Each of them has a connection.
        until(|| cache.stats().hits > 1_000);
        pair.move_to(1, former);
        let began = Instant::now();
        while began.elapsed() < MS(2_500) {
            let now = primary.fetch_add(1, SeqCst) + 1;
            let ended = cache.invalidate("x");
            acknowledged += u64::from(ended.is_ok());
            for _ in 0..3 {
                let found = cache.get("x", read).unwrap();
                let seen = number(found.record());
                if seen < now {
                    stale.push((now, seen, found.source(), ended.is_ok()));
                }
            }
        }
        stop.store(true, SeqCst);
    });
    stale.truncate(5);
    assert_eq!(stale, [], "{former:?}, {acknowledged} acknowledged");
    assert!(acknowledged > 10, "{acknowledged}");
}

#[test]
fn where_the_former_is_a_replica_no_get_returns_what_an_invalidation_before_it_ended() {
    no_get_returns_what_an_invalidation_before_it_ended(Former::Replica);
    no_get_returns_what_an_invalidation_before_it_ended(Former::ReplicaCutOff);
}

/// `READONLY` comes from the former master, but the caller does not see it: a request that may be
/// repeated is.
#[test]
fn a_writer_gets_over_readonly_without_an_error() {
    let pair = Pair::start();
    let redis = pair
        .redis()
        .pool_size(1)
        .io_timeout(Duration::from_secs(10));
    let cache: Cache = Cache::builder(redis).prefix("test:").build().unwrap();
    let fill = |ids: &[&str]| {
        for id in ids {
            until(|| cache.get(id, load(1)).unwrap().is_hit());
        }
    };
    fill(&["a"]);
    pair.move_to(1, Former::Replica);
    assert!(cache.invalidate("a").unwrap());
    assert_eq!(cache.get("a", load(2)).unwrap().source(), Source::Loaded);

    pair.wait_until_linked(0);
    fill(&["a", "b"]);
    pair.move_to(0, Former::Replica);
    assert_eq!(cache.invalidate_many(["a", "b"]).unwrap(), 2);
    assert_eq!(cache.get("b", load(2)).unwrap().source(), Source::Loaded);

    pair.wait_until_linked(1);
    fill(&["a"]);
    pair.move_to(1, Former::Replica);
    let written = cache.write("a", || Ok::<_, std::fmt::Error>(())).unwrap();
    assert!(written.guard_error().is_none() && written.invalidation_error().is_none());
    assert_eq!(cache.get("a", load(2)).unwrap().source(), Source::Loaded);

    let stats = cache.stats();
    assert_eq!((stats.store_errors, stats.degraded), (0, 0), "{stats:?}");
}

/// This request must not be repeated.
#[test]
fn an_update_that_the_former_master_refuses_becomes_an_invalidation() {
    let pair = Pair::start();
    let redis = pair.redis().io_timeout(Duration::from_secs(10));
    let cache: Cache = Cache::builder(redis).prefix("test:").build().unwrap();
    until(|| cache.get("a", load(1)).unwrap().is_hit());
    pair.move_to(1, Former::Replica);
    assert!(!cache.update_field("a", "version", "2").unwrap());
    assert_eq!(cache.get("a", load(3)).unwrap().source(), Source::Loaded);
    assert!(cache.update_field("a", "version", "4").unwrap());
}

/// The load began on the former master, and its lease is on the new one.
#[test]
fn a_load_that_began_before_is_filled_after() {
    let pair = Pair::start();
    let redis = pair.redis().io_timeout(Duration::from_secs(10));
    let cache: Cache = Cache::builder(redis).prefix("test:").build().unwrap();
    let many = ["a", "b"];
    cache
        .get_many(many, |_| {
            pair.move_to(1, Former::Replica);
            let found = many.map(|id| (id, load_loaf(id).unwrap().unwrap()));
            Ok::<_, std::convert::Infallible>(found)
        })
        .unwrap();
    for id in many {
        assert!(cache.get(id, load(2)).unwrap().is_hit(), "{id}");
    }
    assert_eq!(cache.stats().store_errors, 0);
}
