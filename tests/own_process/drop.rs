//! A cache that is dropped leaves no thread of its own behind.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use crate::support::{Server, load_loaf, until};
use cache_aside::Redis;

fn threads(name: &str) -> usize {
    fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
        // Linux cuts names at fifteen bytes.
        .filter(|comm| name.starts_with(comm.trim()) || comm.starts_with(name))
        .count()
}

#[test]
fn a_dropped_cache_leaves_no_thread_behind() {
    own_process!();
    let server = Server::start();
    let redis = Redis::builder(server.url()).io_timeout(Duration::from_millis(50));
    let cache = cache_aside::Cache::builder(redis).prefix("test:");
    let cache = cache.build().unwrap();
    assert_eq!(
        threads("cache-aside-lea"),
        0,
        "there is none before the first load"
    );
    cache.get("p-001", load_loaf).unwrap();
    cache.clone().get("p-002", load_loaf).unwrap();
    // A new thread sets its own name, so it may take a moment to appear.
    until(|| threads("cache-aside-lea") == 1);

    assert_eq!(
        threads("cache-aside-rec"),
        0,
        "nor before the first failure"
    );
    server.freeze();
    assert!(cache.invalidate("p-001").is_err());
    until(|| threads("cache-aside-rec") == 1);
    server.thaw();

    drop(cache);
    // They end by themselves, at once.
    until(|| threads("cache-aside") == 0 && threads("r2d2") == 0);
}

/// The listener reads from its connection when it is told to stop.
#[test]
fn the_drop_of_a_listening_near_cache_does_not_wait_for_its_listener() {
    own_process!();
    let server = Server::start();
    let redis = Redis::builder(server.url()).build().unwrap();
    let mut total = Duration::ZERO;
    for _ in 0..10 {
        let builder = cache_aside::Cache::builder(&redis).prefix("test:");
        let cache: cache_aside::Cache = builder.near_cache(10).build().unwrap();
        until(|| cache.stats().tracking_live);
        let began = Instant::now();
        drop(cache);
        total += began.elapsed();
    }
    println!("10 drops took {total:?}");
    // Each read takes a quarter of a second.
    assert!(total < Duration::from_secs(1), "{total:?}");
    drop(redis);
    until(|| threads("cache-aside") == 0);
}

/// Its listener, its watcher and its pool wait for the server to answer.
#[test]
fn the_drop_of_a_near_cache_does_not_wait_for_a_silent_server() {
    own_process!();
    let server = Server::start_on_port();
    let long = Duration::from_secs(8);
    let redis = Redis::builder(server.url()).connect_timeout(long);
    let cache = cache_aside::Cache::builder(redis).prefix("test:");
    let cache: cache_aside::Cache = cache.near_cache(10).build().unwrap();
    until(|| cache.stats().tracking_live);
    cache.get("p-001", load_loaf).unwrap();
    server.freeze();
    // The listener has noticed it and connects again. The watcher does so every 0.9 s.
    until(|| !cache.stats().tracking_live);
    thread::sleep(Duration::from_millis(1_500));
    let began = Instant::now();
    drop(cache);
    let elapsed = began.elapsed();
    server.thaw();
    assert!(elapsed < Duration::from_secs(2), "{elapsed:?}");
    until(|| threads("cache-aside") == 0);
}
