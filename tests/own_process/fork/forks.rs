//! Forks at any moment, and forks of forks.

use std::{
    os::unix::process::parent_id,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    thread,
};

use cache_aside::Cache;

use super::{builder, load, pool, value};
use crate::{
    forked,
    support::{Server, until},
};

fn use_some(cache: &Cache, turns: usize) {
    for turn in 0..turns {
        let id = (turn % 10).to_string();
        assert_eq!(value(cache, &id, &id), id);
        if turn % 7 == 0 {
            cache.invalidate(&id).unwrap();
        }
    }
}

/// In a child of a process that has connected. See `calls.rs`.
fn use_some_without_redis(cache: &Cache) {
    for id in 0..20 {
        let id = format!("child-{id}");
        let found = cache.get(&id, load(&id)).unwrap();
        assert_eq!(found.record().unwrap().get("v"), Some(id.as_str()));
        assert!(found.degraded_cause().is_some() && cache.invalidate(&id).is_err());
    }
}

#[test]
fn a_fork_while_other_threads_read_and_write_harms_neither_process() {
    own_process!();
    let server = Server::start();
    let redis = pool(&server).pool_size(4).build().unwrap();
    let plain = builder(&redis).build().unwrap();
    let near = builder(&redis).near_cache(100).build().unwrap();
    let (is_over, turns) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for cache in [&plain, &near, &plain, &near] {
            let (is_over, turns) = (&is_over, &turns);
            scope.spawn(move || {
                while !is_over.load(SeqCst) {
                    use_some(cache, 10);
                    turns.fetch_add(1, SeqCst);
                }
            });
        }
        for cache in [&plain, &near].into_iter().cycle().take(20) {
            let before = turns.load(SeqCst);
            until(|| turns.load(SeqCst) > before);
            forked::run(|| use_some_without_redis(cache));
        }
        is_over.store(true, SeqCst);
    });
    use_some(&plain, 20);
}

#[test]
fn a_child_of_a_child_gets_connections_of_its_own() {
    own_process!();
    let server = Server::start();
    let redis = pool(&server).build().unwrap();
    let cache = builder(&redis).near_cache(100).build().unwrap();
    forked::run(|| {
        let child = forked::start(|| use_some(&cache, 100));
        use_some(&cache, 100);
        child.ends_well();
        use_some(&cache, 20);
    });
    use_some(&cache, 20);
}

#[test]
fn a_daemon_goes_on_after_the_process_that_built_the_cache_has_ended() {
    own_process!();
    let server = Server::start();
    forked::run(|| {
        let redis = pool(&server).build().unwrap();
        let cache = builder(&redis).near_cache(100).build().unwrap();
        let builder = std::process::id();
        let _not_waited_for = forked::start(|| {
            until(|| parent_id() != builder);
            assert_eq!(value(&cache, "p-1", "2"), "2");
            cache.invalidate("p-1").unwrap();
            assert_eq!(value(&cache, "p-1", "daemon"), "daemon");
        });
    });
    let cache = server.cache();
    until(|| {
        cache.peek("p-1").unwrap().is_some_and(|found| {
            found.record().and_then(|record| record.get("v")) == Some("daemon")
        })
    });
}
