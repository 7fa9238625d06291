//! Named interleavings with tags: each known race, step by step.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use cache_aside::{
    Backend, Cache, Source,
    store::{Acquire, Failure, Keys, Recheck, Store, TaggedStore, Token},
};

use super::{get, load, seen};
use crate::{
    delegate::delegate,
    environment::Environment,
    held::{held, version},
    support::until,
};

const A: &[&str] = &["a"];

/// The load began before the invalidation. Its fill is not refused, but its record is too old.
fn a_load_from_before_an_invalidation_answers_no_later_lookup(environment: &Environment) {
    let (cache, writer) = (environment.cache(), environment.cache());
    let found = cache.options().tags(&["a"]).get("k", |_| {
        writer.invalidate_tag("a").unwrap();
        Ok::<_, Infallible>(Some(version(1)))
    });
    assert_eq!(seen(&found.unwrap()), (1, Source::Loaded));
    assert_eq!(get(&cache, &["a"], 2), (2, Source::Loaded));
    assert_eq!(get(&writer, &["a"], 3), (2, Source::Hit));
}

fn a_lookup_after_an_invalidation_does_not_join_the_load_before_it(environment: &Environment) {
    let (cache, other) = (environment.cache(), environment.cache());
    for joins in [&cache, &other] {
        let (old, holder) = held();
        thread::scope(|scope| {
            let slow = cache.options().tags(A);
            let slow = scope.spawn(move || slow.get("k", old.load(1)).unwrap());
            holder.has_read.recv().unwrap();
            cache.invalidate_tag("a").unwrap();
            // The old load still holds the lease. This one replaces it.
            assert_eq!(get(joins, &["a"], 2), (2, Source::Loaded));
            holder.let_go.send(()).unwrap();
            assert_eq!(seen(&slow.join().unwrap()).0, 1);
        });
        assert_eq!(
            get(&cache, &["a"], 3),
            (2, Source::Hit),
            "the old fill is refused"
        );
        cache.invalidate("k").unwrap();
    }
    assert_eq!(cache.stats().refused_fills, 2);
}

fn a_lookup_joins_a_load_that_saw_the_latest_invalidation_of_its_tags(environment: &Environment) {
    let cache = environment.cache();
    let (slow, holder) = held();
    thread::scope(|scope| {
        let under = cache.options().tags(A);
        let leader = scope.spawn(move || under.get("k", slow.load(1)).unwrap());
        holder.has_read.recv().unwrap();
        // Another tag does not matter.
        cache.invalidate_tag("b").unwrap();
        let follower = scope.spawn(|| get(&cache, &["a"], 2));
        until(|| cache.stats().misses == 2);
        holder.let_go.send(()).unwrap();
        assert_eq!(seen(&leader.join().unwrap()).0, 1);
        assert_eq!(follower.join().unwrap().0, 1);
    });
    assert_eq!(cache.stats().loads, 1);
}

/// The nonce of a guard does not change with a tag.
fn a_load_under_a_guard_is_not_shared_across_an_invalidation(environment: &Environment) {
    let (cache, writer) = (environment.cache(), environment.cache());
    let (old, holder) = held();
    thread::scope(|scope| {
        let _ = writer
            .write("k", || {
                let slow = cache.options().tags(A);
                let slow = scope.spawn(move || slow.get("k", old.load(1)).unwrap());
                holder.has_read.recv().unwrap();
                writer.invalidate_tag("a").unwrap();
                assert_eq!(get(&cache, &["a"], 2), (2, Source::Loaded));
                holder.let_go.send(()).unwrap();
                assert_eq!(seen(&slow.join().unwrap()).0, 1);
                Ok::<_, Infallible>(())
            })
            .unwrap();
    });
}

fn a_load_under_a_guard_is_shared_while_no_tag_is_invalidated(environment: &Environment) {
    let (cache, writer) = (environment.cache(), environment.cache());
    let (slow, holder) = held();
    thread::scope(|scope| {
        let _ = writer
            .write("k", || {
                let under = cache.options().tags(A);
                let leader = scope.spawn(move || under.get("k", slow.load(1)).unwrap());
                holder.has_read.recv().unwrap();
                let follower = scope.spawn(|| get(&cache, &["a"], 2));
                until(|| cache.stats().misses == 2);
                holder.let_go.send(()).unwrap();
                leader.join().unwrap();
                let (number, _) = follower.join().unwrap();
                assert!(number == 1 || number == 2, "it may come too late");
                Ok::<_, Infallible>(())
            })
            .unwrap();
    });
}

