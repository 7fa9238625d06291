//! What a relay of an outbox reports: counters, metrics and log lines.
//!
//! Called by the relay, on its thread. A relay serves several caches, so it has no observer: what
//! it does to a cache, that cache reports itself.

#[cfg(feature = "metrics")]
use std::sync::Arc;
use std::{
    error::Error as StdError,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

#[cfg(feature = "metrics")]
use metrics::{Label, SharedString, Unit, counter, describe_counter, describe_gauge, gauge};

use super::trace::{self, contain_panic};
use crate::{error::cause::chain, util::log_throttle::LogThrottle};

#[cfg(feature = "metrics")]
const ACKNOWLEDGED: &str = "cache_aside_outbox_acknowledged_total";
#[cfg(feature = "metrics")]
const SKIPPED: &str = "cache_aside_outbox_skipped_total";
#[cfg(feature = "metrics")]
const ERRORS: &str = "cache_aside_outbox_errors_total";
#[cfg(feature = "metrics")]
const WAITING: &str = "cache_aside_outbox_waiting";
#[cfg(feature = "metrics")]
const OLDEST: &str = "cache_aside_outbox_oldest_seconds";

/// The counters of an [`OutboxRelay`](crate::OutboxRelay) since its start, and its lag.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutboxStats {
    /// Entries that were acknowledged. Entries that were acknowledged twice count twice.
    pub acknowledged: u64,
    /// Acknowledged entries that no cache could take, because the id is empty or too long.
    pub skipped: u64,
    /// Steps that failed and were repeated: the outbox returned an error or panicked, or an
    /// invalidation did not reach its store.
    pub errors: u64,
    /// The lag in entries: how many were there at the last look and are not yet acknowledged. If
    /// the relay is behind by more than it reads at once, and the outbox does not
    /// [count](crate::Outbox::count), it is at least this many.
    pub waiting: u64,
    /// The lag as a time: the age of the oldest of these entries now. `None` if none waits, or if
    /// the outbox does not tell [ages](crate::OutboxEntry::age).
    pub oldest: Option<Duration>,
}

/// What the relay does with an outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Fetch,
    Count,
    Invalidate,
    Acknowledge,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Step::Fetch => "fetch",
            Step::Count => "count",
            Step::Invalidate => "invalidate",
            Step::Acknowledge => "acknowledge",
        }
    }
}

/// The reporter of one relay.
#[derive(Debug)]
pub(crate) struct OutboxReporter {
    /// The name of the relay.
    pub(crate) outbox: String,
    acknowledged: AtomicU64,
    skipped: AtomicU64,
    errors: AtomicU64,
    /// Limits the log messages about failures.
    failures: LogThrottle,
    /// Limits the log messages about entries that no cache can take.
    skips: LogThrottle,
    #[cfg(feature = "metrics")]
    label: Label,
}

impl OutboxReporter {
    pub(crate) fn new(outbox: String) -> OutboxReporter {
        let reporter = OutboxReporter {
            #[cfg(feature = "metrics")]
            label: Label::new("outbox", SharedString::from_shared(Arc::from(&*outbox))),
            outbox,
            acknowledged: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            failures: LogThrottle::default(),
            skips: LogThrottle::default(),
        };
        #[cfg(feature = "metrics")]
        let _ = contain_panic(|| reporter.begin_at_zero());
        reporter
    }

    /// Counts entries that were acknowledged. `skipped` of them were not invalidated.
    pub(crate) fn acknowledged(&self, entries: u64, skipped: u64) {
        self.acknowledged.fetch_add(entries, Relaxed);
        self.skipped.fetch_add(skipped, Relaxed);
        #[cfg(feature = "metrics")]
        let _ = contain_panic(|| {
            counter!(ACKNOWLEDGED, self.labels()).increment(entries);
            counter!(SKIPPED, self.labels()).increment(skipped);
        });
    }

    /// Logs one of the entries that no cache can take.
    pub(crate) fn skipped(&self, cache: &str, id: &str, reason: &str) {
        if self.skips.is_due() {
            // An id that is too long is no help in a log.
            let id: String = id.chars().take(64).collect();
            trace::error!(
                "outbox `{}`: the entry for {id:?} in `{cache}` is acknowledged without an invalidation: {reason}",
                self.outbox
            );
        }
    }

    /// Reports a step that failed. `error` is user code, and is dropped here. `None`: it panicked.
    pub(crate) fn failed(&self, step: Step, error: Option<Box<dyn StdError + Send + Sync>>) {
        self.errors.fetch_add(1, Relaxed);
        #[cfg(feature = "metrics")]
        let _ = contain_panic(|| {
            let step = Label::from_static_parts("step", step.name());
            counter!(ERRORS, vec![self.label.clone(), step]).increment(1);
        });
        if self.failures.is_due() {
            let (outbox, step) = (&self.outbox, step.name());
            match &error {
                Some(error) => trace::warn!(
                    "outbox `{outbox}`: the step `{step}` failed and will be repeated: {}",
                    chain(&**error)
                ),
                None => trace::error!(
                    "outbox `{outbox}`: the step `{step}` panicked and will be repeated"
                ),
            }
        }
        let _ = contain_panic(|| drop(error));
    }

    /// The counters, without the lag.
    pub(crate) fn stats(&self) -> OutboxStats {
        OutboxStats {
            acknowledged: self.acknowledged.load(Relaxed),
            skipped: self.skipped.load(Relaxed),
            errors: self.errors.load(Relaxed),
            ..OutboxStats::default()
        }
    }
}

#[cfg(feature = "metrics")]
impl OutboxReporter {
    /// Reports the lag.
    pub(crate) fn lag(&self, waiting: u64, oldest: Option<Duration>) {
        let _ = contain_panic(|| {
            #[expect(clippy::cast_precision_loss, reason = "nobody counts that far")]
            gauge!(WAITING, self.labels()).set(waiting as f64);
            let oldest = oldest.unwrap_or_default();
            gauge!(OLDEST, self.labels()).set(oldest.as_secs_f64());
        });
    }

    fn labels(&self) -> Vec<Label> {
        vec![self.label.clone()]
    }

    /// Registers the metrics, so that they exist from the start with the value 0.
    fn begin_at_zero(&self) {
        describe();
        for quiet in [ACKNOWLEDGED, SKIPPED] {
            counter!(quiet, self.labels()).increment(0);
        }
        for quiet in [WAITING, OLDEST] {
            gauge!(quiet, self.labels()).set(0.0);
        }
    }
}

#[cfg(feature = "metrics")]
fn describe() {
    describe_counter!(
        ACKNOWLEDGED,
        "Entries of the outbox that were invalidated and acknowledged"
    );
    describe_counter!(
        SKIPPED,
        "Entries of the outbox that no cache could take, and that were acknowledged"
    );
    describe_counter!(ERRORS, "Steps of the relay that failed and were repeated");
    describe_gauge!(
        WAITING,
        "Entries of the outbox that are not yet invalidated"
    );
    describe_gauge!(
        OLDEST,
        Unit::Seconds,
        "The age of the oldest entry of the outbox that is not yet invalidated"
    );
}
