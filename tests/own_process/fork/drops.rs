//! Drops after a fork, in any order and in both processes.

use std::{fs, sync::mpsc, thread};

use super::{builder, pool, value};
use crate::{
    forked,
    support::{Server, until},
};

fn threads() -> usize {
    fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|name| name.starts_with("cache-aside"))
        .count()
}

#[test]
fn a_child_may_drop_what_it_inherited_in_any_order() {
    own_process!();
    let server = Server::start();
    for near in [false, true] {
        for used_by in [None, Some("parent"), Some("child")] {
            for redis_first in [false, true] {
                // In a process of its own, which has sent no request before.
                forked::run(|| {
                    let redis = pool(&server).build().unwrap();
                    let cache = builder(&redis);
                    let cache = if near { cache.near_cache(100) } else { cache };
                    let cache = cache.build().unwrap();
                    if used_by == Some("parent") {
                        value(&cache, "p-1", "1");
                    }
                    let other = cache.clone();
                    let (theirs, ours) = ((redis, cache), other);
                    forked::run(move || {
                        let (redis, cache) = theirs;
                        if used_by == Some("child") {
                            value(&cache, "p-1", "1");
                        }
                        if redis_first {
                            drop(redis);
                            drop(cache);
                        } else {
                            drop(cache);
                            drop(redis);
                        }
                        drop(ours);
                        // Not those of the child either.
                        until(|| threads() == 0);
                    });
                    // Here the closure dropped everything, too, and the threads have ended.
                    until(|| threads() == 0);
                });
            }
        }
    }
}

/// Its locks may be those of the thread that drops.
#[test]
fn a_child_outlives_the_drop_of_its_parent() {
    own_process!();
    let server = Server::start();
    let redis = pool(&server).build().unwrap();
    let cache = builder(&redis).near_cache(100).build().unwrap();
    let mut direct = server.connect();
    let child = forked::start(|| {
        let mut direct = server.connect();
        let mut wait = redis::cmd("BLPOP");
        wait.arg("dropped").arg(20);
        wait.exec(&mut direct).unwrap();
        assert_eq!(value(&cache, "p-1", "2"), "2");
    });
    drop((cache, redis));
    let mut tell = redis::cmd("RPUSH");
    tell.arg("dropped").arg(1).exec(&mut direct).unwrap();
    child.ends_well();
}

#[test]
fn a_thread_that_ends_with_a_clone_waits_for_nothing() {
    own_process!();
    let server = Server::start();
    let redis = pool(&server).build().unwrap();
    let cache = builder(&redis).build().unwrap();
    let (send, receive) = mpsc::channel();
    let thread = thread::spawn(move || {
        let cache: cache_aside::Cache = receive.recv().unwrap();
        value(&cache, "p-1", "3")
    });
    forked::run(|| {
        let cache = cache.clone();
        let value = thread::spawn(move || value(&cache, "p-1", "2"));
        assert_eq!(value.join().unwrap(), "2");
    });
    send.send(cache).unwrap();
    assert_eq!(thread.join().unwrap(), "2");
}
