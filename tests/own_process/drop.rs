//! A cache that is dropped leaves no thread of its own behind.

use std::{fs, time::Duration};

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
    // The system shows a joined thread for a moment more. The threads that open connections end by
    // themselves, at once.
    until(|| threads("cache-aside") == 0 && threads("r2d2") == 0);
}