/// The record was loaded without tags. It is not known whether it is older.
fn a_load_without_tags_is_replaced_by_a_lookup_under_tags(environment: &Environment) {
    let cache = environment.cache();
    let (old, holder) = held();
    thread::scope(|scope| {
        let slow = scope.spawn(|| cache.get("k", old.load(1)).unwrap());
        holder.has_read.recv().unwrap();
        assert_eq!(get(&cache, &["a"], 2), (2, Source::Loaded));
        holder.let_go.send(()).unwrap();
        slow.join().unwrap();
    });
    assert_eq!(get(&cache, &["a"], 3), (2, Source::Hit));
    assert_eq!(seen(&cache.get("k", load(4)).unwrap()), (4, Source::Loaded));
}

/// A store on which another process fills the record before the next request for a lease.
struct FilledMeanwhile {
    store: Arc<dyn Store>,
    other: Mutex<Option<Cache>>,
}

impl Store for FilledMeanwhile {
    fn acquire(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        recheck: Recheck,
    ) -> Result<Acquire, Failure> {
        let other = self.other.lock().unwrap().take();
        if let Some(other) = other {
            assert_eq!(get(&other, A, 2), (2, Source::Loaded));
        }
        self.store.acquire(keys, token, lease_ttl, recheck)
    }

    fn tagged(&self) -> Option<&dyn TaggedStore> {
        self.store.tagged()
    }

    delegate! { store: read read_with_ttl refresh fill keep release back_off renew invalidate expire guard unguard update ttl ping }
}

/// Otherwise each of many callers that find the old record would load it, one after the other.
fn a_lookup_that_finds_an_old_record_takes_one_that_was_filled_since(environment: &Environment) {
    let other = environment.cache();
    let store = Arc::new(FilledMeanwhile {
        store: Arc::clone(environment.store()),
        other: Mutex::new(None),
    });
    let backend = Backend::new(Arc::<FilledMeanwhile>::clone(&store));
    let cache: Cache = Cache::builder(backend).prefix("test:").build().unwrap();
    assert_eq!(get(&cache, A, 1), (1, Source::Loaded));
    cache.invalidate_tag("a").unwrap();
    *store.other.lock().unwrap() = Some(other);
    assert_eq!(get(&cache, A, 3), (2, Source::Waited));
}

/// While it waits, it looks whether another process has filled the record.
fn a_lookup_that_waits_for_its_turn_takes_no_record_from_before_its_tags(
    environment: &Environment,
) {
    let cache: Cache = environment.builder().max_loads(1).build().unwrap();
    let other = environment.cache();
    let (busy, holder) = held();
    thread::scope(|scope| {
        scope.spawn(|| cache.get("another", busy.load(9)).unwrap());
        holder.has_read.recv().unwrap();
        let waiting = scope.spawn(|| get(&cache, A, 2));
        until(|| cache.stats().misses == 2);
        // It is not known what this load has seen.
        assert_eq!(seen(&other.get("k", load(1)).unwrap()), (1, Source::Loaded));
        thread::sleep(Duration::from_millis(100));
        holder.let_go.send(()).unwrap();
        assert_eq!(waiting.join().unwrap(), (2, Source::Loaded));
    });
    let (busy, holder) = held();
    thread::scope(|scope| {
        cache.invalidate("k").unwrap();
        scope.spawn(|| cache.get("yet another", busy.load(9)).unwrap());
        holder.has_read.recv().unwrap();
        let waiting = scope.spawn(|| get(&cache, A, 4));
        until(|| cache.stats().misses == 4);
        // This one has seen all that was invalidated before the lookup.
        assert_eq!(get(&other, A, 3), (3, Source::Loaded));
        assert_eq!(waiting.join().unwrap().0, 3);
        holder.let_go.send(()).unwrap();
    });
}

on_both_stores! {
    a_load_from_before_an_invalidation_answers_no_later_lookup,
    a_lookup_after_an_invalidation_does_not_join_the_load_before_it,
    a_lookup_joins_a_load_that_saw_the_latest_invalidation_of_its_tags,
    a_load_under_a_guard_is_not_shared_across_an_invalidation,
    a_load_under_a_guard_is_shared_while_no_tag_is_invalidated,
    a_load_without_tags_is_replaced_by_a_lookup_under_tags,
    a_lookup_that_finds_an_old_record_takes_one_that_was_filled_since,
    a_lookup_that_waits_for_its_turn_takes_no_record_from_before_its_tags,
}
