//! Invalidations of many records: by id, or of a whole cache.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Barrier,
    thread,
    time::Duration,
};

use cache_aside::{Cache, ClearProgress, Error};

use super::*;
use crate::environment::Environment;

fn names(count: usize) -> Vec<String> {
    (0..count).map(|id| format!("{id}")).collect()
}

/// A cache whose leases and records outlast what a busy machine takes.
fn patient(environment: &Environment, prefix: &str) -> Cache {
    let long = Duration::from_secs(600);
    let builder = environment.patient_builder().prefix(prefix).ttl(long);
    builder.lease_ttl(long / 20).build().unwrap()
}

fn many_are_ended_and_counted(environment: &Environment) {
    let cache = environment.cache();
    cache.get_many(names(20), rows("1")).unwrap();
    let some = ["3", "7", "no such record", "7"];
    assert_eq!(cache.invalidate_many(some).unwrap(), 2);
    assert_eq!(cache.invalidate_many([""; 0]).unwrap(), 0);
    let found = cache.get_many(names(20), rows("2")).unwrap();
    let new: Vec<_> = versions(&found)
        .iter()
        .map(|&version| version == "2")
        .collect();
    let expected: Vec<_> = (0..20).map(|id| id == 3 || id == 7).collect();
    assert_eq!(new, expected);
}

fn an_id_that_cannot_be_one_is_refused_before_anything_is_ended(environment: &Environment) {
    let cache = environment.cache();
    cache.get_many(["a"], rows("1")).unwrap();
    assert!(matches!(
        cache.invalidate_many(["a", ""]),
        Err(Error::InvalidId { .. })
    ));
    assert!(cache.peek("a").unwrap().is_some());
}

fn many_are_ended_by_slices(environment: &Environment) {
    let cache = environment.cache();
    cache.get_many(["24999", "0"], rows("1")).unwrap();
    assert_eq!(cache.invalidate_many(names(25_000)).unwrap(), 2);
}

/// Leads a load of both records, and does this while they are loaded.
fn while_loading(cache: &Cache, operation: impl FnOnce()) {
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
        operation();
        let_go.wait();
        assert_eq!(versions(&slow.join().unwrap().unwrap()), ["old"; 2]);
    });
}

fn loads_under_way_are_ended_with_their_records(environment: &Environment) {
    let (cache, writer) = (environment.cache(), environment.cache());
    while_loading(&cache, || {
        assert_eq!(writer.invalidate_many(["b", "a"]).unwrap(), 0);
        let found = cache.get_many(["a"], rows("new")).unwrap();
        assert_eq!(versions(&found), ["new"]);
    });
    assert_eq!(cache.stats().refused_fills, 2);
    assert_eq!(
        versions(&cache.get_many(["a", "b"], rows("new")).unwrap()),
        ["new"; 2]
    );
}

fn a_cache_is_cleared_and_no_other(environment: &Environment) {
    let (cache, others) = (
        patient(environment, "test:"),
        patient(environment, "others:"),
    );
    let odd = [
        "{shop}:1",
        "}",
        "{",
        "*",
        "ü",
        "[a]",
        "test:",
        "lock:{test:9}",
    ];
    let all = [names(3_000), odd.map(str::to_owned).into()].concat();
    for cache in [&cache, &others] {
        cache.get_many(&all, rows("1")).unwrap();
    }
    let mut seen = Vec::new();
    let removed = cache
        .clear_with_progress(|so_far| seen.push(so_far))
        .unwrap();
    assert_eq!(removed, all.len() as u64);
    assert_grows(&seen, removed);
    for id in &all {
        assert!(cache.peek(id).unwrap().is_none(), "{id}");
        assert!(others.peek(id).unwrap().is_some(), "{id}");
    }
    assert_eq!(cache.clear().unwrap(), 0);
    assert_eq!(versions(&cache.get_many(["1"], rows("2")).unwrap()), ["2"]);
}

