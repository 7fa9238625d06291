//! Which counter an event adds to.
//!
//! Called for every event, by the counters of a cache.

use super::Shard;
use crate::{
    outcome::Source,
    telemetry::event::{Audited, Event, Load},
};

impl Shard {
    #[inline]
    pub(super) fn near_hit(&self, found: bool) {
        self.near_hits.add_one();
        if !found {
            self.negative_hits.add_one();
        }
    }

    fn audited(&self, outcome: Audited) {
        if outcome == Audited::Skipped {
            return self.audit_skips.add_one();
        }
        self.audits.add_one();
        match outcome {
            Audited::Inconsistent => self.inconsistencies.add_one(),
            Audited::Failed => self.audit_errors.add_one(),
            _ => {}
        }
    }

    pub(super) fn count(&self, event: &Event<'_>) {
        match event {
            Event::Missed { .. } => self.misses.add_one(),
            Event::LoadBegan { .. } => self.loads.add_one(),
            Event::LoadEnded { outcome, .. } => {
                if matches!(outcome, Load::Failed | Load::Panicked) {
                    self.load_errors.add_one();
                }
            }
            Event::Degraded { .. } => self.degraded.add_one(),
            Event::Answered {
                source: Source::Near,
                found,
                ..
            } => self.near_hit(*found),
            Event::Answered { source, found, .. } if source.is_hit() => {
                self.hits.add_one();
                if !found {
                    self.negative_hits.add_one();
                }
                if *source == Source::Stale {
                    self.stale_hits.add_one();
                }
            }
            Event::RefreshFailed { .. } => self.refresh_errors.add_one(),
            Event::Shared { .. } => self.stampedes_suppressed.add_one(),
            Event::Overloaded { .. } => self.overloads.add_one(),
            Event::LoadTimedOut { .. } => self.load_timeouts.add_one(),
            Event::BackgroundLoad { .. } => self.background_loads.add_one(),
            Event::BackgroundPanicked { .. } => self.background_panics.add_one(),
            Event::FillRefused { .. } => self.refused_fills.add_one(),
            Event::StaleLoad { .. } => self.stale_loads.add_one(),
            Event::Unstorable { .. } => self.unstorable_records.add_one(),
            Event::Unreadable { .. } => self.unreadable_entries.add_one(),
            Event::OtherSchema { .. } => self.other_schema_entries.add_one(),
            Event::Audited { outcome, .. } => self.audited(*outcome),
            Event::StoreFailed { .. } => self.store_errors.add_one(),
            Event::InvalidationRemembered { .. } => self.invalidations_remembered.add_one(),
            Event::InvalidationReplayed => self.invalidations_replayed.add_one(),
            Event::Answered {
                source: Source::Refreshed,
                ..
            } => self.refreshes.add_one(),
            Event::Answered { .. }
            // A refresh on another thread is no lookup.
            | Event::Refreshed { .. }
            | Event::Failed { .. }
            // `Audited` follows.
            | Event::Inconsistent { .. }
            | Event::Wrote { .. }
            // Reported when the last cache is dropped, so nobody can read its counters any more.
            | Event::InvalidationsLost { .. }
            | Event::Bypassed { .. }
            | Event::BreakerOpened { .. }
            | Event::BreakerClosed => {}
        }
    }
}
