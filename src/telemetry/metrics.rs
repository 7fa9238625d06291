//! Converts events to metrics, through the `metrics` crate and with Prometheus conventions.
//!
//! Called by the reporter. Each metric has the label `cache`. The guide's chapter on
//! operations explains the metrics.

mod describe;

use std::sync::Arc;

use metrics::{
    Counter, Histogram, Key, Label, Level, Metadata, SharedString, counter, gauge, histogram,
    with_recorder,
};

use self::describe::describe;
use super::event::{Audited, Event};
use crate::{outcome::Source, util::worker::contain_panic};

const LOOKUPS: &str = "cache_aside_lookups_total";
const LOOKUP_ERRORS: &str = "cache_aside_lookup_errors_total";
const LOOKUP_SECONDS: &str = "cache_aside_lookup_duration_seconds";
const MISSES: &str = "cache_aside_misses_total";
const SHARED: &str = "cache_aside_stampedes_suppressed_total";
const LOADS: &str = "cache_aside_loads_total";
const OVERLOADS: &str = "cache_aside_overloads_total";
const LOAD_TIMEOUTS: &str = "cache_aside_load_timeouts_total";
const BACKGROUND_LOADS: &str = "cache_aside_background_loads_total";
const BACKGROUND_PANICS: &str = "cache_aside_background_panics_total";
const LOAD_SECONDS: &str = "cache_aside_load_duration_seconds";
const LOADS_IN_FLIGHT: &str = "cache_aside_loads_in_flight";
const REFRESHES: &str = "cache_aside_refreshes_total";
const REFUSED_FILLS: &str = "cache_aside_refused_fills_total";
const STALE_LOADS: &str = "cache_aside_stale_loads_total";
const UNSTORABLE: &str = "cache_aside_unstorable_records_total";
const UNREADABLE: &str = "cache_aside_unreadable_entries_total";
const OTHER_SCHEMA: &str = "cache_aside_other_schema_entries_total";
const AUDITS: &str = "cache_aside_audits_total";
const WRITES: &str = "cache_aside_writes_total";
const WRITE_SECONDS: &str = "cache_aside_write_duration_seconds";
const STORE_ERRORS: &str = "cache_aside_store_errors_total";
const REMEMBERED: &str = "cache_aside_invalidations_remembered_total";
const REPLAYED: &str = "cache_aside_invalidations_replayed_total";
const LOST: &str = "cache_aside_invalidations_lost_total";
const PENDING: &str = "cache_aside_invalidations_pending";
const BREAKER_OPEN: &str = "cache_aside_breaker_open";

const METADATA: Metadata<'static> =
    Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

/// The metrics of one cache.
#[derive(Debug)]
pub(crate) struct Metrics {
    cache: Label,
    /// The metric names that every lookup needs. They are built once, so that a hit allocates
    /// nothing. Handles are not kept, because a program may install its recorder later.
    hit: Names,
    negative_hit: Names,
    near: Names,
    negative_near: Names,
}

#[derive(Debug)]
struct Names {
    count: Key,
    seconds: Key,
}

impl Metrics {
    pub(crate) fn new(cache: &str) -> Metrics {
        let cache = Label::new("cache", SharedString::from_shared(Arc::from(cache)));
        let _ = contain_panic(describe);
        let metrics = Metrics {
            hit: Names::of(&cache, Source::Hit, true),
            negative_hit: Names::of(&cache, Source::Hit, false),
            near: Names::of(&cache, Source::Near, true),
            negative_near: Names::of(&cache, Source::Near, false),
            cache,
        };
        let _ = contain_panic(|| metrics.begin_at_zero());
        metrics
    }

    /// Registers the metrics of rare events, so that they exist from the start with the value 0.
    fn begin_at_zero(&self) {
        for quiet in [
            LOOKUP_ERRORS,
            SHARED,
            OVERLOADS,
            LOAD_TIMEOUTS,
            BACKGROUND_LOADS,
            BACKGROUND_PANICS,
            REFUSED_FILLS,
            STALE_LOADS,
            UNSTORABLE,
            UNREADABLE,
            OTHER_SCHEMA,
            REMEMBERED,
            REPLAYED,
            LOST,
        ] {
            self.count(quiet).increment(0);
        }
        for outcome in ["done", "failed"] {
            self.refreshes(outcome).increment(0);
        }
        for outcome in [
            Audited::Consistent,
            Audited::Inconsistent,
            Audited::Unconfirmed,
            Audited::Ended,
            Audited::Skipped,
            Audited::Failed,
        ] {
            self.audits(outcome).increment(0);
        }
        for quiet in [LOADS_IN_FLIGHT, PENDING, BREAKER_OPEN] {
            gauge!(quiet, self.labels()).increment(0.0);
        }
    }

    fn labels(&self) -> Vec<Label> {
        vec![self.cache.clone()]
    }

    fn with(&self, key: &'static str, value: &'static str) -> Vec<Label> {
        vec![self.cache.clone(), Label::from_static_parts(key, value)]
    }

    fn count(&self, name: &'static str) -> Counter {
        counter!(name, self.labels())
    }

    fn refreshes(&self, outcome: &'static str) -> Counter {
        counter!(REFRESHES, self.with("outcome", outcome))
    }

