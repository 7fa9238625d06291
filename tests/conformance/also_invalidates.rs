//! Writes that also invalidate the same id under another prefix.

use std::{convert::Infallible, time::Duration};

use crate::{
    environment::Environment,
    held::{load, version},
    support::load_loaf,
};
use cache_aside::{Cache, Loaded, Record, Source, UnitOfWork};

/// A program with a new prefix that also invalidates the old one, and a program with the old one.
fn new_and_old(environment: &Environment) -> (Cache, Cache) {
    let new = environment.builder().prefix("test:product-2:");
    let new = new.also_invalidates("test:product-1:").build().unwrap();
    let old = environment
        .builder()
        .prefix("test:product-1:")
        .build()
        .unwrap();
    (new, old)
}

/// A call, and its name.
type Write = (&'static str, fn(&Cache));

const WRITES: [Write; 10] = [
    ("invalidate", |cache| {
        cache.invalidate("p-001").unwrap();
    }),
    ("invalidate_many", |cache| {
        cache.invalidate_many(["p-001", "p-002"]).unwrap();
    }),
    ("expire", |cache| {
        cache.expire("p-001").unwrap();
    }),
    ("expire_many", |cache| {
        cache.expire_many(["p-001", "p-002"]).unwrap();
    }),
    ("update_field", |cache| {
        cache.update_field("p-001", "version", "2").unwrap();
    }),
    ("update", |cache| {
        cache
            .update("p-001", |record: &Record| Some(record.clone()))
            .unwrap();
    }),
    ("write", |cache| {
        let _ = cache.write("p-001", || Ok::<_, Infallible>(())).unwrap();
    }),
    ("write_many", |cache| {
        let written = cache.write_many(["p-001", "p-002"], || Ok::<_, Infallible>(()));
        assert!(written.unwrap().deferred().is_empty());
    }),
    ("unit", |cache| {
        let mut unit = UnitOfWork::new();
        unit.add(cache, "p-001").unwrap();
        unit.guard();
        assert!(unit.commit().deferred().is_empty());
    }),
    ("clear", |cache| {
        cache.clear().unwrap();
    }),
];

fn every_write_ends_the_record_under_both_prefixes(environment: &Environment) {
    let (new, old) = new_and_old(environment);
    for (name, write) in WRITES {
        for cache in [&new, &old] {
            cache.get("p-001", load(1)).unwrap();
            assert!(cache.get("p-001", load(1)).unwrap().is_hit(), "{name}");
        }
        write(&new);
        let found = old.get("p-001", load(2)).unwrap();
        assert_eq!(found.source(), Source::Loaded, "{name}");
        // A write of the old program does not reach the new one: that is the other's setting.
        new.invalidate("p-001").unwrap();
        new.get("p-001", load(1)).unwrap();
        write(&old);
        assert!(new.get("p-001", load(1)).unwrap().is_hit(), "{name}");
    }
}

fn every_write_refuses_the_fill_of_a_load_under_the_other_prefix(environment: &Environment) {
    let (new, old) = new_and_old(environment);
    for (name, write) in WRITES {
        old.invalidate("p-001").unwrap();
        old.reset_stats();
        let found = old.get("p-001", |id| {
            write(&new);
            load_loaf(id)
        });
        assert_eq!(found.unwrap().source(), Source::Loaded, "{name}");
        assert_eq!(old.stats().refused_fills, 1, "{name}");
        assert!(old.peek("p-001").unwrap().is_none(), "{name}");
    }
}

fn a_write_counts_the_records_of_its_own_prefix(environment: &Environment) {
    let (new, old) = new_and_old(environment);
    old.get("p-001", load_loaf).unwrap();
    assert!(!new.invalidate("p-001").unwrap());
    new.get("p-001", load_loaf).unwrap();
    old.get("p-001", load_loaf).unwrap();
    assert_eq!(new.invalidate_many(["p-001", "p-002"]).unwrap(), 1);
}

fn while_a_write_runs_nothing_is_cached_under_either_prefix(environment: &Environment) {
    let (new, old) = new_and_old(environment);
    let written = new.write("p-001", || {
        for cache in [&new, &old] {
            cache.get("p-001", load_loaf).unwrap();
            assert!(cache.peek("p-001").unwrap().is_none());
        }
        Ok::<_, Infallible>(())
    });
    assert!(written.unwrap().deferred().is_empty());
}

/// `expire` leaves a stale record of its own prefix, and none under the other.
fn an_expired_record_keeps_its_grace_under_its_own_prefix_only(environment: &Environment) {
    let grace = Duration::from_secs(600);
    let new: Cache = environment
        .builder()
        .prefix("test:product-2:")
        .also_invalidates("test:product-1:")
        .grace(grace)
        .build()
        .unwrap();
    let old: Cache = environment
        .builder()
        .prefix("test:product-1:")
        .grace(grace)
        .build()
        .unwrap();
    for cache in [&new, &old] {
        cache.get("p-001", load(1)).unwrap();
    }
    assert!(new.expire("p-001").unwrap());
    assert!(new.peek("p-001").unwrap().unwrap().is_stale());
    assert!(old.peek("p-001").unwrap().is_none());
}

/// A replica of the primary may lack what was written under the other prefix too.
fn every_write_leaves_a_floor_under_the_other_prefix(environment: &Environment) {
    let lag = Duration::from_secs(600);
    for (name, write) in WRITES {
        let prefixes = [format!("test:{name}-2:"), format!("test:{name}-1:")];
        let new = environment.builder().prefix(&prefixes[0]).versions(lag);
        let new: Cache = new.also_invalidates(&prefixes[1]).build().unwrap();
        let old = environment.builder().prefix(&prefixes[1]).versions(lag);
        let old: Cache = old.build().unwrap();
        old.get("p-001", load(1)).unwrap();
        write(&new);
        let mut read_primary = false;
        let loaded = old.options().get_with_context("p-001", |context| {
            read_primary = context.read_primary();
            Ok::<_, Infallible>(Loaded::new(version(2)))
        });
        assert_eq!(loaded.unwrap().source(), Source::Loaded, "{name}");
        assert!(read_primary, "{name}");
    }
}

on_both_stores! {
    every_write_ends_the_record_under_both_prefixes,
    every_write_refuses_the_fill_of_a_load_under_the_other_prefix,
    a_write_counts_the_records_of_its_own_prefix,
    while_a_write_runs_nothing_is_cached_under_either_prefix,
    an_expired_record_keeps_its_grace_under_its_own_prefix_only,
    every_write_leaves_a_floor_under_the_other_prefix,
}
