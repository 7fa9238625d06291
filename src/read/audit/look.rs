//! The looks of an audit at one record: two, or three if the primary changes in between.
//!
//! Called by the thread of the audit. Fills nothing, and takes no lease.

use std::{fmt::Display, time::Instant};

use super::{AuditorParts, fill::CachedFill};
use crate::{
    engine::{Engine, audit_queue::AuditSample, load_limit::LimitPermit, lookup_tags::LookupTags},
    error::cause::chain,
    near::Accepts,
    read::{near_hit, nested::WithinLoad},
    record::{
        any::AnyRecord,
        fields::{Differing, Unstorable},
    },
    store::Entry,
    telemetry::{
        event::{Audited, Inconsistency},
        trace,
    },
};

/// A record that differs from the primary, so far.
pub(super) struct Suspect {
    pub(super) id: String,
    tags: Option<Box<LookupTags>>,
    cached: CachedCopy,
    /// What the primary had.
    loaded: Option<AnyRecord>,
    /// Whether a replica that lags cannot explain the difference: the fill was there for a whole
    /// delay before this load.
    is_newer: bool,
}

/// What a later look at a suspect has found.
enum Found {
    Inconsistent(Inconsistency, Vec<Differing>),
    /// The primary has changed, so the record must stay for another delay.
    Changed(Suspect),
}

/// What readers get.
enum CachedCopy {
    InStore(CachedFill),
    /// A fill of the near cache is known by its copy of the record, which is shared with readers.
    Near(AnyRecord),
}

impl CachedCopy {
    fn record(&self) -> Option<&AnyRecord> {
        match self {
            CachedCopy::InStore(fill) => fill.record.as_ref(),
            CachedCopy::Near(record) => Some(record),
        }
    }
}

impl AuditorParts {
    /// `Err`: the sample has ended.
    pub(super) fn first_look(
        &self,
        engine: &Engine,
        sample: AuditSample,
    ) -> Result<Suspect, Audited> {
        let AuditSample { id, near, mut tags } = sample;
        let cached = match near {
            Some(record) => CachedCopy::Near(record),
            None => CachedCopy::InStore(self.first_fill(engine, &id, tags.as_deref_mut())?),
        };
        let loaded = self.load(engine, &id)?;
        match difference(engine, cached.record(), loaded.as_ref())? {
            None => Err(Audited::Consistent),
            Some(_) => Ok(Suspect {
                id,
                tags,
                cached,
                loaded,
                is_newer: false,
            }),
        }
    }

    fn first_fill(
        &self,
        engine: &Engine,
        id: &str,
        tags: Option<&mut LookupTags>,
    ) -> Result<CachedFill, Audited> {
        let fill = self.look_at_store(engine, id, tags)?;
        // Past its TTL it will not claim to be right any more. A cached absence has no grace.
        let grace = fill
            .record
            .as_ref()
            .map(|_| engine.settings.freshness.grace);
        let needed = self.settings.delay + grace.unwrap_or_default();
        if fill.left.is_some_and(|left| left <= needed) {
            // There will be nothing to look at.
            return Err(Audited::Ended);
        }
        Ok(fill)
    }

    /// `Err`: the sample has ended. Otherwise the record needs another look.
    pub(super) fn later_look(&self, engine: &Engine, suspect: Suspect) -> Result<Suspect, Audited> {
        let id = suspect.id.clone();
        match self.look_again(engine, suspect)? {
            Found::Changed(suspect) => Ok(suspect),
            Found::Inconsistent(kind, fields) => {
                engine.reporter.inconsistent(&id, kind, &fields);
                Err(Audited::Inconsistent)
            }
        }
    }

    fn look_again(&self, engine: &Engine, suspect: Suspect) -> Result<Found, Audited> {
        let Suspect {
            id, tags, cached, ..
        } = &suspect;
        // Loads before it looks: a write that this load sees may still be about to end the record.
        let loaded = self.load(engine, id)?;
        if !self.still_stands(engine, id, tags.as_deref(), cached)? {
            return Err(Audited::Unconfirmed);
        }
        // If they are equal now, the first load read a replica that lagged.
        let (kind, fields) =
            difference(engine, cached.record(), loaded.as_ref())?.ok_or(Audited::Unconfirmed)?;
        let has_changed = difference(engine, suspect.loaded.as_ref(), loaded.as_ref())?.is_some();
        if has_changed && !suspect.is_newer {
            // The first load may have lagged, so it says nothing. This one is newer than the fill,
            // because no replica lags as long. But its write may not have ended the record yet.
            return Ok(Found::Changed(Suspect {
                loaded,
                is_newer: true,
                ..suspect
            }));
        }
        Ok(Found::Inconsistent(kind, fields))
    }

