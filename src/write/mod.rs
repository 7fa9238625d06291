//! The write paths: for use after a change of the primary, or around it.

pub(crate) mod clear;
mod guard_group;
pub(crate) mod guards;
mod log;
mod record_keys;
pub(crate) mod tags;
mod through;
pub(crate) mod update;

use std::time::Instant;

use self::{guards::Guards, record_keys::RecordKeys};
use crate::{
    engine::Engine,
    error::{Error, WriteError},
    outcome::Written,
    telemetry::{
        event::{Event, Write},
        recorder::Began,
        reporter::Reporter,
        trace,
    },
    util::id::Ids,
};

pub(crate) use self::{
    through::write_through,
    update::{RecordChange, update, update_field},
};

/// See [`Cache::invalidate`](crate::Cache::invalidate).
pub(crate) fn invalidate(engine: &Engine, id: &str) -> Result<bool, Error> {
    let records = RecordKeys::of(engine, [id])?;
    let _wrote = Wrote::begin(engine, id, Write::Invalidate);
    Ok(records.invalidate(engine)? > 0)
}

/// See [`Cache::invalidate_at`](crate::Cache::invalidate_at).
pub(crate) fn invalidate_at(engine: &Engine, id: &str, version: u64) -> Result<bool, Error> {
    let keys = engine.keys(id)?;
    let others = RecordKeys::under_other_prefixes(engine, id);
    let _wrote = Wrote::begin(engine, id, Write::InvalidateAt);
    let request = ("invalidate", Began::now().of_version(Some(version)));
    let ended = engine.invalidate(&keys, request, |store| match store.versioned() {
        // This request completes what is pending by now, perhaps a write of a later version.
        Some(versioned) if engine.client.bypass(&keys.data).is_none() => {
            versioned.invalidate_at(&keys, version)
        }
        _ => store.invalidate(&keys),
    });
    others.invalidate(engine).and(ended)
}

/// See [`Cache::expire`](crate::Cache::expire).
pub(crate) fn expire(engine: &Engine, id: &str) -> Result<bool, Error> {
    let records = RecordKeys::of(engine, [id])?;
    let _wrote = Wrote::begin(engine, id, Write::Expire);
    Ok(records.expire(engine)? > 0)
}

/// See [`Cache::expire_many`](crate::Cache::expire_many).
pub(crate) fn expire_many(engine: &Engine, ids: &Ids) -> Result<u64, Error> {
    let Some(first) = ids.iter().next() else {
        return Ok(0);
    };
    // Check all ids before anything is sent.
    let records = RecordKeys::of(engine, ids.iter())?;
    let _wrote = Wrote::begin(engine, first, Write::ExpireMany);
    records.expire(engine)
}

/// See [`Cache::invalidate_many`](crate::Cache::invalidate_many).
pub(crate) fn invalidate_many(engine: &Engine, ids: &Ids) -> Result<u64, Error> {
    let Some(first) = ids.iter().next() else {
        return Ok(0);
    };
    // Check all ids before anything is sent.
    let records = RecordKeys::of(engine, ids.iter())?;
    let _wrote = Wrote::begin(engine, first, Write::InvalidateMany);
    records.invalidate(engine)
}

/// See [`Cache::write`](crate::Cache::write).
pub(crate) fn write<T, E>(
    engine: &Engine,
    id: &str,
    change: impl FnOnce() -> Result<T, E>,
) -> Result<Written<T>, WriteError<E>> {
    let mut guards = Guards::default();
    guards.add(engine, id).map_err(WriteError::Cache)?;
    let _wrote = Wrote::begin(engine, id, Write::Write);
    write_guarded(guards, change)
}

/// See [`Cache::write_many`](crate::Cache::write_many).
pub(crate) fn write_many<T, E>(
    engine: &Engine,
    ids: &Ids,
    change: impl FnOnce() -> Result<T, E>,
) -> Result<Written<T>, WriteError<E>> {
    let mut guards = Guards::default();
    // Check all ids before anything is sent.
    for id in ids.iter() {
        guards.add(engine, id).map_err(WriteError::Cache)?;
    }
    let first = ids.iter().next().unwrap_or_default();
    let _wrote = Wrote::begin(engine, first, Write::WriteMany);
    write_guarded(guards, change)
}

/// Changes the primary while the guards are set. A panic of `change` drops them, which ends them.
fn write_guarded<T, E>(
    mut guards: Guards<'_>,
    change: impl FnOnce() -> Result<T, E>,
) -> Result<Written<T>, WriteError<E>> {
    guards.set();
    let changed = change();
    let (guard_error, deferred) = guards.end();
    match changed {
        Ok(value) => Ok(Written::new(value, guard_error, deferred)),
        // The primary may have made the change although its reply was lost. So the records have
        // been invalidated.
        Err(failure) => Err(WriteError::Primary(failure)),
    }
}

/// A call that writes. It ends when this is dropped.
pub(crate) struct Wrote<'a> {
    reporter: &'a Reporter,
    id: &'a str,
    call: Write,
    began: Instant,
    _span: trace::Entered,
}

impl<'a> Wrote<'a> {
    pub(crate) fn begin(engine: &'a Engine, id: &'a str, call: Write) -> Wrote<'a> {
        Wrote::since(Instant::now(), &engine.reporter, id, call)
    }

    pub(crate) fn since(
        began: Instant,
        reporter: &'a Reporter,
        id: &'a str,
        call: Write,
    ) -> Wrote<'a> {
        Wrote {
            reporter,
            id,
            call,
            began,
            _span: trace::write(&reporter.cache, id, call.name()),
        }
    }
}

impl Drop for Wrote<'_> {
    fn drop(&mut self) {
        let (id, call, elapsed) = (self.id, self.call, self.began.elapsed());
        self.reporter.report(&Event::Wrote { id, call, elapsed });
    }
}
