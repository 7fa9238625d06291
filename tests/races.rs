//! Named interleavings: each race that was thought of or found, played out step by step.
//!
//! Two caches that were built one by one stand for two processes: they share the server and nothing else.

mod support;

use std::{
    convert::Infallible,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};

use cache_aside::{Cache, Record, Source};
use support::{Server, until};

fn version(number: u32) -> Record {
    Record::from([("version", number.to_string())])
}

fn load(number: u32) -> impl FnOnce(&str) -> Result<Option<Record>, Infallible> {
    move |_| Ok(Some(version(number)))
}

/// A load that has read the primary and does not return before it is let go.
struct Held {
    has_read: Sender<()>,
    let_go: Receiver<()>,
}

/// The other ends of a [`Held`].
struct Holder {
    has_read: Receiver<()>,
    let_go: Sender<()>,
}

fn held() -> (Held, Holder) {
    let (has_read, was_read) = channel();
    let (let_go, was_let_go) = channel();
    let held = Held {
        has_read,
        let_go: was_let_go,
    };
    let holder = Holder {
        has_read: was_read,
        let_go,
    };
    (held, holder)
}

impl Held {
    fn load(self, number: u32) -> impl FnOnce(&str) -> Result<Option<Record>, Infallible> {
        move |_| {
            self.has_read.send(()).unwrap();
            // Bounded, for the test that fails while a load is held.
            self.let_go.recv_timeout(Duration::from_secs(20)).unwrap();
            Ok(Some(version(number)))
        }
    }
}

fn number(cache: &Cache, fresh: u32) -> (String, Source) {
    let found = cache.get("k", load(fresh)).unwrap();
    let record = found.record().unwrap();
    (record.get("version").unwrap().to_owned(), found.source())
}

#[test]
fn a_fill_after_an_invalidation_is_refused() {
    let server = Server::start();
    let (cache, writer) = (server.cache(), server.cache());
    let found = cache
        .get("k", |_| {
            // The primary has been read as 1; now somebody changes it to 2.
            writer.invalidate("k").unwrap();
            Ok::<_, Infallible>(Some(version(1)))
        })
        .unwrap();
    assert_eq!(found.source(), Source::Loaded);
    assert_eq!(cache.stats().refused_fills, 1);
    assert_eq!(number(&cache, 2), ("2".into(), Source::Loaded));
}

#[test]
fn a_fill_after_a_field_update_is_refused() {
    let server = Server::start();
    let (cache, writer) = (server.cache(), server.cache());
    cache
        .get("k", |_| {
            assert!(!writer.update_field("k", "version", "2").unwrap());
            Ok::<_, Infallible>(Some(version(1)))
        })
        .unwrap();
    assert_eq!(cache.stats().refused_fills, 1);
    assert_eq!(number(&cache, 2), ("2".into(), Source::Loaded));
}

#[test]
fn a_fill_after_an_update_of_no_record_is_refused() {
    let server = Server::start();
    let (cache, writer) = (server.cache(), server.cache());
    cache
        .get("k", |_| {
            assert!(!writer.update("k", |_| Some(version(2))).unwrap());
            Ok::<_, Infallible>(Some(version(1)))
        })
        .unwrap();
    assert_eq!(cache.stats().refused_fills, 1);
    assert_eq!(number(&cache, 2), ("2".into(), Source::Loaded));
}

#[test]
fn a_reader_after_an_invalidation_does_not_join_the_load_before_it() {
    let server = Server::start();
    let cache = server.cache();
    let (old, holder) = held();
    thread::scope(|scope| {
        let slow = scope.spawn(|| cache.get("k", old.load(1)).unwrap());
        holder.has_read.recv().unwrap();
        cache.invalidate("k").unwrap();
        // The old load is still under way in this very process.
        assert_eq!(number(&cache, 2), ("2".into(), Source::Loaded));
        holder.let_go.send(()).unwrap();
        let slow = slow.join().unwrap();
        assert_eq!(slow.record().unwrap().get("version"), Some("1"));
    });
    assert_eq!(cache.stats().refused_fills, 1);
    assert_eq!(number(&cache, 3), ("2".into(), Source::Hit));
}

#[test]
fn a_token_names_one_fill_and_not_a_client() {
    let server = Server::start();
    let cache = server.cache();
    let (old, old_holder) = held();
    let (new, new_holder) = held();
    thread::scope(|scope| {
        let first = scope.spawn(|| cache.get("k", old.load(1)).unwrap());
        old_holder.has_read.recv().unwrap();
        cache.invalidate("k").unwrap();
        let second = scope.spawn(|| cache.get("k", new.load(2)).unwrap());
        new_holder.has_read.recv().unwrap();
        // The same cache holds a lease on the key again. The old fill must not pass under it.
        old_holder.let_go.send(()).unwrap();
        first.join().unwrap();
        assert_eq!(cache.stats().refused_fills, 1);
        new_holder.let_go.send(()).unwrap();
        second.join().unwrap();
    });
    assert_eq!(cache.stats().refused_fills, 1);
    assert_eq!(number(&cache, 3), ("2".into(), Source::Hit));
}

