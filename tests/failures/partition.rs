//! Loads in a process that cannot reach Redis: which lookups share them.

use std::{convert::Infallible, thread, time::Duration};

use crate::held::{held, number, version};
use crate::support::{Server, until};
use cache_aside::{Cache, Source};

/// The interleaving that a degraded call found by key alone would get wrong. The load runs in a
/// process that cannot reach Redis, while a writer elsewhere can.
#[test]
fn a_degraded_load_from_before_a_lookup_is_not_shared_with_it() {
    let mut server = Server::start();
    let cache = patient_without_redis(&mut server);
    let (old, holder) = held();
    thread::scope(|scope| {
        let slow = scope.spawn(|| cache.get("k", old.load(1)).unwrap());
        holder.has_read.recv().unwrap();
        // Another process commits 2 and invalidates, through a connection that works.
        let reader = scope.spawn(|| number(&cache, 2));
        until(|| cache.stats().degraded == 2);
        assert_eq!(cache.stats().loads, 1, "one load at a time");
        holder.let_go.send(()).unwrap();
        assert_eq!(slow.join().unwrap().source(), Source::Degraded);
        assert_eq!(reader.join().unwrap(), ("2".into(), Source::Degraded));
    });
    assert_eq!(cache.stats().loads, 2);
}

#[test]
fn degraded_lookups_load_one_at_a_time_and_share() {
    const READERS: u64 = 16;
    let mut server = Server::start();
    let cache = patient_without_redis(&mut server);
    let flying = std::sync::Mutex::new(());
    thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                let found = cache.get("k", |_| {
                    let alone = flying.try_lock().expect("one load at a time");
                    until(|| cache.stats().degraded == READERS);
                    // A lookup is counted before it joins a load: time for the last ones to join.
                    thread::sleep(Duration::from_millis(300));
                    drop(alone);
                    Ok::<_, Infallible>(Some(version(1)))
                });
                assert_eq!(found.unwrap().source(), Source::Degraded);
            });
        }
    });
    // Lookups that began after the first load was registered, if any, share a second one.
    let stats = cache.stats();
    assert!((1..=2).contains(&stats.loads), "{stats:?}");
    assert_eq!(stats.stampedes_suppressed + stats.loads, READERS);
}

/// A cache whose server has just died.
fn patient_without_redis(server: &mut Server) -> Cache {
    let redis = cache_aside::Redis::builder(server.url())
        .checkout_timeout(Duration::from_millis(100))
        .build()
        .unwrap();
    server.kill();
    Cache::builder(redis).prefix("test:").build().unwrap()
}