fn assert_grows(seen: &[ClearProgress], removed: u64) {
    let grow = |pair: &[ClearProgress]| {
        pair[0].fraction <= pair[1].fraction && pair[0].removed <= pair[1].removed
    };
    assert!(seen.windows(2).all(grow), "{seen:?}");
    assert!(seen.iter().all(|so_far| so_far.fraction > 0.0));
    let last = seen.last().unwrap();
    assert!((last.fraction - 1.0).abs() < f64::EPSILON, "{last:?}");
    assert_eq!(last.removed, removed);
}

/// G1 for a whole cache.
fn loads_under_way_are_ended_with_their_cache(environment: &Environment) {
    let (cache, writer) = (environment.cache(), environment.cache());
    while_loading(&cache, || {
        assert_eq!(writer.clear().unwrap(), 0);
        for cache in [&cache, &writer] {
            let found = cache.get_many(["a"], rows("new")).unwrap();
            assert_eq!(versions(&found), ["new"]);
        }
    });
    assert_eq!(cache.stats().refused_fills, 2);
    let found = cache.get_many(["a", "b"], rows("new")).unwrap();
    assert_eq!(versions(&found), ["new"; 2]);
}

/// The scan of the records has passed a part of the store when an older load fills there. The load
/// must have lost its lease by then.
fn a_load_that_ends_while_a_cache_is_cleared_brings_nothing_back(environment: &Environment) {
    let (cache, writer) = (patient(environment, "test:"), patient(environment, "test:"));
    let all: Vec<_> = (0..200).map(|id| format!("slow {id}")).collect();
    for first in [0, 3] {
        // Enough records for many steps.
        writer.get_many(names(6_000), rows("1")).unwrap();
        let (has_read, let_go, filled) = (Barrier::new(2), Barrier::new(2), Barrier::new(2));
        thread::scope(|scope| {
            scope.spawn(|| {
                let found = cache.get_many(&all, |missing| {
                    let found = rows("old")(missing);
                    has_read.wait();
                    let_go.wait();
                    found
                });
                filled.wait();
                found
            });
            has_read.wait();
            let mut steps = 0;
            writer
                .clear_with_progress(|so_far| {
                    let is_last = (so_far.fraction - 1.0).abs() < f64::EPSILON;
                    if steps == first || (is_last && steps < first) {
                        let_go.wait();
                        filled.wait();
                    }
                    steps += 1;
                })
                .unwrap();
            assert!(steps > first);
        });
        for id in &all {
            assert!(
                cache.peek(id).unwrap().is_none(),
                "{id}, after step {first}"
            );
        }
    }
}

fn a_write_under_way_keeps_its_guard_when_its_cache_is_cleared(environment: &Environment) {
    let (cache, writer) = (environment.cache(), environment.cache());
    let written = writer.write("a", || {
        let before = environment.nonce("a");
        cache.clear().unwrap();
        let after = environment.nonce("a");
        assert!(before.is_some() && after.is_some() && before != after);
        Ok::<_, Infallible>(())
    });
    assert!(written.unwrap().invalidation_error().is_none());
    assert!(!environment.is_held("a"));
}

/// Records that should have been removed may still be there.
fn a_clear_that_does_not_come_to_its_end_leaves_nothing_to_be_read(environment: &Environment) {
    let cache: Cache = environment
        .builder()
        .ttl(Duration::from_secs(5))
        .build()
        .unwrap();
    cache.get_many(["a", "b"], rows("old")).unwrap();
    let stops = |_: ClearProgress| panic!("the caller's own");
    assert!(catch_unwind(AssertUnwindSafe(|| cache.clear_with_progress(stops))).is_err());
    let found = cache.get_many(["a", "b"], rows("new")).unwrap();
    assert_eq!(versions(&found), ["new"; 2]);
    assert_eq!(sources(&found), [Source::Degraded; 2]);
}

on_both_stores! {
    many_are_ended_and_counted,
    an_id_that_cannot_be_one_is_refused_before_anything_is_ended,
    many_are_ended_by_slices,
    loads_under_way_are_ended_with_their_records,
    a_cache_is_cleared_and_no_other,
    loads_under_way_are_ended_with_their_cache,
    a_load_that_ends_while_a_cache_is_cleared_brings_nothing_back,
    a_write_under_way_keeps_its_guard_when_its_cache_is_cleared,
    a_clear_that_does_not_come_to_its_end_leaves_nothing_to_be_read,
}