    /// Loads the record aside, as it would be read back from the store.
    fn load(&self, engine: &Engine, id: &str) -> Result<Option<AnyRecord>, Audited> {
        let _permit = permit(engine)?;
        let within = WithinLoad::new();
        let span = trace::load();
        let loaded = self.loader.load_aside(id);
        let loaded = loaded.map_err(|_| self.failed(engine, id, "the loader failed"))?;
        drop((within, span));
        let Some(record) = loaded else {
            return Ok(None);
        };
        let (records, schema) = (&engine.record_type, &engine.settings.schema);
        let fields = (records.to_fields)(&record, schema).map_err(|_| Audited::Failed)?;
        (records.from_fields)(fields, schema).map_err(|_| Audited::Failed)
    }

    /// Whether the same fill is still what readers get.
    fn still_stands(
        &self,
        engine: &Engine,
        id: &str,
        tags: Option<&LookupTags>,
        cached: &CachedCopy,
    ) -> Result<bool, Audited> {
        match cached {
            CachedCopy::Near(record) => {
                let again = near_hit::find(engine, id, Instant::now(), Accepts::Any, tags);
                Ok(matches!(again, Ok(Some(again)) if record.is(&again)))
            }
            CachedCopy::InStore(fill) => {
                match self.look_at_store(engine, id, tags.map(LookupTags::unread).as_mut()) {
                    Ok(again) => Ok(fill.is_same_fill(&again)),
                    Err(Audited::Ended) => Ok(false),
                    Err(outcome) => Err(outcome),
                }
            }
        }
    }

    /// Reads what is cached in the store, if it claims to be right.
    fn look_at_store(
        &self,
        engine: &Engine,
        id: &str,
        mut tags: Option<&mut LookupTags>,
    ) -> Result<CachedFill, Audited> {
        let data = engine.data_key(id).map_err(|_| Audited::Failed)?;
        let is_pending = engine.refuse_pending(&data, "read").is_err()
            || tags
                .as_ref()
                .is_some_and(|tags| engine.refuse_pending_tags(tags, "read").is_err());
        if is_pending {
            return Err(Audited::Ended);
        }
        let began = Instant::now();
        let read = engine.first_read(&data, true, tags.as_deref_mut());
        let ended = Instant::now();
        let (entry, left) = read.map_err(|error| self.failed(engine, id, chain(&error)))?;
        let Entry::Record(mut entry) = entry else {
            return Err(Audited::Ended);
        };
        let record = engine.record_of(entry.clone(), tags.as_deref());
        let record = record.map_err(|_| Audited::Ended)?;
        let freshness = &engine.settings.freshness;
        if record.is_some() && left.is_some_and(|left| freshness.is_stale(left)) {
            return Err(Audited::Ended);
        }
        entry.sort_unstable();
        Ok(CachedFill {
            entry,
            record,
            left,
            began,
            ended,
        })
    }

    /// Logs now and then why samples fail. A loader's own error may contain anything, so its text
    /// is not logged.
    fn failed(&self, engine: &Engine, id: &str, why: impl Display) -> Audited {
        if self.failures.is_due() {
            let cache = &engine.reporter.cache;
            trace::warn!("cache `{cache}`: the audit could not compare the record {id:?}: {why}");
        }
        Audited::Failed
    }
}

/// A turn to load, if the cache has a limit.
fn permit(engine: &Engine) -> Result<Option<LimitPermit>, Audited> {
    match &engine.load_limit {
        None => Ok(None),
        // Not for the record: those who wait to load it cannot get it from here.
        Some(limit) => match limit.try_take(None) {
            Some(permit) => Ok(Some(permit)),
            None => Err(Audited::Skipped),
        },
    }
}

/// In what two records differ. `None`: in nothing.
fn difference(
    engine: &Engine,
    cached: Option<&AnyRecord>,
    loaded: Option<&AnyRecord>,
) -> Result<Option<(Inconsistency, Vec<Differing>)>, Audited> {
    let (cached, loaded) = match (cached, loaded) {
        (None, None) => return Ok(None),
        (Some(_), None) => return Ok(Some((Inconsistency::NotInPrimary, Vec::new()))),
        (None, Some(_)) => return Ok(Some((Inconsistency::OnlyInPrimary, Vec::new()))),
        (Some(cached), Some(loaded)) => (cached, loaded),
    };
    let fields =
        (engine.record_type.differing)(cached, loaded).map_err(|_: Unstorable| Audited::Failed)?;
    Ok((!fields.is_empty()).then_some((Inconsistency::Fields, fields)))
}
