//! Batches of more than 10,000 ids.

use std::sync::Mutex;

use super::*;
use crate::support::Server;

#[test]
fn many_ids_go_in_slices_of_ten_thousand() {
    const IDS: usize = 25_000;
    let server = Server::start();
    let patient = Redis::builder(server.url()).io_timeout(Duration::from_secs(20));
    let cache: Cache = patient_cache(patient);
    let calls = Mutex::new(Vec::new());
    let load = |missing: &[&str]| {
        calls.lock().unwrap().push(missing.len());
        rows("1")(missing)
    };
    let ids = names(IDS);
    assert_are(&cache.get_many(&ids, load).unwrap(), &ids);
    assert_eq!(*calls.lock().unwrap(), [10_000, 10_000, 5_000]);
    // Some of them, twice, and in another order.
    let backwards: Vec<_> = ids.iter().rev().chain(&ids).collect();
    let found = cache.get_many(&backwards, never).unwrap();
    assert_are(&found, &backwards);
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.loads), (25_000, 25_000, 3));
    assert_eq!((stats.refused_fills, stats.store_errors), (0, 0));
    assert_eq!(cache.invalidate_many(&ids).unwrap(), IDS as u64);
    server.assert_every_key_expires();
}

#[test]
fn a_slice_that_fails_leaves_those_before_it_cached() {
    let server = Server::start();
    let patient = Redis::builder(server.url()).io_timeout(Duration::from_secs(20));
    let cache: Cache = patient_cache(patient);
    let ids = names(10_001);
    let load = |missing: &[&str]| {
        if missing == ["10000"] {
            return Err("the primary is away");
        }
        Ok(rows("1")(missing).unwrap())
    };
    assert!(cache.get_many(&ids, load).is_err());
    cache.get_many(&ids[..10_000], never).unwrap();
}
