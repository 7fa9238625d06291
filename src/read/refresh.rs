//! A cached record that should be refreshed: its TTL is over (grace), or nearly (early refresh).
//!
//! Only the caller who loads waits for that: of all who try, in all processes, one gets the lease, and the
//! others are served what is cached. So is that one if its load fails, and for a while nobody tries again.
//! What is served was read after the lookup began, so an invalidation before it has ended that record.

use std::{sync::Arc, time::Duration};

use super::lookup::LookupContext;
use crate::{
    engine::{Outcome, freshness::State},
    outcome::{Lookup, Source},
    telemetry::{event::Event, trace},
};

/// What is cached.
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
    /// The answer of the lookup that has loaded.
    pub(super) fn refreshed(&self, outcome: Outcome<R>, cached: Cached<R>) -> Lookup<R> {
        let id = self.id;
        match outcome {
            Ok(record) => {
                self.report(&Event::Refreshed { id });
                self.found(record, Source::Refreshed)
            }
            Err(error) => {
                trace::warn!(
                    "a record of the cache `{}` could not be loaded anew and is served as it is: {error}",
                    self.engine.settings.prefix
                );
                self.report(&Event::RefreshFailed { id, error: &error });
                self.cached(cached).with_cause(error)
            }
        }
    }

    /// What is cached is the answer.
    pub(super) fn cached(&self, cached: Cached<R>) -> Lookup<R> {
        self.answer_from_cache(Some(cached.record), cached.source)
    }
}
