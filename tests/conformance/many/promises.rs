//! The guarantees of a lookup hold for each id of a batch.

use std::{
    sync::{Barrier, Mutex},
    thread,
    time::Duration,
};

use cache_aside::{Cache, Error};

use super::*;
use crate::{environment::Environment, support::until};

fn after_wait_timeout_the_rest_is_loaded_without_the_cache(environment: &Environment) {
    let holder = environment.cache();
    let patience = Duration::from_millis(100);
    let cache: Cache = environment
        .builder()
        .wait_timeout(patience)
        .build()
        .unwrap();
    let strict = environment.builder().wait_timeout(patience);
    let strict: Cache = strict.fail_on_wait_timeout(true).build().unwrap();
    let (began, ended) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            holder.get_many(["a", "b"], |missing| {
                began.wait();
                ended.wait();
                rows("1")(missing)
            })
        });
        began.wait();
        let calls = Mutex::new(Vec::new());
        let load = |missing: &[&str]| {
            calls.lock().unwrap().push(missing.join(" "));
            rows("2")(missing)
        };
        let found = cache.get_many(["a", "own", "b"], load);
        let failed = strict.get_many(["a", "own 2"], rows("2"));
        // Before any assertion: the holder waits for this.
        ended.wait();
        let found = found.unwrap();
        assert_eq!(
            sources(&found),
            [Source::Degraded, Source::Loaded, Source::Degraded]
        );
        let why = found[0].degraded_cause();
        assert!(matches!(why, Some(Error::WaitTimeout { .. })), "{why:?}");
        assert_eq!(*calls.lock().unwrap(), ["own", "a b"]);
        assert!(matches!(failed, Err(Error::WaitTimeout { .. })));
    });
    assert_eq!(
        versions(&cache.get_many(["a", "b"], never).unwrap()),
        ["1", "1"]
    );
}

fn a_batch_during_a_write_loads_and_does_not_fill(environment: &Environment) {
    let (cache, writer) = (environment.cache(), environment.cache());
    let _ = writer
        .write("a", || {
            let found = cache.get_many(["a", "b"], |missing| {
                assert_eq!(missing, ["a", "b"], "in one call");
                rows("1")(missing)
            });
            assert_eq!(sources(&found.unwrap()), [Source::Loaded; 2]);
            Ok::<_, Infallible>(())
        })
        .unwrap();
    let found = cache.get_many(["a", "b"], rows("2")).unwrap();
    assert_eq!(versions(&found), ["2", "1"]);
}

/// G1 for a batch.
fn a_batch_that_was_loading_does_not_bring_back_what_was_invalidated(environment: &Environment) {
    let (cache, writer) = (environment.cache(), environment.cache());
    let (has_read, let_go) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        let slow = scope.spawn(|| {
            cache.get_many(["a", "b"], |missing| {
                let found = rows("old")(missing);
                has_read.wait();
                let_go.wait();
                found
            })
        });
        has_read.wait();
        writer.invalidate("a").unwrap();
        // A new lookup shares nothing with the earlier load, in its process or another.
        for cache in [&cache, &writer] {
            let found = cache.get_many(["a"], rows("new")).unwrap();
            assert_eq!(versions(&found), ["new"]);
        }
        let_go.wait();
        let found = slow.join().unwrap().unwrap();
        assert_eq!(versions(&found), ["old", "old"]);
    });
    assert_eq!(cache.stats().refused_fills, 1);
    let found = cache.get_many(["a", "b"], never).unwrap();
    assert_eq!(versions(&found), ["new", "old"]);
}

fn a_batch_that_takes_longer_than_its_leases_keeps_them(environment: &Environment) {
    let lease = Duration::from_millis(300);
    let cache: Cache = environment.builder().lease_ttl(lease).build().unwrap();
    let names: Vec<_> = (0..50).map(|id| format!("{id}")).collect();
    let load = |missing: &[&str]| {
        thread::sleep(4 * lease);
        rows("1")(missing)
    };
    // Repeated where a busy machine was late. Without renewal it would fail each time.
    until(|| {
        cache.invalidate_many(&names).unwrap();
        let before = cache.stats().refused_fills;
        cache.get_many(&names, load).unwrap();
        cache.stats().refused_fills == before
    });
}

on_both_stores! {
    after_wait_timeout_the_rest_is_loaded_without_the_cache,
    a_batch_during_a_write_loads_and_does_not_fill,
    a_batch_that_was_loading_does_not_bring_back_what_was_invalidated,
    a_batch_that_takes_longer_than_its_leases_keeps_them,
}
