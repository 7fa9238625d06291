//! A cache that is dropped leaves no thread of its own behind. Alone in its file, since it counts threads.

#![cfg(target_os = "linux")]

mod support;

use std::fs;

use support::{Server, load_loaf};

fn keepers() -> usize {
    fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
        // Linux cuts names at fifteen bytes.
        .filter(|name| "cache-aside-keeper".starts_with(name.trim()))
        .count()
}

#[test]
fn a_dropped_cache_has_joined_its_keeper() {
    let server = Server::start();
    let cache = server.cache();
    assert_eq!(keepers(), 0, "there is none before the first load");
    cache.get("p-001", load_loaf).unwrap();
    cache.clone().get("p-002", load_loaf).unwrap();
    assert_eq!(keepers(), 1);
    drop(cache);
    assert_eq!(keepers(), 0);
}