#[test]
fn followers_from_before_an_invalidation_may_share_the_old_load_and_it_is_not_cached() {
    let server = Server::start();
    let cache = server.cache();
    let (old, holder) = held();
    thread::scope(|scope| {
        scope.spawn(|| cache.get("k", old.load(1)).unwrap());
        holder.has_read.recv().unwrap();
        let follower = scope.spawn(|| number(&cache, 9));
        until(|| cache.stats().misses == 2);
        cache.invalidate("k").unwrap();
        holder.let_go.send(()).unwrap();
        // It began before the invalidation returned; whether it heard of the old lease or was late and
        // loaded for itself, what it has is not what stays.
        let (seen, _) = follower.join().unwrap();
        assert!(seen == "1" || seen == "9", "{seen}");
    });
    assert_ne!(number(&cache, 2).0, "1");
}

#[test]
fn a_lease_that_lapsed_does_not_fill() {
    let server = Server::start();
    let build = || -> Cache {
        let lease = Duration::from_millis(20);
        let builder = server.builder().lease_ttl(lease).max_load_time(lease);
        builder.build().unwrap()
    };
    let (cache, other) = (build(), build());
    let (old, holder) = held();
    thread::scope(|scope| {
        let slow = scope.spawn(|| cache.get("k", old.load(1)).unwrap());
        holder.has_read.recv().unwrap();
        // Waits until the lease has lapsed, then loads.
        assert_eq!(number(&other, 2), ("2".into(), Source::Loaded));
        holder.let_go.send(()).unwrap();
        slow.join().unwrap();
    });
    assert_eq!(cache.stats().refused_fills, 1);
    assert_eq!(number(&cache, 3), ("2".into(), Source::Hit));
}

/// The interleaving that a degraded flight by key alone would lose: the load is under way in a process that
/// can't reach Redis, while a writer elsewhere can.
#[test]
fn a_degraded_load_from_before_a_lookup_is_not_shared_with_it() {
    let mut server = Server::start();
    let cache = patient_without_redis(&mut server);
    let (old, holder) = held();
    thread::scope(|scope| {
        let slow = scope.spawn(|| cache.get("k", old.load(1)).unwrap());
        holder.has_read.recv().unwrap();
        // Here another process commits 2 and invalidates, over a connection that works.
        let reader = scope.spawn(|| number(&cache, 2));
        until(|| cache.stats().degraded == 2);
        assert_eq!(cache.stats().loads, 1, "one load at a time");
        holder.let_go.send(()).unwrap();
        assert_eq!(slow.join().unwrap().source(), Source::Degraded);
        assert_eq!(reader.join().unwrap(), ("2".into(), Source::Degraded));
    });
    assert_eq!(cache.stats().loads, 2);
}

/// The same without any fault: the degraded load is that of a caller whose wait was over.
#[test]
fn a_load_after_a_wait_timeout_is_not_shared_with_a_later_lookup() {
    let server = Server::start();
    let holder_process = server.cache();
    let build = || -> Cache {
        let builder = server.builder().wait_timeout(Duration::from_millis(100));
        builder.build().unwrap()
    };
    let (cache, writer) = (build(), server.cache());
    let (first, first_holder) = held();
    let (second, second_holder) = held();
    let (third, third_holder) = held();
    thread::scope(|scope| {
        scope.spawn(|| holder_process.get("k", first.load(1)).unwrap());
        first_holder.has_read.recv().unwrap();
        // Gives up waiting for the other process and loads by itself.
        scope.spawn(|| cache.get("k", second.load(1)).unwrap());
        second_holder.has_read.recv().unwrap();
        writer.invalidate("k").unwrap();
        // A load of the new version takes long, too, in another process…
        scope.spawn(|| holder_process.get("k", third.load(2)).unwrap());
        third_holder.has_read.recv().unwrap();
        // …so this reader's wait ends as well, while the load of the old version still flies.
        let reader = scope.spawn(|| number(&cache, 2));
        until(|| cache.stats().degraded == 2);
        second_holder.let_go.send(()).unwrap();
        assert_eq!(reader.join().unwrap(), ("2".into(), Source::Degraded));
        first_holder.let_go.send(()).unwrap();
        third_holder.let_go.send(()).unwrap();
    });
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
                    drop(alone);
                    Ok::<_, Infallible>(Some(version(1)))
                });
                assert_eq!(found.unwrap().source(), Source::Degraded);
            });
        }
    });
    // Those who began after the first load was announced, if any, share a second one.
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
