//! What the calls of parent and child return.

use std::{
    collections::HashMap,
    convert::Infallible,
    thread,
    time::{Duration, Instant},
};

use cache_aside::{
    Cache, Memory, Record, Source,
    store::{Keys, Token},
};

use super::{builder, load, pool, record, value};
use crate::{
    forked,
    support::{Server, chain, until_recovered},
};

/// Reads and writes for a while. Each record holds its own id.
fn use_all(cache: &Cache) {
    let end = Instant::now() + Duration::from_millis(700);
    for turn in (0..50).cycle() {
        if Instant::now() > end {
            return;
        }
        let id = turn.to_string();
        assert_eq!(value(cache, &id, &id), id);
        if turn == 7 {
            cache.invalidate(&id).unwrap();
        }
    }
}

fn lookups(cache: &Cache) -> u64 {
    cache.stats().hits + cache.stats().misses
}

#[test]
fn parent_and_children_never_get_each_others_records() {
    own_process!();
    let server = Server::start();
    let redis = pool(&server).build().unwrap();
    let cache = builder(&redis).build().unwrap();
    let children: Vec<_> = (0..3).map(|_| forked::start(|| use_all(&cache))).collect();
    use_all(&cache);
    children.into_iter().for_each(forked::Child::ends_well);
    use_all(&cache);
}

#[test]
fn every_call_works_in_a_child_as_if_the_cache_had_been_built_there() {
    own_process!();
    let server = Server::start();
    for near in [false, true] {
        // In a process of its own, which has sent no request before it forks.
        forked::run(|| {
            let redis = pool(&server).build().unwrap();
            let cache = builder(&redis);
            let cache = if near { cache.near_cache(100) } else { cache };
            let cache = cache.build().unwrap();
            // Options may be older than the fork, too.
            let options = cache.options();
            forked::run(|| {
                assert_eq!(lookups(&cache), 0);
                cache.get("p-1", load("1")).unwrap();
                assert_eq!(value(&cache, "p-1", "2"), "1");
                assert_eq!(lookups(&cache), 2);
                assert!(cache.invalidate("p-1").unwrap());
                assert!(cache.peek("p-1").unwrap().is_none());
                let found = options.get("p-1", load("3")).unwrap();
                assert_eq!(found.source(), Source::Loaded);
                assert!(cache.update_field("p-1", "v", "4").unwrap());
                let five = |_: &Record| Some(record("5"));
                assert!(cache.update("p-1", five).unwrap());
                assert!(cache.ttl_remaining("p-1").unwrap().left().is_some());
                let none = |_: &[&str]| Ok::<_, Infallible>(HashMap::<String, Record>::new());
                let found = cache.get_many(["p-1"], none).unwrap();
                assert_eq!(**found[0].record().unwrap(), record("5"));
                let written = cache.write("p-1", || Ok::<_, Infallible>(())).unwrap();
                assert!(written.guard_error().is_none() && written.invalidation_error().is_none());
                assert_eq!(cache.invalidate_many(["p-1"]).unwrap(), 0);
                cache.get("p-1", load("6")).unwrap();
                assert_eq!(cache.clear().unwrap(), 1);
                assert!(!cache.expire("p-1").unwrap());
            });
            assert_eq!(value(&cache, "p-1", "7"), "7");
            cache.clear().unwrap();
        });
    }
}

/// The pool of its parent has threads, whose wait a fork copies without them.
#[test]
fn a_child_of_a_process_that_had_connected_is_told_so_and_goes_on_without_redis() {
    own_process!();
    let server = Server::start();
    let redis = pool(&server).build().unwrap();
    let cache = builder(&redis).near_cache(100).build().unwrap();
    cache.get("p-1", load("1")).unwrap();
    let is_told = |said: &str| said.contains("fork before the first lookup or write");
    for _ in 0..5 {
        let child = forked::start(|| {
            // Those of the child, and none of its parent's, which is "1".
            for id in ["p-1", "p-2"] {
                let found = cache.get(id, load("2")).unwrap();
                assert_eq!(**found.record().unwrap(), record("2"));
                let said = chain(found.degraded_cause().unwrap());
                assert!(is_told(&said), "{said}");
            }
            let said = chain(&cache.invalidate("p-1").unwrap_err());
            assert!(is_told(&said), "{said}");
            // A cache that is built here needs the same libraries.
            let said = chain(&pool(&server).build().unwrap_err());
            assert!(is_told(&said), "{said}");
            let own = Cache::<Record>::builder(server.url())
                .prefix("test:")
                .build();
            let said = chain(&own.unwrap_err());
            assert!(is_told(&said), "{said}");
        });
        assert_eq!(value(&cache, "p-1", "3"), "1");
        child.ends_well();
    }
}

