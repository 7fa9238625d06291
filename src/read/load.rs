//! The three ways in which a lookup loads: under its own lease, under a guard, and without Redis.

use std::{
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};

use super::lookup::{LeaseLeader, LookupContext, follow};
use crate::{
    engine::{Engine, Outcome, Settings, single_flight::Leader},
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

impl<R: Serialize + DeserializeOwned> LookupContext<'_, R> {
    /// The lease is ours: load, tell the followers, then fill or release.
    ///
    /// The followers come first, so that they don't wait for a round trip that changes nothing for them.
    /// Whoever is told the token after that finds the landed call in the table, until the lease has ended.
    pub(super) fn lead(
        &self,
        keys: &Keys,
        leader: &LeaseLeader<'_, R>,
        load: impl FnOnce() -> Result<Loaded<R>, Error>,
    ) -> Result<Lookup<R>, Error> {
        let outcome = self.load_and_fill(keys, leader, None, load);
        Ok(self.found(outcome?, Source::Loaded))
    }

    /// The same, without the answer. `back_off`: for how long nobody may try again, should the load fail.
    pub(super) fn load_and_fill(
        &self,
        keys: &Keys,
        leader: &LeaseLeader<'_, R>,
        back_off: Option<Duration>,
        load: impl FnOnce() -> Result<Loaded<R>, Error>,
    ) -> Outcome<R> {
        let engine = self.engine;
        let token = *leader.key();
        let renewal = engine.renew_lease(keys, token);
        let entry = self.run(load).map(|loaded| self.loaded_entry(loaded));
        let outcome = match &entry {
            Ok(entry) => Ok(entry.record.clone()),
            Err(error) => Err(error.clone()),
        };
        leader.complete(outcome.clone());

        // A failure here costs the next caller a load and this one nothing.
        match (&entry, back_off) {
            (Ok(entry), _) => match self.fill(keys, token, entry) {
                Ok(is_filled) => {
                    renewal.end();
                    if !is_filled && entry.entry.is_some() {
                        self.report(&Event::FillRefused { id: self.id });
                    }
                }
                Err(_) => renewal.fill_failed(),
            },
            (Err(_), back_off) => {
                // If this fails, the lease lapses.
                let _ = match back_off {
                    Some(pause) => {
                        engine.ask("back_off", |store| store.back_off(keys, token, pause))
                    }
                    None => engine.ask("release", |store| store.release(keys, token)),
                };
                renewal.end();
            }
        }
        outcome
    }

    /// Puts there what the primary says. With no record, or one that cannot be stored, that is
    /// nothing: what stood there is older than this load, and must not be served any longer. The
    /// same request gives the lease back.
    fn fill(&self, keys: &Keys, token: Token, entry: &LoadedEntry<R>) -> Result<bool, Error> {
        let engine = self.engine;
        let nothing = Fields::new();
        let (total_ttl, fields) = entry.stored(&nothing);
        engine.record_max_ttl(total_ttl);
        engine.ask("fill", |store| store.fill(keys, token, total_ttl, fields))
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
        let engine = self.engine;
        self.report_degraded(&cause);
        let deadline = self.wait_deadline(Instant::now());
        let outcome = loop {
            match engine.degraded.start_or_find(data) {
                Ok(leader) => {
                    let found = self.load_alone(&leader, load, Source::Degraded)?;
                    return Ok(found.with_cause(cause));
                }
                Err(call) => {
                    // One that has been under way for so long has hung, for all we know. Who comes now need not
                    // find that out again.
                    let deadline = deadline.min(self.wait_deadline(call.started()));
                    let outcome = follow(&call, deadline)?;
                    if call.started() >= self.began
                        && let Some(outcome) = outcome
                    {
                        self.report(&Event::Shared { id: self.id });
                        break outcome;
                    }
                    if Instant::now() < deadline {
                        continue;
                    }
                    if engine.settings.fail_on_wait_timeout {
                        let waited = self.began.elapsed();
                        return Err(Error::WaitTimeout { waited });
                    }
                    // Ours may not hang.
                    break self.run_uncached(load);
                }
            }
        };
        Ok(self.found(outcome?, Source::Degraded).with_cause(cause))
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
        leader.unregister();
        leader.complete(outcome.clone());
        Ok(self.found(outcome?, source))
    }

    /// Runs the loader, and says how that went.
    fn run(&self, load: impl FnOnce() -> Result<Loaded<R>, Error>) -> Result<Loaded<R>, Error> {
        run(self.engine, self.id, load, |loaded| loaded.record.is_some())
    }

    /// The same, where nothing is to be cached.
    pub(super) fn run_uncached(
        &self,
        load: impl FnOnce() -> Result<Loaded<R>, Error>,
    ) -> Outcome<R> {
        Ok(LoadedEntry::uncached(self.run(load)?).record)
    }

    /// What a load under a lease came to.
    pub(super) fn loaded_entry(&self, loaded: Loaded<R>) -> LoadedEntry<R> {
        let entry = self.entry(loaded.record.as_ref(), loaded.ttl);
        LoadedEntry {
            entry,
            ..LoadedEntry::uncached(loaded)
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
        } = &self.engine.settings;
        let ttl = self.config.ttl;
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
            Ok(fields) => Some((freshness.total_ttl(ttl), fields)),
            Err(why) => {
                // The caller asked for the row, not for its place in the cache: this is no error.
                self.engine.reporter.unstorable(self.id, why);
                None
            }
        }
    }
}

/// What a load came to: the record as callers get it, and what is to be stored, for how long.
pub(super) struct LoadedEntry<R> {
    pub(super) record: Option<Arc<R>>,
    pub(super) entry: Option<(Duration, Fields)>,
}

impl<R> LoadedEntry<R> {
    /// What is returned and not stored. It is not serialized either.
    pub(super) fn uncached(loaded: Loaded<R>) -> LoadedEntry<R> {
        LoadedEntry {
            record: loaded.record.map(Arc::new),
            entry: None,
        }
    }

    /// What is to state there afterwards, and for how long.
    pub(super) fn stored<'a>(&'a self, nothing: &'a Fields) -> (Duration, &'a Fields) {
        match &self.entry {
            Some((total_ttl, fields)) => (*total_ttl, fields),
            None => (Duration::ZERO, nothing),
        }
    }
}

/// Calls a loader, and says how that went. `id`: of what it loads, the first.
pub(super) fn run<R, T>(
    engine: &Engine<R>,
    id: &str,
    load: impl FnOnce() -> Result<T, Error>,
    found: impl FnOnce(&T) -> bool,
) -> Result<T, Error> {
    let loading = Loading::begin(&engine.reporter, id);
    let loaded = {
        let _span = trace::load();
        load()
    };
    if loaded.is_ok() {
        engine.load_time.record(loading.began.elapsed());
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
            elapsed: self.began.elapsed(),
        });
    }
}
