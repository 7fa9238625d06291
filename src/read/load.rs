//! Running the loader, and what of its record is cached.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};

use super::lookup::LookupContext;
use crate::{
    engine::{Engine, Settings},
    error::Error,
    loaded::Loaded,
    record::fields::{Fields, not_found, to_fields},
    telemetry::{
        event::{self, Event},
        reporter::Reporter,
        trace,
    },
    util::limits::LONGEST,
};

impl<R: Serialize + DeserializeOwned> LookupContext<'_, R> {
    /// What a load came to. `fills`: it holds a lease, and may be cached. Else the record is not even
    /// serialized.
    pub(super) fn loaded_entry(&self, loaded: Loaded<R>, fills: bool) -> LoadedEntry<R> {
        let Loaded { record, ttl } = loaded;
        LoadedEntry {
            entry: fills.then(|| self.entry(record.as_ref(), ttl)).flatten(),
            record: record.map(Arc::new),
        }
    }

    /// What is cached of a load, and for how long. A TTL that the loader chose is kept; those of the
    /// settings are jittered. `None`: nothing, because that is wanted or because the record cannot be stored.
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

/// What a load came to: the record as callers get it, and what is to be cached, for how long.
pub(super) struct LoadedEntry<R> {
    pub(super) record: Option<Arc<R>>,
    pub(super) entry: Option<(Duration, Fields)>,
}

/// What is filled where there is nothing to cache.
static NO_FIELDS: Fields = Fields::new();

impl<R> LoadedEntry<R> {
    /// What is to be at the key afterwards, and for how long.
    ///
    /// With no record, or one that cannot be stored, that is nothing: what was there is older than this
    /// load, and must not be served any longer. The same request gives the lease back.
    pub(super) fn stored(&self) -> (Duration, &Fields) {
        match &self.entry {
            Some((total_ttl, fields)) => (*total_ttl, fields),
            None => (Duration::ZERO, &NO_FIELDS),
        }
    }
}

/// Calls the loader of one id, and reports how that went.
pub(super) fn run_one<R>(
    engine: &Engine<R>,
    id: &str,
    load: impl FnOnce() -> Result<Loaded<R>, Error>,
) -> Result<Loaded<R>, Error> {
    run(engine, id, load, |loaded| loaded.record.is_some())
}

/// Calls a loader, and reports how that went. `id`: the first of those that it loads.
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
