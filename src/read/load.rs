//! The three ways in which a lookup loads: under its own lease, under a guard, and without Redis.

use std::{
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};

use super::lookup::{Asking, Lead, follow};
use crate::{
    engine::{Inner, Outcome, Settings, single_flight::Leader},
    error::Error,
    loaded::Loaded,
    outcome::{Lookup, Source},
    record::fields::{Fields, not_found, to_fields},
    store::{keys::Keys, token::Token},
    telemetry::{
        event::{self, Event},
        reporter::Reporter,
        trace,
    },
    util::limits::LONGEST,
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
        let outcome = self.load_and_fill(keys, leader, None, load);
        Ok(self.found(outcome?, Source::Loaded))
    }

    /// The same, without the answer. `back_off`: for how long nobody may try again, should the load fail.
    pub(super) fn load_and_fill(
        &self,
        keys: &Keys,
        leader: &Lead<'_, R>,
        back_off: Option<Duration>,
        load: impl FnOnce() -> Result<Loaded<R>, Error>,
    ) -> Outcome<R> {
        let inner = self.inner;
        let token = *leader.key();
        let keeping = inner.keep(keys, token);
        let ran = self.run(load).map(|loaded| self.ran(loaded));
        let outcome = match &ran {
            Ok(ran) => Ok(ran.record.clone()),
            Err(error) => Err(error.clone()),
        };
        leader.land(outcome.clone());

        // A failure here costs the next caller a load and this one nothing.
        match (&ran, back_off) {
            (Ok(ran), _) => match self.fill(keys, token, ran) {
                Ok(is_filled) => {
                    keeping.end();
                    if !is_filled && ran.entry.is_some() {
                        self.report(&Event::FillRefused { id: self.id });
                    }
                }
                Err(_) => keeping.fill_failed(),
            },
            (Err(_), back_off) => {
                // If this fails, the lease lapses.
                let _ = match back_off {
                    Some(pause) => {
                        inner.ask("back_off", |store| store.back_off(keys, token, pause))
                    }
                    None => inner.ask("release", |store| store.release(keys, token)),
                };
                keeping.end();
            }
        }
        outcome
    }

    /// Puts there what the primary says. With no record, or one that cannot be stored, that is
    /// nothing: what stood there is older than this load, and must not be served any longer. The
    /// same request gives the lease back.
    fn fill(&self, keys: &Keys, token: Token, ran: &Ran<R>) -> Result<bool, Error> {
        let inner = self.inner;
        let nothing = Fields::new();
        let (stay, fields) = ran.stored(&nothing);
        inner.will_stay(stay);
        inner.ask("fill", |store| store.fill(keys, token, stay, fields))
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
                    break self.run_uncached(load);
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
        let outcome = self.run_uncached(load);
        // Left first: who comes now must load anew.
        leader.leave();
        leader.land(outcome.clone());
        Ok(self.found(outcome?, source))
    }

    /// Runs the loader, and says how that went.
    fn run(&self, load: impl FnOnce() -> Result<Loaded<R>, Error>) -> Result<Loaded<R>, Error> {
        run(self.inner, self.id, load, |loaded| loaded.record.is_some())
    }

    /// The same, where nothing is to be cached.
    pub(super) fn run_uncached(
        &self,
        load: impl FnOnce() -> Result<Loaded<R>, Error>,
    ) -> Outcome<R> {
        Ok(Ran::uncached(self.run(load)?).record)
    }

    /// What a load under a lease came to.
    pub(super) fn ran(&self, loaded: Loaded<R>) -> Ran<R> {
        let entry = self.entry(loaded.record.as_ref(), loaded.ttl);
        Ran {
            entry,
            ..Ran::uncached(loaded)
        }
    }

    /// What of a load is stored, and how long it stays. A TTL that the loader chose is kept to; those of the settings
    /// are jittered. `None`: nothing is stored, because that is wanted or because the record cannot
    /// be.
    fn entry(&self, record: Option<&R>, chosen: Option<Duration>) -> Option<(Duration, Fields)> {
        let Settings {
            negative_ttl,
            freshness,
            ..
        } = &self.inner.settings;
        let ttl = self.wishes.ttl;
        let by_default = match record {
            Some(_) => Some(ttl),
            None => negative_ttl.map(|negative_ttl| negative_ttl.min(ttl)),
        };
        let ttl = chosen.or_else(|| by_default.map(|ttl| freshness.jittered(ttl)))?;
        if ttl.is_zero() {
            return None;
        }
        let Some(record) = record else {
            // That there was none is of no use once it is stale.
            return Some((ttl.min(LONGEST), not_found()));
        };
        match to_fields(record) {
            Ok(fields) => Some((freshness.stay(ttl), fields)),
            Err(why) => {
                // The caller asked for the row, not for its place in the cache: this is no error.
                self.inner.reporter.unstorable(self.id, why);
                None
            }
        }
    }
}

/// What a load came to: the record as callers get it, and what is to be stored, for how long.
pub(super) struct Ran<R> {
    pub(super) record: Option<Arc<R>>,
    pub(super) entry: Option<(Duration, Fields)>,
}

impl<R> Ran<R> {
    /// What is returned and not stored. It is not serialized either.
    pub(super) fn uncached(loaded: Loaded<R>) -> Ran<R> {
        Ran {
            record: loaded.record.map(Arc::new),
            entry: None,
        }
    }

    /// What is to stand there afterwards, and for how long.
    pub(super) fn stored<'a>(&'a self, nothing: &'a Fields) -> (Duration, &'a Fields) {
        match &self.entry {
            Some((stay, fields)) => (*stay, fields),
            None => (Duration::ZERO, nothing),
        }
    }
}

/// Calls a loader, and says how that went. `id`: of what it loads, the first.
pub(super) fn run<R, T>(
    inner: &Inner<R>,
    id: &str,
    load: impl FnOnce() -> Result<T, Error>,
    found: impl FnOnce(&T) -> bool,
) -> Result<T, Error> {
    let loading = Loading::begin(&inner.reporter, id);
    let loaded = {
        let _span = trace::load();
        load()
    };
    if loaded.is_ok() {
        inner.load_time.took(loading.began.elapsed());
    }
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