    fn audits(&self, outcome: Audited) -> Counter {
        counter!(AUDITS, self.with("outcome", outcome.name()))
    }

    /// Counts an answer from the near cache. It is not timed.
    #[inline]
    pub(crate) fn near_hit(&self, found: bool) {
        let names = if found {
            &self.near
        } else {
            &self.negative_near
        };
        names.count();
    }

    pub(crate) fn record(&self, event: &Event<'_>) {
        match event {
            Event::Missed { reason, .. } => {
                counter!(MISSES, self.with("reason", reason.name())).increment(1);
            }
            Event::LoadBegan { .. } => gauge!(LOADS_IN_FLIGHT, self.labels()).increment(1.0),
            Event::LoadEnded {
                outcome, elapsed, ..
            } => {
                gauge!(LOADS_IN_FLIGHT, self.labels()).decrement(1.0);
                counter!(LOADS, self.with("outcome", outcome.name())).increment(1);
                histogram!(LOAD_SECONDS, self.labels()).record(elapsed.as_secs_f64());
            }
            Event::Answered {
                source,
                found,
                elapsed,
                ..
            } => {
                let seconds = elapsed.as_secs_f64();
                match (source, found) {
                    (Source::Hit, true) => self.hit.record(seconds),
                    (Source::Hit, false) => self.negative_hit.record(seconds),
                    (Source::Near, found) => self.near_hit(*found),
                    _ => Names::of(&self.cache, *source, *found).record(seconds),
                }
            }
            Event::Failed { .. } => self.count(LOOKUP_ERRORS).increment(1),
            Event::Shared { .. } => self.count(SHARED).increment(1),
            Event::Refreshed { .. } => self.refreshes("done").increment(1),
            Event::RefreshFailed { .. } => self.refreshes("failed").increment(1),
            Event::Overloaded { .. } => self.count(OVERLOADS).increment(1),
            Event::LoadTimedOut { .. } => self.count(LOAD_TIMEOUTS).increment(1),
            Event::BackgroundLoad { .. } => self.count(BACKGROUND_LOADS).increment(1),
            Event::BackgroundPanicked { .. } => self.count(BACKGROUND_PANICS).increment(1),
            Event::FillRefused { .. } => self.count(REFUSED_FILLS).increment(1),
            Event::StaleLoad { .. } => self.count(STALE_LOADS).increment(1),
            Event::Unstorable { .. } => self.count(UNSTORABLE).increment(1),
            Event::Unreadable { .. } => self.count(UNREADABLE).increment(1),
            Event::OtherSchema { .. } => self.count(OTHER_SCHEMA).increment(1),
            Event::Audited { outcome, .. } => self.audits(*outcome).increment(1),
            Event::Wrote { call, elapsed, .. } => {
                let labels = self.with("call", call.name());
                counter!(WRITES, labels.clone()).increment(1);
                histogram!(WRITE_SECONDS, labels).record(elapsed.as_secs_f64());
            }
            Event::StoreFailed { request, .. } => {
                counter!(STORE_ERRORS, self.with("request", request)).increment(1);
            }
            Event::InvalidationRemembered { is_new, .. } => {
                self.count(REMEMBERED).increment(1);
                if *is_new {
                    gauge!(PENDING, self.labels()).increment(1.0);
                }
            }
            Event::InvalidationReplayed => {
                self.count(REPLAYED).increment(1);
                gauge!(PENDING, self.labels()).decrement(1.0);
            }
            Event::InvalidationsLost { count } => {
                self.count(LOST).increment(*count);
                #[expect(clippy::cast_precision_loss, reason = "at most 10,000 are pending")]
                let count = *count as f64;
                gauge!(PENDING, self.labels()).decrement(count);
            }
            Event::BreakerOpened { .. } => gauge!(BREAKER_OPEN, self.labels()).set(1.0),
            Event::BreakerClosed => gauge!(BREAKER_OPEN, self.labels()).set(0.0),
            // `Answered` counts a degraded lookup, and `Audited` an inconsistency. A bypassed
            // prefix is only logged.
            Event::Degraded { .. } | Event::Inconsistent { .. } | Event::Bypassed { .. } => {}
        }
    }
}

impl Names {
    /// The metric names for answers from this source.
    fn of(cache: &Label, source: Source, found: bool) -> Names {
        let source = Label::from_static_parts("source", source.name());
        let found = Label::from_static_parts("found", if found { "true" } else { "false" });
        let labels = vec![cache.clone(), source];
        Names {
            seconds: Key::from_parts(LOOKUP_SECONDS, labels.clone()),
            count: Key::from_parts(LOOKUPS, [labels, vec![found]].concat()),
        }
    }

    /// Counts an answer without its time.
    fn count(&self) {
        let count = with_recorder(|recorder| recorder.register_counter(&self.count, &METADATA));
        count.increment(1);
    }

    fn record(&self, seconds: f64) {
        let (count, histogram): (Counter, Histogram) = with_recorder(|recorder| {
            (
                recorder.register_counter(&self.count, &METADATA),
                recorder.register_histogram(&self.seconds, &METADATA),
            )
        });
        count.increment(1);
        histogram.record(seconds);
    }
}
