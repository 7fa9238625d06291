//! The write paths: for use after a change of the primary, or around it.

pub(crate) mod clear;
pub(crate) mod update;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use crate::{
    engine::{Engine, lease_renewal::RenewalGuard},
    error::{Error, WriteError},
    outcome::Written,
    store::{Store, keys::Keys, token::Token},
    telemetry::{
        event::{Event, Write},
        trace,
    },
    util::id::Ids,
};

pub(crate) use self::update::{update, update_field};

/// See [`Cache::invalidate`](crate::Cache::invalidate).
pub(crate) fn invalidate<R>(engine: &Engine<R>, id: &str) -> Result<bool, Error> {
    let keys = engine.keys(id)?;
    let _wrote = Wrote::begin(engine, id, Write::Invalidate);
    engine.invalidate(&keys, "invalidate", |store| store.invalidate(&keys))
}

/// See [`Cache::expire`](crate::Cache::expire).
pub(crate) fn expire<R>(engine: &Engine<R>, id: &str) -> Result<bool, Error> {
    let keys = engine.keys(id)?;
    let grace = engine.settings.freshness.grace;
    let _wrote = Wrote::begin(engine, id, Write::Expire);
    engine.invalidate(&keys, "expire", |store| {
        if grace.is_zero() {
            store.invalidate(&keys)
        } else {
            store.expire(&keys, grace)
        }
    })
}

/// See [`Cache::invalidate_many`](crate::Cache::invalidate_many).
pub(crate) fn invalidate_many<R>(engine: &Engine<R>, ids: &Ids) -> Result<u64, Error> {
    let Some(first) = ids.iter().next() else {
        return Ok(0);
    };
    // Check all ids before anything is sent.
    let keys = ids.iter().map(|id| engine.keys(id));
    let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
    let _wrote = Wrote::begin(engine, first, Write::InvalidateMany);
    let keys: Vec<_> = keys.iter().collect();
    engine.client.invalidate_all(&engine.reporter, &keys)
}

/// See [`Cache::write`](crate::Cache::write).
pub(crate) fn write<R, T, E>(
    engine: &Engine<R>,
    id: &str,
    change: impl FnOnce() -> Result<T, E>,
) -> Result<Written<T>, WriteError<E>> {
    let keys = engine.keys(id).map_err(WriteError::Cache)?;
    let _wrote = Wrote::begin(engine, id, Write::Write);
    let (writing, guard_error) = Writing::begin(engine, keys);
    let changed = change();
    let invalidation_error = writing.end().err();
    match changed {
        Ok(value) => Ok(Written::new(value, guard_error, invalidation_error)),
        // The primary may have made the change although its reply was lost. So the record has been
        // invalidated.
        Err(failure) => Err(WriteError::Primary(failure)),
    }
}

/// A call that writes. It ends when this is dropped.
pub(crate) struct Wrote<'a, R> {
    engine: &'a Engine<R>,
    id: &'a str,
    call: Write,
    began: Instant,
    _span: trace::Entered,
}

impl<'a, R> Wrote<'a, R> {
    pub(crate) fn begin(engine: &'a Engine<R>, id: &'a str, call: Write) -> Wrote<'a, R> {
        Wrote {
            engine,
            id,
            call,
            began: Instant::now(),
            _span: trace::write(&engine.reporter.cache, id, call.name()),
        }
    }
}

impl<R> Drop for Wrote<'_, R> {
    fn drop(&mut self) {
        let (id, call, elapsed) = (self.id, self.call, self.began.elapsed());
        let event = Event::Wrote { id, call, elapsed };
        self.engine.reporter.report(&event);
    }
}

/// A `write` in progress. Created before the guard is requested. A panic drops it, and the drop
/// ends the write.
struct Writing<'a, R> {
    engine: &'a Engine<R>,
    keys: Keys,
    writer: Token,
    /// `None` if there is no guard to renew.
    renewal: Option<RenewalGuard<'a>>,
    ended: bool,
}

impl<'a, R> Writing<'a, R> {
    /// Sets the guard. If that fails, the error is returned and the write continues. It is then as
    /// safe as a change followed by `invalidate`.
    fn begin(engine: &'a Engine<R>, keys: Keys) -> (Writing<'a, R>, Option<Error>) {
        let writer = Token::random();
        let lease_ttl = engine.settings.lease_ttl;
        let mut writing = Writing {
            engine,
            keys,
            writer,
            renewal: None,
            ended: false,
        };
        let keys = &writing.keys;
        let guarded = engine.ask("guard", |store| store.guard(keys, writer, lease_ttl));
        // From here on, readers in this process load too.
        engine.client.evict(&keys.data);
        writing.renewal = guarded.is_ok().then(|| engine.renew_lease(keys, writer));
        (writing, guarded.err())
    }

    fn end(mut self) -> Result<bool, Error> {
        self.ended = true;
        self.unguard()
    }

    fn unguard(&mut self) -> Result<bool, Error> {
        if let Some(renewal) = self.renewal.take() {
            renewal.end();
        }
        let (keys, writer) = (&self.keys, self.writer);
        let unguard = |store: &dyn Store| store.unguard(keys, writer);
        self.engine.invalidate(keys, "unguard", unguard)
    }
}

impl<R> Drop for Writing<'_, R> {
    fn drop(&mut self) {
        if !self.ended {
            // A failure or panic leaves the invalidation pending. The panic is caught: a second one
            // that leaves a destructor would abort the process.
            let _ = catch_unwind(AssertUnwindSafe(|| self.unguard()));
        }
    }
}
