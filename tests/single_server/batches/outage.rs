//! Batches without Redis, and their pending invalidations.

use std::{
    sync::{Barrier, Mutex},
    thread,
};

use super::*;
use crate::support::{Server, until, until_recovered};

const SOME: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Reads the records in several threads at once, each in another order.
fn from_threads(
    cache: &Cache,
    threads: usize,
    load: impl Fn(&[&str]) -> Result<Rows, Infallible> + Sync,
) {
    let start = Barrier::new(threads);
    thread::scope(|scope| {
        for number in 0..threads {
            let (load, start) = (&load, &start);
            scope.spawn(move || {
                let mut ids = SOME;
                ids.rotate_left(number);
                start.wait();
                let found = cache.get_many(ids, load).unwrap();
                assert_are(&found, &ids);
                assert!(found.iter().all(|found| found.degraded_cause().is_some()));
            });
        }
    });
}

#[test]
fn batches_that_meet_a_silent_server_together_load_each_record_once() {
    const THREADS: usize = 4;
    let server = Server::start();
    let cache = cache(impatient(&server.url()));
    // A connection for each.
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| cache.ttl_remaining("warm").unwrap());
        }
    });
    server.freeze();
    let loads = Mutex::new(Vec::new());
    from_threads(&cache, THREADS, |missing| {
        let own = missing.iter().map(|id| (*id).to_owned());
        loads.lock().unwrap().extend(own);
        // All have arrived by now, and began before this was registered.
        until(|| cache.stats().degraded == 5 * THREADS as u64);
        // They wait for this soon, which cannot be observed.
        thread::sleep(TIMEOUT);
        rows("1")(missing)
    });
    server.thaw();
    let mut loads = loads.into_inner().unwrap();
    loads.sort();
    assert_eq!(loads, SOME);
}

#[test]
fn without_redis_a_record_is_loaded_by_one_batch_at_a_time() {
    let mut server = Server::start();
    let cache = cache(impatient(&server.url()));
    server.kill();
    until(|| {
        cache.get_many(["x"], rows("0")).unwrap();
        cache.stats().breaker_open
    });
    for _ in 0..50 {
        let running = Mutex::new(Vec::new());
        from_threads(&cache, 4, |missing| {
            let own = || missing.iter().map(|id| (*id).to_owned());
            {
                let mut running = running.lock().unwrap();
                assert!(own().all(|id| !running.contains(&id)), "two at a time");
                running.extend(own());
            }
            thread::sleep(Duration::from_millis(1)); // the primary's latency
            running
                .lock()
                .unwrap()
                .retain(|id| !missing.contains(&id.as_str()));
            rows("1")(missing)
        });
    }
}

#[test]
fn invalidations_that_fail_are_remembered_one_by_one_and_replayed() {
    let server = Server::start();
    let cache = cache(impatient(&server.url()));
    let ids = names(300);
    server.cache().get_many(&ids, rows("old")).unwrap();
    until(|| {
        let found = cache.get_many(&ids, rows("old")).unwrap();
        found.iter().all(Lookup::is_hit)
    });
    server.freeze();
    assert!(cache.invalidate_many(&ids[..200]).is_err());
    assert_eq!(cache.stats().invalidations_pending, 200);
    assert_eq!(cache.stats().invalidations_remembered, 200);
    server.thaw();
    // Before and after they have been replayed.
    let found = cache.get_many(&ids, rows("new")).unwrap();
    assert!(
        versions(&found)[..200]
            .iter()
            .all(|version| *version == "new")
    );
    until_recovered(&cache);
    // Each is counted after it has been removed from those that are pending.
    until(|| cache.stats().invalidations_replayed == 200);
    let found = cache.get_many(&ids, rows("newer")).unwrap();
    assert!(!versions(&found)[..200].contains(&"old"));
    assert_eq!(versions(&found)[200..], ["old"; 100]);
}

#[test]
fn records_that_could_not_be_expired_are_not_peeked_and_are_replayed_as_invalidations() {
    let server = Server::start();
    let redis = impatient(&server.url()).build().unwrap();
    let grace = Duration::from_secs(600);
    let builder = Cache::builder(&redis).prefix("test:").grace(grace);
    let cache: Cache = builder.build().unwrap();
    let ids = names(30);
    cache.get_many(&ids, rows("1")).unwrap();
    server.freeze();
    assert!(cache.expire_many(&ids[..20]).is_err());
    assert_eq!(cache.stats().invalidations_pending, 20);
    assert!(cache.peek_many(&ids[10..]).is_err());
    server.thaw();
    until_recovered(&cache);
    let cached = cache.peek_many(&ids).unwrap();
    let cached: Vec<_> = cached.iter().map(Option::is_some).collect();
    assert_eq!(cached, [[false; 10], [false; 10], [true; 10]].concat());
}

#[test]
fn an_invalidation_that_is_repeated_in_a_batch_settles_it() {
    let server = Server::start();
    let cache = cache(impatient(&server.url()).probe_interval(Duration::from_secs(60)));
    server.freeze();
    assert!(cache.invalidate_many(["a", "b"]).is_err());
    server.thaw();
    until(|| cache.invalidate_many(["a", "b"]).is_ok());
    assert_eq!(cache.stats().invalidations_pending, 0);
}

#[test]
fn more_than_can_be_remembered_bypass_their_prefix() {
    let mut server = Server::start();
    let cache = cache(impatient(&server.url()));
    server.kill();
    assert!(cache.invalidate_many(names(10_001)).is_err());
    assert_eq!(cache.stats().invalidations_pending, 10_000);
    server.start_again();
    until_recovered(&cache);
    let found = cache.get_many(["another", "one"], rows("1")).unwrap();
    assert_eq!(sources(&found), [Source::Degraded; 2]);
}

/// Of three thousand, two thousand are not asked for after a thousand have timed out.
#[test]
fn stale_records_are_served_after_one_wait_for_a_server_that_does_not_answer() {
    const LONG: Duration = Duration::from_secs(600);
    let server = Server::start();
    let redis = Redis::builder(server.url()).io_timeout(Duration::from_secs(1));
    let builder = Cache::builder(redis).prefix("test:").grace(LONG);
    let cache: Cache = builder.lease_ttl(LONG).max_load_time(LONG).build().unwrap();
    let ids = names(3_000);
    cache.get_many(&ids, rows("1")).unwrap();
    for id in &ids {
        cache.expire(id).unwrap();
    }
    // Reads are answered, scripts are not.
    let mut direct = server.connect();
    let mut pause = redis::cmd("CLIENT");
    let pause = pause.arg("PAUSE").arg(60_000).arg("WRITE");
    pause.exec(&mut direct).unwrap();
    let found = cache.get_many(&ids, never).unwrap();
    assert!(found.iter().all(Lookup::is_stale));
    assert_eq!(cache.stats().store_errors, 1);
}
