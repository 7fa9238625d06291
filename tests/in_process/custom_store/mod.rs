//! A user-defined store, with its own ways to fail.

mod bypass;
mod clear;
mod error_drops;
mod faulty;
mod impossible;
mod max_age;
mod miscounting;
mod name;
mod panics;
mod soft_timeout;
mod stopped_loads;
mod tags;
mod versions;

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, atomic::Ordering::SeqCst, mpsc},
    thread,
    time::Duration,
};

use cache_aside::{Cache, Event, Source, store::FailureKind};

use crate::support::{load_loaf, until};
use bypass::{brief, version};
use faulty::{Faulty, backend};

const MS: fn(u64) -> Duration = Duration::from_millis;

#[test]
fn a_batch_does_not_read_what_an_invalidation_should_have_ended() {
    let store = Faulty::new();
    let cache = brief(&backend(&store));
    let load = |version: &'static str| {
        move |ids: &[&str]| {
            let row = |id: &&str| ((*id).to_owned(), bypass::version(version));
            Ok::<_, Infallible>(ids.iter().map(row).collect::<Vec<_>>())
        }
    };
    let builder = Cache::builder(backend(&store)).prefix("test:");
    let writer: Cache = builder.build().unwrap();
    writer.get_many(["a", "b"], load("old")).unwrap();
    store.refuses.store(true, SeqCst);
    assert!(writer.invalidate_many(["a", "c"]).is_err());
    let found = writer.get_many(["a", "b"], load("new")).unwrap();
    assert_eq!(**found[0].record().unwrap(), version("new"));
    assert_eq!(found[0].source(), Source::Degraded);
    assert!(found[1].is_hit());
    // Nothing may be read from a store that cannot scan its records.
    assert!(cache.clear().is_err());
    let found = cache.get_many(["a", "b"], load("newer")).unwrap();
    assert!(found.iter().all(|found| found.source() == Source::Degraded));
}

#[test]
fn a_store_that_is_silent_in_a_batch_is_asked_once() {
    let store = Faulty::new();
    let cache = brief(&backend(&store));
    store.silent.store(true, SeqCst);
    let ids: Vec<_> = (0..100).map(|id| id.to_string()).collect();
    let load = |ids: &[&str]| {
        let row = |id: &&str| ((*id).to_owned(), version("1"));
        Ok::<_, Infallible>(ids.iter().map(row).collect::<Vec<_>>())
    };
    cache.get_many(&ids, load).unwrap();
    let stats = cache.stats();
    assert_eq!((stats.store_errors, stats.loads), (1, 1));
    assert!(!stats.breaker_open, "one failure");
}

#[test]
fn a_store_that_panics_when_it_is_probed_is_probed_again() {
    let store = Faulty::new();
    let cache = brief(&backend(&store));
    store.silent.store(true, SeqCst);
    until(|| {
        cache.get("x", load_loaf).unwrap();
        cache.stats().breaker_open
    });
    store.panics.store(true, SeqCst);
    store.silent.store(false, SeqCst);
    until(|| !cache.stats().breaker_open);
    assert!(!store.panics.load(SeqCst), "it was probed, and panicked");
}

#[test]
fn a_store_that_panics_when_it_renews_is_asked_to_renew_again() {
    let store = Faulty::new();
    let lease = MS(600);
    let builder = Cache::builder(backend(&store)).prefix("test:");
    let cache: Cache = builder.lease_ttl(lease).build().unwrap();
    for id in ["a", "b"] {
        let panics = id == "a";
        store.panics.store(panics, SeqCst);
        let load = |id: &str| {
            until(|| !store.panics.load(SeqCst));
            thread::sleep(3 * lease);
            load_loaf(id)
        };
        cache.get(id, load).unwrap();
    }
    // A busy machine may have lost the first one.
    assert!(cache.get("b", load_loaf).unwrap().is_hit());
}

/// A slow caller reports the opening. Another thread reports the closing, but not earlier.
#[test]
fn a_breaker_is_not_heard_to_close_before_it_opened() {
    let store = Faulty::new();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (notes, slow) = (Arc::clone(&heard), Arc::clone(&store));
    let observer = move |_: &str, event: &Event<'_>| match event {
        Event::BreakerOpened { .. } => {
            // Time for the recovery thread to find that it works.
            slow.silent.store(false, SeqCst);
            thread::sleep(MS(300));
            notes.lock().unwrap().push("opened");
        }
        Event::BreakerClosed => notes.lock().unwrap().push("closed"),
        _ => {}
    };
    let builder = Cache::builder(backend(&store)).prefix("test:");
    let cache: Cache = builder.observer(observer).build().unwrap();
    // The recovery thread is at work before the breaker opens.
    store.silent.store(true, SeqCst);
    assert!(cache.invalidate("x").is_err());
    for _ in 0..8 {
        cache.get("y", load_loaf).unwrap();
    }
    until(|| heard.lock().unwrap().last() == Some(&"closed"));
    assert_eq!(*heard.lock().unwrap(), ["opened", "closed"]);
    assert!(!cache.stats().breaker_open);
}

