//! Answers a lookup whose cached record should be refreshed. Its TTL has ended (grace), or will end
//! soon (early refresh).
//!
//! Only the caller that loads waits for the load. One caller in all processes gets the lease; the
//! others get the cached record. If the load fails, the caller that loads gets the cached record
//! too, and no caller retries for a while. The cached record was read after the lookup began, so an
//! earlier invalidation would have removed it.

use std::time::Duration;

use super::lookup::LookupContext;
use crate::{
    engine::{Outcome, freshness::EntryState},
    outcome::{Answer, Source},
    record::any::AnyRecord,
    telemetry::{event::Event, trace},
};

/// A record from the cache, and how long it stays there.
#[derive(Clone)]
pub(super) struct Cached {
    record: AnyRecord,
    source: Source,
    /// How long the record stays in Redis.
    pub(super) left: Duration,
}

impl Cached {
    /// Whether the record is past its TTL.
    pub(super) fn is_stale(&self) -> bool {
        self.source == Source::Stale
    }

    pub(super) fn new(record: AnyRecord, state: EntryState, left: Duration) -> Cached {
        let source = match state {
            EntryState::Fresh | EntryState::Due => Source::Hit,
            EntryState::Stale => Source::Stale,
        };
        Cached {
            record,
            source,
            left,
        }
    }
}

impl LookupContext<'_> {
    /// Answers a lookup that has loaded. If the load failed, the answer is the cached record.
    pub(super) fn refreshed(&self, outcome: Outcome, cached: Cached) -> Answer {
        let id = self.id;
        match outcome {
            Ok(record) => {
                self.report(&Event::Refreshed { id });
                self.found(record, Source::Refreshed)
            }
            Err(error) => {
                trace::warn!(
                    "cache `{}`: the record {id:?} could not be refreshed, and the cached one is returned: {error:#}",
                    self.engine.reporter.cache
                );
                self.report(&Event::RefreshFailed { id, error: &error });
                self.cached(cached).with_cause(error)
            }
        }
    }

    /// Answers the lookup with the cached record.
    pub(super) fn cached(&self, cached: Cached) -> Answer {
        self.answer_from_cache(Some(cached.record), cached.source)
    }
}
