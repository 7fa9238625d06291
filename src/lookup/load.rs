//! The three ways in which a lookup loads: under its own lease, under a guard, and without Redis.

use std::{hash::Hash, sync::Arc, time::Instant};

use serde::{Serialize, de::DeserializeOwned};

use super::asking::{Asking, Lead, follow};
use crate::{
    answer::{Lookup, Source},
    error::Error,
    fields::{Fields, not_found, to_fields},
    flight::Leader,
    inner::{Outcome, Settings},
    key::Keys,
};

impl<R: Serialize + DeserializeOwned> Asking<'_, R> {
    /// The lease is ours: load, tell the followers, then fill or release.
    ///
    /// The followers come first, so that they don't wait for a round trip that changes nothing for them.
    /// Whoever is told the token after that finds the landed flight in the table, until the lease has ended.
    pub(super) fn lead(
        &self,
        keys: &Keys,
        leader: &Lead<'_, R>,
        load: impl FnOnce() -> Result<Option<R>, Error>,
    ) -> Result<Lookup<R>, Error> {
        let inner = self.inner;
        let token = *leader.key();
        let until = Instant::now() + inner.settings.max_load_time;
        let keeping = inner.keeper.keep(keys, token, until);
        let (outcome, fields) = match self.run(load) {
            Ok((record, fields)) => (Ok(record), fields),
            Err(error) => (Err(error), None),
        };
        leader.land(outcome.clone());

        let Settings {
            ttl, negative_ttl, ..
        } = inner.settings;
        let absent = matches!(outcome, Ok(None));
        let entry = match fields {
            Some(fields) => Some((ttl, fields)),
            None => negative_ttl
                .filter(|_| absent)
                .map(|ttl| (ttl, not_found())),
        };
        let ended = match &entry {
            Some((ttl, fields)) => inner.ask("fill", |store| store.fill(keys, token, *ttl, fields)),
            None => inner.ask("release", |store| store.release(keys, token)),
        };
        keeping.end();
        // A failure here costs the next caller a load and this one nothing: the lease lapses.
        if let Ok(false) = ended
            && entry.is_some()
        {
            inner.counters.refused_fills.add_one();
        }
        Ok(self.found(outcome?, Source::Loaded))
    }

    /// Redis is no help: load without it, one load at a time for this key in this process.
    ///
    /// Another's load is shared only if it was announced after this lookup began. A load that was already
    /// under way may hold what an invalidation, through another process's connection, has ended since.
    pub(super) fn degraded(
        &self,
        data: &str,
        load: impl FnOnce() -> Result<Option<R>, Error>,
        cause: Error,
    ) -> Result<Lookup<R>, Error> {
        let inner = self.inner;
        inner.counters.degraded.add_one();
        let deadline = inner.patience_from(Instant::now());
        let outcome = loop {
            match inner.degraded.announce_or_find(data) {
                Ok(leader) => {
                    let found = self.load_alone(&leader, load, Source::Degraded)?;
                    return Ok(found.because_of(cause));
                }
                Err(flight) => {
                    // One that has been under way for so long has hung, for all we know. Who comes now need not
                    // find that out again.
                    let deadline = deadline.min(inner.patience_from(flight.announced()));
                    let outcome = follow(&flight, deadline)?;
                    if flight.announced() >= self.began
                        && let Some(outcome) = outcome
                    {
                        inner.counters.stampedes_suppressed.add_one();
                        break outcome;
                    }
                    if Instant::now() < deadline {
                        continue;
                    }
                    if inner.settings.fail_on_wait_timeout {
                        let waited = self.began.elapsed();
                        return Err(Error::WaitTimeout { waited });
                    }
                    // Ours may not hang.
                    break self.run(load).map(|(record, _)| record);
                }
            }
        };
        Ok(self.found(outcome?, Source::Degraded).because_of(cause))
    }

    /// Loads without filling: tells those who follow, and nobody who comes later.
    pub(super) fn load_alone<K: Eq + Hash>(
        &self,
        leader: &Leader<'_, K, Outcome<R>>,
        load: impl FnOnce() -> Result<Option<R>, Error>,
        source: Source,
    ) -> Result<Lookup<R>, Error> {
        let outcome = self.run(load).map(|(record, _)| record);
        // Left first: who comes now must load anew.
        leader.leave();
        leader.land(outcome.clone());
        Ok(self.found(outcome?, source))
    }

    /// Runs the loader, and counts. Returns the record as callers get it and as it is stored.
    fn run(
        &self,
        load: impl FnOnce() -> Result<Option<R>, Error>,
    ) -> Result<(Option<Arc<R>>, Option<Fields>), Error> {
        let counters = &self.inner.counters;
        counters.loads.add_one();
        // Dropped by an error and by a panic.
        let failed = counters.load_errors.add_one_on_drop();
        let record = load()?;
        std::mem::forget(failed);
        // Also where nothing will be stored: what is wrong with a record should not show only now and then.
        let fields = record.as_ref().map(to_fields).transpose()?;
        Ok((record.map(Arc::new), fields))
    }
}
