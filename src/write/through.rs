//! `write_through`: a `write` whose closure returns the new record, which is then cached.
//!
//! Guarantees what `write` does. The record is cached only if nobody else wrote, ended or began to
//! write since the guard was set: the store compares the nonce of the guard. Otherwise the record
//! is only ended. So a record that another writer has overwritten never enters the cache.
//!
//! Called by the public handle.

use std::time::Duration;

use super::{Wrote, guards::Guards, log};
use crate::{
    engine::{Engine, lookup_tags::LookupTags},
    error::WriteError,
    loaded::Loaded,
    outcome::Written,
    record::{any::AnyRecord, fields::Fields},
    store::{Store, WriteThrough},
    telemetry::{event::Write, recorder::Began},
};

/// See [`Cache::write_through`](crate::Cache::write_through).
pub(crate) fn write_through<T, E>(
    engine: &Engine,
    id: &str,
    change: impl FnOnce() -> Result<(T, Loaded<AnyRecord>), E>,
) -> Result<Written<T>, WriteError<E>> {
    let mut guards = Guards::default();
    guards.add(engine, id).map_err(WriteError::Cache)?;
    let _wrote = Wrote::begin(engine, id, Write::WriteThrough);
    let lease_ttl = engine.settings.lease_ttl;
    // The record is the first: others under other prefixes may follow, and are only ended.
    let nonce = guards.set_first(|store, keys, writer| match store.versioned() {
        Some(versioned) => {
            let nonce = versioned.guard_with_nonce(keys, writer, lease_ttl);
            nonce.map(Some)
        }
        None => store.guard(keys, writer, lease_ttl).map(|_| None),
    });
    guards.set();
    // The clock from before the change of the primary. Only a cache whose lookups are all under
    // tags reads it: the lookups of others may be under none.
    let mut tags = engine.tags_of(&[]);
    let read = tags.as_deref_mut().map(|tags| engine.read_tags(tags));
    // Without the clock, no lookup could read the record.
    let nonce = nonce.flatten().filter(|_| !matches!(read, Some(Err(_))));
    let began = Began::now();
    // A panic drops the guards, which ends them.
    let (value, loaded) = match change() {
        Ok(done) => done,
        Err(failure) => {
            // The primary may have made the change although its reply was lost. So the record is
            // invalidated.
            guards.end();
            return Err(WriteError::Primary(failure));
        }
    };
    let version = loaded.version;
    let entry = nonce.zip(entry(engine, id, &loaded, tags.as_deref()));
    let through = entry.as_ref().map(|(nonce, (ttl, record))| {
        engine.record_max_ttl(*ttl);
        if let Some(tags) = &tags {
            engine.keep_tags(tags, &loaded.tags, *ttl);
        }
        WriteThrough {
            nonce: *nonce,
            ttl: *ttl,
            record,
        }
    });
    if through.is_some() {
        // Whatever happens to the record since the closure was called keeps it out of the cache.
        let of = (version, &loaded.tags[..]);
        log::add(engine, id, began, loaded.record.as_ref(), of);
    }
    // In the log it begins with the closure, so that it does not end its own record.
    let ends = began.of_version(version);
    let is_cached = guards.end_first(ends, |store: &dyn Store, keys, writer| {
        // A later writer of this process may have failed to invalidate. The store does not know
        // that, and this request completes what is pending by now.
        let is_latest = engine.client.bypass(&keys.data).is_none();
        let through = through.filter(|_| is_latest);
        let version = version.filter(|_| is_latest);
        match store.versioned() {
            Some(versioned) => versioned.write_through(keys, writer, through, version),
            None => store.unguard(keys, writer).map(|_| false),
        }
    });
    let (guard_error, deferred) = guards.end();
    Ok(Written::new(value, guard_error, deferred).cached(is_cached))
}

/// The TTL and the fields of a record.
type TimedFields = (Duration, Fields);

/// What is cached of the record. `None`: nothing.
fn entry(
    engine: &Engine,
    id: &str,
    loaded: &Loaded<AnyRecord>,
    tags: Option<&LookupTags>,
) -> Option<TimedFields> {
    if loaded.is_unchanged {
        // A write has changed the record.
        return None;
    }
    let entry = engine.entry(loaded.record.as_ref(), engine.settings.ttl, loaded.ttl);
    match entry.and_then(|entry| engine.with_tag_fields(entry, tags, &loaded.tags)) {
        Ok(entry) => entry,
        Err(why) => {
            let done = "is not cached";
            engine.reporter.unstorable("written", id, done, &why);
            None
        }
    }
}
