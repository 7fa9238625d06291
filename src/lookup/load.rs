//! The three ways in which a lookup loads: under its own lease, under a guard, and without Redis.

use std::{
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};

use super::asking::{Asking, Lead, follow};
use crate::{
    answer::{Lookup, Source},
    error::Error,
    event::{self, Event},
    fields::{Fields, not_found, to_fields},
    flight::Leader,
    inner::Outcome,
    key::Keys,
    loaded::Loaded,
    reporter::Reporter,
    setting::LONGEST,
    trace,
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
        load: impl FnOnce() -> Result<Loaded<R>, Error>,
    ) -> Result<Lookup<R>, Error> {
        let inner = self.inner;
        let token = *leader.key();
        let until = Instant::now() + inner.settings.max_load_time;
        let keeping = inner.keeper.keep(keys, token, until);
        let (outcome, entry) = match self.run(load) {
            Ok(loaded) => (Ok(loaded.record), loaded.entry),
            Err(error) => (Err(error), None),
        };
        leader.land(outcome.clone());

        let ended = match &entry {
            Some((ttl, fields)) => {
                inner.will_live(*ttl);
                inner.ask("fill", |store| store.fill(keys, token, *ttl, fields))
            }
            None => inner.ask("release", |store| store.release(keys, token)),
        };
        keeping.end();
        // A failure here costs the next caller a load and this one nothing: the lease lapses.
        if let Ok(false) = ended
            && entry.is_some()
        {
            self.report(&Event::FillRefused { id: self.id });
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
        load: impl FnOnce() -> Result<Loaded<R>, Error>,
        cause: Error,
    ) -> Result<Lookup<R>, Error> {
        let inner = self.inner;
        self.degrades(&cause);
        let deadline = self.patience_from(Instant::now());
        let outcome = loop {
            match inner.degraded.announce_or_find(data) {
                Ok(leader) => {
                    let found = self.load_alone(&leader, load, Source::Degraded)?;
                    return Ok(found.because_of(cause));
                }
                Err(flight) => {
                    // One that has been under way for so long has hung, for all we know. Who comes now need not
                    // find that out again.
                    let deadline = deadline.min(self.patience_from(flight.announced()));
                    let outcome = follow(&flight, deadline)?;
                    if flight.announced() >= self.began
                        && let Some(outcome) = outcome
                    {
                        self.report(&Event::Shared { id: self.id });
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
                    break self.run(load).map(|loaded| loaded.record);
                }
            }
        };
        Ok(self.found(outcome?, Source::Degraded).because_of(cause))
    }

    /// Loads without filling: tells those who follow, and nobody who comes later.
    pub(super) fn load_alone<K: Eq + Hash>(
        &self,
        leader: &Leader<'_, K, Outcome<R>>,
        load: impl FnOnce() -> Result<Loaded<R>, Error>,
        source: Source,
    ) -> Result<Lookup<R>, Error> {
        let outcome = self.run(load).map(|loaded| loaded.record);
        // Left first: who comes now must load anew.
        leader.leave();
        leader.land(outcome.clone());
        Ok(self.found(outcome?, source))
    }

    /// Runs the loader, and says how that went.
    pub(super) fn run(
        &self,
        load: impl FnOnce() -> Result<Loaded<R>, Error>,
    ) -> Result<Ran<R>, Error> {
        let loaded = run(&self.inner.reporter, self.id, load, |loaded| {
            loaded.record.is_some()
        });
        self.ran(loaded?)
    }

    /// What a load came to.
    pub(super) fn ran(&self, loaded: Loaded<R>) -> Result<Ran<R>, Error> {
        let Loaded { record, ttl } = loaded;
        // Also where nothing will be stored: what is wrong with a record should not show only now and then.
        let fields = record.as_ref().map(to_fields).transpose()?;
        Ok(Ran {
            record: record.map(Arc::new),
            entry: self.entry(fields, ttl),
        })
    }

    /// What of a load is stored, and for how long.
    fn entry(&self, fields: Option<Fields>, ttl: Option<Duration>) -> Option<(Duration, Fields)> {
        let longest = self.wishes.ttl;
        let (by_default, fields) = if let Some(fields) = fields {
            (Some(longest), fields)
        } else {
            let negative_ttl = self.inner.settings.negative_ttl;
            (negative_ttl.map(|ttl| ttl.min(longest)), not_found())
        };
        let ttl = ttl.or(by_default)?;
        (!ttl.is_zero()).then_some((ttl.min(LONGEST), fields))
    }
}

/// What a load came to: the record as callers get it, and what is to be stored, for how long.
pub(super) struct Ran<R> {
    pub(super) record: Option<Arc<R>>,
    pub(super) entry: Option<(Duration, Fields)>,
}

/// Calls a loader, and says how that went. `id`: of what it loads, the first.
pub(super) fn run<T>(
    reporter: &Reporter,
    id: &str,
    load: impl FnOnce() -> Result<T, Error>,
    found: impl FnOnce(&T) -> bool,
) -> Result<T, Error> {
    let loading = Loading::begin(reporter, id);
    let loaded = {
        let _span = trace::load();
        load()
    };
    loading.end(match &loaded {
        Ok(loaded) if found(loaded) => event::Load::Found,
        Ok(_) => event::Load::NotFound,
        Err(_) => event::Load::Failed,
    });
    loaded
}

/// A loader at work. Dropped before its [end](Loading::end), it has panicked.
struct Loading<'a> {
    reporter: &'a Reporter,
    id: &'a str,
    began: Instant,
    outcome: event::Load,
}

impl<'a> Loading<'a> {
    fn begin(reporter: &'a Reporter, id: &'a str) -> Loading<'a> {
        reporter.report(&Event::LoadBegan { id });
        Loading {
            reporter,
            id,
            began: Instant::now(),
            outcome: event::Load::Panicked,
        }
    }

    fn end(mut self, outcome: event::Load) {
        self.outcome = outcome;
    }
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        self.reporter.report(&Event::LoadEnded {
            id: self.id,
            outcome: self.outcome,
            took: self.began.elapsed(),
        });
    }
}