#[test]
fn a_cache_that_is_built_during_an_outage_hears_of_it() {
    let store = Faulty::new();
    let backend = backend(&store);
    let cache = brief(&backend);
    store.silent.store(true, SeqCst);
    until(|| {
        cache.get("x", load_loaf).unwrap();
        cache.stats().breaker_open
    });
    let heard = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&heard);
    let observer = move |_: &str, event: &Event<'_>| {
        let is_opened = matches!(event, Event::BreakerOpened { .. });
        notes.lock().unwrap().push(is_opened);
    };
    let builder = Cache::builder(&backend).prefix("later:");
    let _later: Cache = builder.observer(observer).build().unwrap();
    assert_eq!(*heard.lock().unwrap(), [true]);
}

/// On a thread of the cache's own, which would wait for itself.
#[test]
fn an_observer_may_drop_the_last_cache() {
    let store = Faulty::new();
    let kept: Arc<Mutex<Option<Cache>>> = Arc::default();
    let last = Arc::clone(&kept);
    let (done, was_done) = mpsc::channel();
    let observer = move |_: &str, event: &Event<'_>| {
        if let Event::BreakerClosed = event {
            drop(last.lock().unwrap().take());
            done.send(()).unwrap();
        }
    };
    let builder = Cache::builder(backend(&store)).prefix("test:");
    let cache: Cache = builder.observer(observer).build().unwrap();
    store.silent.store(true, SeqCst);
    until(|| {
        cache.get("x", load_loaf).unwrap();
        cache.stats().breaker_open
    });
    *kept.lock().unwrap() = Some(cache);
    store.silent.store(false, SeqCst);
    was_done.recv_timeout(MS(20_000)).unwrap();
}

/// It may have got the lease, and releases it. No caller waits for it.
#[test]
fn a_refresh_whose_reply_is_lost_serves_the_stale_record_and_leaves_no_lease() {
    let store = Faulty::new();
    let builder = Cache::builder(backend(&store)).prefix("test:");
    let lasting = Duration::from_secs(600);
    let builder = builder.grace(lasting).lease_ttl(lasting);
    let cache: Cache = builder.max_load_time(lasting).build().unwrap();
    cache.get("p-001", load_loaf).unwrap();
    cache.expire("p-001").unwrap();

    store.loses.store(true, SeqCst);
    let served = cache.get("p-001", load_loaf).unwrap();
    assert!(served.is_stale() && served.refresh_error().is_none());
    assert_eq!(cache.stats().store_errors, 1);
    until(|| cache.get("p-001", load_loaf).unwrap().source() == Source::Refreshed);
}

#[test]
fn a_fill_that_fails_gives_its_lease_back_and_ends_what_it_should_have_replaced() {
    for kind in [
        FailureKind::Rejected,
        FailureKind::Unavailable,
        FailureKind::Saturated,
    ] {
        let store = Faulty::new();
        let cache: Cache = Cache::builder(backend(&store))
            .prefix("test:")
            .ttl(MS(20))
            .grace(MS(60_000))
            .lease_ttl(MS(60_000))
            .max_load_time(MS(60_000))
            .build()
            .unwrap();
        let load = |ids: &[&str]| {
            let row = |id: &&str| ((*id).to_owned(), crate::support::loaf());
            Ok::<_, Infallible>(ids.iter().map(row).collect::<Vec<_>>())
        };
        cache.get_many(["stale", "stale too"], load).unwrap();
        thread::sleep(MS(25));
        *store.fills_nothing.lock().unwrap() = Some(kind);
        cache.get("stale", load_loaf).unwrap();
        cache.get("absent", load_loaf).unwrap();
        cache.get_many(["stale too", "absent too"], load).unwrap();
        *store.fills_nothing.lock().unwrap() = None;
        for id in ["stale", "stale too"] {
            until(|| cache.peek(id).unwrap().is_none());
        }
        // A test that waited until a lease lapses would take a minute.
        let ids = ["stale", "stale too", "absent", "absent too"];
        let found = cache.get_many(ids, load).unwrap();
        assert!(found.iter().all(|found| found.source() == Source::Loaded));
        let is_cached = |id: &str| cache.peek(id).unwrap().is_some();
        assert!(ids.into_iter().all(is_cached));
    }
}
