//! Named interleavings: each known race, step by step.
//!
//! Two separate caches act as two processes: they share only the store.

use std::{convert::Infallible, thread, time::Duration};

use crate::{
    environment::Environment,
    held::{held, number, version},
    support::until,
};
use cache_aside::{Cache, Source};

fn a_fill_after_an_invalidation_is_refused(environment: &Environment) {
    let (cache, writer) = (environment.cache(), environment.cache());
    let found = cache
        .get("k", |_| {
            // The primary was read at version 1. Now another process changes it to 2.
            writer.invalidate("k").unwrap();
            Ok::<_, Infallible>(Some(version(1)))
        })
        .unwrap();
    assert_eq!(found.source(), Source::Loaded);
    assert_eq!(cache.stats().refused_fills, 1);
    assert_eq!(number(&cache, 2), ("2".into(), Source::Loaded));
}

fn a_fill_after_a_field_update_is_refused(environment: &Environment) {
    let (cache, writer) = (environment.cache(), environment.cache());
    cache
        .get("k", |_| {
            assert!(!writer.update_field("k", "version", "2").unwrap());
            Ok::<_, Infallible>(Some(version(1)))
        })
        .unwrap();
    assert_eq!(cache.stats().refused_fills, 1);
    assert_eq!(number(&cache, 2), ("2".into(), Source::Loaded));
}

fn a_fill_after_an_update_of_no_record_is_refused(environment: &Environment) {
    let (cache, writer) = (environment.cache(), environment.cache());
    cache
        .get("k", |_| {
            assert!(!writer.update("k", |_| Some(version(2))).unwrap());
            Ok::<_, Infallible>(Some(version(1)))
        })
        .unwrap();
    assert_eq!(cache.stats().refused_fills, 1);
    assert_eq!(number(&cache, 2), ("2".into(), Source::Loaded));
}

fn a_reader_after_an_invalidation_does_not_join_the_load_before_it(environment: &Environment) {
    let cache = environment.cache();
    let (old, holder) = held();
    thread::scope(|scope| {
        let slow = scope.spawn(|| cache.get("k", old.load(1)).unwrap());
        holder.has_read.recv().unwrap();
        cache.invalidate("k").unwrap();
        // The old load is still in progress in this process.
        assert_eq!(number(&cache, 2), ("2".into(), Source::Loaded));
        holder.let_go.send(()).unwrap();
        let slow = slow.join().unwrap();
        assert_eq!(slow.record().unwrap().get("version"), Some("1"));
    });
    assert_eq!(cache.stats().refused_fills, 1);
    assert_eq!(number(&cache, 3), ("2".into(), Source::Hit));
}

fn a_token_names_one_fill_and_not_a_client(environment: &Environment) {
    let cache = environment.cache();
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

fn followers_from_before_an_invalidation_may_share_the_old_load_and_it_is_not_cached(
    environment: &Environment,
) {
    let cache = environment.cache();
    let (old, holder) = held();
    thread::scope(|scope| {
        scope.spawn(|| cache.get("k", old.load(1)).unwrap());
        holder.has_read.recv().unwrap();
        let follower = scope.spawn(|| number(&cache, 9));
        until(|| cache.stats().misses == 2);
        cache.invalidate("k").unwrap();
        holder.let_go.send(()).unwrap();
        // It began before the invalidation returned. It followed the old lease, or was late and
        // loaded for itself. In both cases its record must not stay.
        let (seen, _) = follower.join().unwrap();
        assert!(seen == "1" || seen == "9", "{seen}");
    });
    assert_ne!(number(&cache, 2).0, "1");
}

fn a_lease_that_lapsed_does_not_fill(environment: &Environment) {
    let lease = Duration::from_millis(20);
    let builder = environment.builder().lease_ttl(lease).max_load_time(lease);
    let cache: Cache = builder.build().unwrap();
    let other = environment.cache();
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

/// The degraded load is that of a caller whose wait timed out.
fn a_load_after_a_wait_timeout_is_not_shared_with_a_later_lookup(environment: &Environment) {
    let holder_process = environment.cache();
    let build = || -> Cache {
        let builder = environment
            .builder()
            .wait_timeout(Duration::from_millis(100));
        builder.build().unwrap()
    };
    let (cache, writer) = (build(), environment.cache());
    let (first, first_holder) = held();
    let (second, second_holder) = held();
    let (third, third_holder) = held();
    thread::scope(|scope| {
        scope.spawn(|| holder_process.get("k", first.load(1)).unwrap());
        first_holder.has_read.recv().unwrap();
        // Times out while it waits for the other process, and loads for itself.
        scope.spawn(|| cache.get("k", second.load(1)).unwrap());
        second_holder.has_read.recv().unwrap();
        writer.invalidate("k").unwrap();
        // A load of the new version also takes long, in another process.
        scope.spawn(|| holder_process.get("k", third.load(2)).unwrap());
        third_holder.has_read.recv().unwrap();
        // So this reader's wait also times out, while the load of the old version is in progress.
        let reader = scope.spawn(|| number(&cache, 2));
        until(|| cache.stats().degraded == 2);
        second_holder.let_go.send(()).unwrap();
        assert_eq!(reader.join().unwrap(), ("2".into(), Source::Degraded));
        first_holder.let_go.send(()).unwrap();
        third_holder.let_go.send(()).unwrap();
    });
}

on_both_stores! {
    a_fill_after_an_invalidation_is_refused,
    a_fill_after_a_field_update_is_refused,
    a_fill_after_an_update_of_no_record_is_refused,
    a_reader_after_an_invalidation_does_not_join_the_load_before_it,
    a_token_names_one_fill_and_not_a_client,
    followers_from_before_an_invalidation_may_share_the_old_load_and_it_is_not_cached,
    a_lease_that_lapsed_does_not_fill,
    a_load_after_a_wait_timeout_is_not_shared_with_a_later_lookup,
}