/// A generator with a state would give both the same token. Each would then end the lease of the
/// other.
#[test]
fn parent_and_child_draw_different_tokens() {
    own_process!();
    let server = Server::start();
    let draw = || {
        let mut direct = server.connect();
        for _ in 0..500 {
            let token = Token::random();
            let mut add = redis::cmd("SADD");
            add.arg("tokens").arg(token.as_bytes());
            assert!(add.query::<bool>(&mut direct).unwrap(), "drawn twice");
        }
    };
    let _used_before = Token::random();
    let child = forked::start(draw);
    draw();
    child.ends_well();
}

#[test]
fn a_store_that_was_taken_before_the_fork_refuses_in_words() {
    own_process!();
    let server = Server::start();
    let redis = pool(&server).build().unwrap();
    let store = redis.store();
    let keys = Keys::of("test:p-1".to_owned());
    // The store outlives everything else that is on it.
    drop(redis.clone());
    let child = forked::start(|| {
        for failure in [
            store.read("test:p-1").unwrap_err(),
            store.invalidate(&keys).unwrap_err(),
        ] {
            let said = chain(&failure);
            assert!(said.contains("only that one may use it"), "{said}");
        }
        redis.store().ping().unwrap();
    });
    child.ends_well();
    store.ping().unwrap();
    drop(redis);
    forked::run(move || drop(store));
}

/// Then the child is in the middle of a call of its parent.
#[test]
fn a_fork_in_a_loader_gives_the_child_its_record_and_no_connection() {
    own_process!();
    let server = Server::start();
    let redis = pool(&server).build().unwrap();
    let cache = builder(&redis).build().unwrap();
    let mut is_child = false;
    let mut child = None;
    let found = cache.get("p-1", |_| {
        child = forked::split(&mut is_child);
        Ok::<_, Infallible>(Some(record("1")))
    });
    let check = || assert_eq!(**found.unwrap().record().unwrap(), record("1"));
    match child {
        None => forked::end(|| {
            check();
            assert!(cache.invalidate("p-1").is_err());
        }),
        Some(child) => {
            check();
            child.ends_well();
            // The fill of the parent succeeded, and that of the child was not sent.
            assert_eq!(value(&cache, "p-1", "2"), "1");
        }
    }
}

#[test]
fn a_fork_in_an_update_changes_nothing_for_the_child() {
    own_process!();
    let server = Server::start();
    let redis = pool(&server).build().unwrap();
    let cache = builder(&redis).build().unwrap();
    cache.get("p-1", load("0")).unwrap();
    let mut is_child = false;
    let mut child = None;
    let updated = cache.update("p-1", |_| {
        if child.is_none() && !is_child {
            child = forked::split(&mut is_child);
        }
        Some(record(if is_child { "child" } else { "parent" }))
    });
    match child {
        None => forked::end(|| {
            let said = chain(&updated.unwrap_err());
            assert!(said.contains("only that one may use it"), "{said}");
        }),
        Some(child) => {
            child.ends_well();
            assert!(updated.unwrap());
            assert_eq!(value(&cache, "p-1", "2"), "parent");
        }
    }
}

#[test]
fn a_store_in_memory_is_empty_in_a_child() {
    own_process!();
    let cache: Cache = Cache::builder(Memory::new(100))
        .prefix("test:")
        .near_cache(10)
        .build()
        .unwrap();
    cache.get("p-1", load("1")).unwrap();
    forked::run(|| {
        assert_eq!(value(&cache, "p-1", "2"), "2");
        assert_eq!(value(&cache, "p-1", "3"), "2");
        assert!(cache.invalidate("p-1").unwrap());
    });
    assert_eq!(value(&cache, "p-1", "3"), "1");
}

/// A lookup of the child would otherwise wait for a lease whose holder is not there.
#[test]
fn a_child_waits_for_no_load_of_its_parent_in_memory() {
    own_process!();
    let cache: Cache = Cache::builder(Memory::new(100))
        .prefix("test:")
        .build()
        .unwrap();
    cache
        .get("p-1", |_| {
            forked::run(|| {
                let began = Instant::now();
                thread::spawn({
                    let cache = cache.clone();
                    move || assert_eq!(value(&cache, "p-1", "2"), "2")
                })
                .join()
                .unwrap();
                assert!(began.elapsed() < Duration::from_secs(5));
            });
            Ok::<_, Infallible>(Some(record("1")))
        })
        .unwrap();
}

#[test]
fn pending_invalidations_stay_with_the_parent() {
    own_process!();
    let server = Server::start();
    let redis = pool(&server)
        .io_timeout(Duration::from_millis(100))
        .build()
        .unwrap();
    let cache = builder(&redis).build().unwrap();
    cache.get("p-1", load("1")).unwrap();
    server.freeze();
    assert!(cache.invalidate("p-1").is_err());
    let child = forked::start(|| assert_eq!(cache.stats().invalidations_pending, 0));
    child.ends_well();
    assert_eq!(cache.stats().invalidations_pending, 1);
    server.thaw();
    until_recovered(&cache);
    assert_eq!(value(&cache, "p-1", "2"), "2");
}
