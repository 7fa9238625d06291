//! Runs the loader, and decides what is cached of its result.
//!
//! Called by both drivers. Sends nothing but the request that lengthens the lives of tags. Knows no
//! states of a lookup.

use std::time::{Duration, Instant};

use super::lookup::LookupContext;
use crate::{
    engine::Engine,
    error::Error,
    loaded::Loaded,
    record::{any::AnyRecord, fields::Fields},
    store::{CompletionKind, Floor, token::Token},
    telemetry::{
        event::{self, Event},
        recorder::{Began, LoadedRecord},
        reporter::Reporter,
        trace,
    },
};

impl LookupContext<'_> {
    /// The result of a load. `fills`: the lookup holds a lease, so the result may be cached.
    /// Without a lease, the record is not serialized. `cached`: the record that has not changed, if
    /// the loader says so. `began`: when the loader was called. An error if the record cannot be
    /// stored and `fail_on_unstorable` is set.
    pub(super) fn loaded_entry(
        &self,
        loaded: Loaded<AnyRecord>,
        fills: bool,
        cached: Option<AnyRecord>,
        began: Began,
    ) -> Result<LoadedEntry, Error> {
        let Loaded {
            record,
            ttl,
            version,
            is_unchanged,
            tags,
        } = loaded;
        let version = version.filter(|_| self.engine.settings.versions.is_some());
        if is_unchanged {
            let ttl = self.engine.kept_ttl(self.config.ttl, ttl);
            return Ok(LoadedEntry {
                record: cached,
                entry: ttl.map_or(ToCache::Nothing, ToCache::Unchanged),
                version,
                tags: Vec::new(),
                began,
            });
        }
        let entry = if fills {
            self.entry(record.as_ref(), ttl, &tags)?
        } else {
            None
        };
        let entry = entry.map_or(ToCache::Nothing, |(total_ttl, fields)| {
            ToCache::Fields(total_ttl, fields)
        });
        Ok(LoadedEntry {
            record,
            entry,
            version,
            tags,
            began,
        })
    }

    /// The TTL and the fields that are cached after a load. `None`: nothing is cached, by choice or
    /// because the record cannot be stored.
    fn entry(
        &self,
        record: Option<&AnyRecord>,
        chosen: Option<Duration>,
        named: &[String],
    ) -> Result<Option<(Duration, Fields)>, Error> {
        let engine = self.engine;
        let tags = self.tags.as_deref();
        let entry = engine.entry(record, self.config.ttl, chosen);
        match entry.and_then(|entry| engine.with_tag_fields(entry, tags, named)) {
            Ok(entry) => Ok(entry),
            Err(why) if engine.settings.fail_on_unstorable => {
                let reporter = &engine.reporter;
                reporter.unstorable("loaded", self.id, "is refused", &why);
                Err(Error::from(why))
            }
            Err(why) => {
                // Not an error: the caller asked for the record, not for its caching.
                let done = "is returned and not cached";
                engine.reporter.unstorable("loaded", self.id, done, &why);
                Ok(None)
            }
        }
    }
}

/// What is cached of a load, and for how long.
enum ToCache {
    Nothing,
    Fields(Duration, Fields),
    /// The fields that are cached already.
    Unchanged(Duration),
}

/// The result of a load: the record for the callers, and what is cached of it.
pub(super) struct LoadedEntry {
    pub(super) record: Option<AnyRecord>,
    entry: ToCache,
    /// The version of the record, on a cache with versions.
    version: Option<u64>,
    /// Those that the loader named.
    tags: Vec<String>,
    /// When the loader was called.
    began: Began,
}

/// No fields, for a fill that caches nothing.
static NO_FIELDS: Fields = Fields::new();

impl LoadedEntry {
    /// Records the load. `token`: that of its lease, or the nonce of a guard. `floor`: what the
    /// load had to respect.
    pub(super) fn add_to_log(
        &self,
        context: &LookupContext<'_>,
        token: Option<Token>,
        floor: Floor,
    ) {
        let engine = context.engine;
        let recorder = &engine.reporter.recorder;
        recorder.load(self.record.as_ref(), engine.record_type.fingerprint, || {
            let names: Vec<_> = self.tags.iter().map(String::as_str).collect();
            // Only a loader that returns a version may have read a replica.
            let is_from_primary = floor == Floor::Unknown || self.version.is_none();
            LoadedRecord {
                id: context.id,
                began: self.began,
                token,
                version: self.version,
                lag: engine.settings.versions.filter(|_| !is_from_primary),
                is_unchanged: matches!(self.entry, ToCache::Unchanged(_)),
                tags: engine.settings.tag_keys(&names).tags,
                clock: context.tag_bounds().map(|bounds| bounds.clock.to_string()),
                was: None,
            }
        });
    }

    pub(super) fn is_cached(&self) -> bool {
        !matches!(self.entry, ToCache::Nothing)
    }

    /// Sees to it that the tags of a lookup live as long as the entry that was filled.
    pub(super) fn keep_tags(&self, context: &LookupContext<'_>) {
        let Some(tags) = &context.tags else {
            return;
        };
        if let ToCache::Fields(total_ttl, _) | ToCache::Unchanged(total_ttl) = &self.entry {
            context.engine.keep_tags(tags, &self.tags, *total_ttl);
        }
    }

    /// The fill, with the TTL and the fields that the data key has after it.
    ///
    /// There are no fields if no record exists, or if the record cannot be stored. The fill then
    /// removes the older record, which must not be returned any longer, and releases the lease.
    pub(super) fn fill(&self) -> CompletionKind<'_> {
        let (total_ttl, fields) = match &self.entry {
            ToCache::Fields(total_ttl, fields) => (*total_ttl, fields),
            ToCache::Unchanged(total_ttl) => return CompletionKind::Keep(*total_ttl),
            ToCache::Nothing => (Duration::ZERO, &NO_FIELDS),
        };
        match self.version {
            Some(version) => CompletionKind::FillAt(total_ttl, fields, version),
            None => CompletionKind::Fill(total_ttl, fields),
        }
    }
}

/// Calls the loader of one id, and reports its outcome.
pub(super) fn run_one(
    engine: &Engine,
    id: &str,
    load: impl FnOnce() -> Result<Loaded<AnyRecord>, Error>,
) -> Result<Loaded<AnyRecord>, Error> {
    run(engine, id, load, |loaded| {
        loaded.record.is_some() || loaded.is_unchanged
    })
}

/// Calls a loader, and reports its outcome. `id`: the first of the ids that it loads.
pub(super) fn run<T>(
    engine: &Engine,
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

/// A running loader. If it is dropped before its [end](Loading::end), the loader has panicked.
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
