//! A cached record that should be refreshed: its TTL is over (grace), or nearly (early refresh).
//!
//! Only the caller that loads waits for the load. Of all callers in all processes one gets the
//! lease, and the others get the cached record. If the load fails, so does that caller, and no
//! caller retries for a while. A cached record was read after the lookup began. An earlier
//! invalidation would have removed it.

use std::{sync::Arc, time::Duration};

use super::lookup::LookupContext;
use crate::{
    engine::{Outcome, freshness::State},
    error::cause::chain,
    outcome::{Lookup, Source},
    telemetry::{event::Event, trace},
};

/// The cached record.
pub(super) struct Cached<R> {
    record: Arc<R>,
    source: Source,
    /// How long it stays in Redis.
    pub(super) left: Duration,
}

impl<R> Cached<R> {
    pub(super) fn new(record: Arc<R>, state: State, left: Duration) -> Cached<R> {
        let source = match state {
            State::Fresh | State::Due => Source::Hit,
            State::Stale => Source::Stale,
        };
        Cached {
            record,
            source,
            left,
        }
    }
}

impl<R> LookupContext<'_, R> {
    /// The answer of a lookup that has loaded.
    pub(super) fn refreshed(&self, outcome: Outcome<R>, cached: Cached<R>) -> Lookup<R> {
        let id = self.id;
        match outcome {
            Ok(record) => {
                self.report(&Event::Refreshed { id });
                self.found(record, Source::Refreshed)
            }
            Err(error) => {
                trace::warn!(
                    "cache `{}`: the record {id:?} could not be refreshed, and the cached one is returned: {}",
                    self.engine.reporter.cache,
                    chain(&error)
                );
                self.report(&Event::RefreshFailed { id, error: &error });
                self.cached(cached).with_cause(error)
            }
        }
    }

    /// The cached record is the answer.
    pub(super) fn cached(&self, cached: Cached<R>) -> Lookup<R> {
        self.answer_from_cache(Some(cached.record), cached.source)
    }
}
