//! The client to a store. Every request of every cache on that store passes through it.
//!
//! Guarantees two things. After a few failures in a row, no request is sent until the store answers
//! again. An invalidation that did not reach the store is replayed then. A thread of the client,
//! the [recovery](RetryWorker), probes and replays. It delays no caller, and needs no caller to
//! continue.
//!
//! It knows the store. It knows no lookups, calls or record types.
//!
//! No user code runs under its lock. It guards a list of reporters, which are called after it.

pub(crate) mod batch;
mod clear;
mod lost;
pub(crate) mod recovery;
mod remember;
mod request;
pub(crate) mod startup;
mod subscription;
pub(crate) mod tags;
pub(crate) mod unwind;

#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

use self::{
    recovery::{ClientState, ReportedState},
    startup::Startup,
    unwind::Ending,
};
use super::pending::PendingInvalidations;
use crate::{
    error::{Error, cause::Cause},
    near::siblings::SiblingCaches,
    store::{ChangeListener, Failure, Store, keys::Keys},
    telemetry::{
        event::Event,
        recorder::{Began, Ended},
        reporter::Reporter,
    },
    util::{breaker::Breaker, log_throttle::LogThrottle, postponed::Postponed, retry::RetryWorker},
};

/// How many failures in a row open the breaker by default. One lost connection must not open it,
/// and no more than five callers should wait for a timeout.
pub(crate) const BREAKER_THRESHOLD: u32 = 5;

/// The longest pause between two probes by default. A recovery is noticed after at most this time,
/// and the probes cost two small requests a second.
pub(crate) const PROBE_INTERVAL: Duration = Duration::from_millis(500);

pub(crate) struct StoreClient {
    /// Identifies it in its process.
    pub(crate) number: usize,
    state: Arc<ClientState>,
    recovery: RetryWorker,
    /// Whether the recovery is needed, but no thread could be started for it.
    postponed: Postponed,
}

impl StoreClient {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        threshold: u32,
        probe_interval: Duration,
    ) -> StoreClient {
        let breaker = Breaker::new(threshold);
        StoreClient::with(store, breaker, probe_interval, Startup::default())
    }

    fn with(
        store: Arc<dyn Store>,
        breaker: Breaker,
        probe_interval: Duration,
        startup: Startup,
    ) -> StoreClient {
        static CLIENTS: AtomicUsize = AtomicUsize::new(0);
        let reported = ReportedState {
            open: breaker.is_open(),
            in_progress: false,
        };
        let state = Arc::new(ClientState {
            store,
            breaker,
            pending: PendingInvalidations::default(),
            log_throttle: LogThrottle::default(),
            caches: Mutex::default(),
            siblings: SiblingCaches::default(),
            reported: Mutex::new(reported),
            startup,
        });
        let recovered = Arc::clone(&state);
        StoreClient {
            number: CLIENTS.fetch_add(1, Ordering::Relaxed),
            state,
            recovery: RetryWorker::new(probe_interval, move || recovered.try_recover()),
            postponed: Postponed::default(),
        }
    }

    /// From now on, reports to this cache when the breaker opens and closes.
    pub(crate) fn add_reporter(&self, cache: &Arc<Reporter>) {
        let before = self.state.breaker.latest_failure();
        if let Some(error) = &before {
            cache.report(&Event::BreakerOpened { error });
        }
        {
            let mut caches = self.state.caches.lock();
            // Removed here, so that the list does not grow when caches are created and dropped.
            caches.retain(|cache| cache.strong_count() > 0);
            caches.push(Arc::downgrade(cache));
        }
        // The breaker may have changed before this cache was in the list. A second report is
        // harmless.
        match (before, self.state.breaker.latest_failure()) {
            (None, Some(error)) => cache.report(&Event::BreakerOpened { error: &error }),
            (Some(_), None) => cache.report(&Event::BreakerClosed),
            _ => {}
        }
    }

    /// Makes this near cache evict, from now on, the records that any cache on this client changes.
    pub(crate) fn add_sibling(&self, listener: Weak<dyn ChangeListener>) {
        self.state.siblings.add(listener);
    }

    /// Evicts this record from every near cache on this client.
    ///
    /// Call this after the answer to a request that changed the record, and before the return to
    /// the caller. A lookup that took its placeholder earlier loses it. A lookup that takes it
    /// later reads the result of the request.
    pub(crate) fn evict(&self, data: &str) {
        self.state.siblings.tell(data);
    }

    /// Call this before writing entries with this prefix that can stay for as long as `life`.
    pub(crate) fn record_max_ttl(&self, prefix: &str, life: Duration) {
        self.state.pending.record_max_ttl(prefix, life);
    }

    /// Call this when a cache is built whose records with this prefix have floors, which last for
    /// `lag`. A `clear` then raises the floors, of this prefix or a shorter one.
    pub(crate) fn record_lag(&self, prefix: &str, lag: Duration) {
        self.state.pending.record_lag(prefix, lag);
    }

    /// The store itself.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.state.store
    }

    /// Whether requests are refused without being sent.
    pub(crate) fn breaker_is_open(&self) -> bool {
        self.state.breaker.is_open()
    }

    /// The reason why the record at this key must not be read from the store: its invalidation is
    /// pending, or its prefix is bypassed. `None` if it may be read.
    pub(crate) fn bypass(&self, data: &str) -> Option<Cause> {
        let why = self.state.pending.why(data)?;
        // Such a lookup sends no request, which would start the recovery.
        if self.postponed.is_due() {
            self.start_recovery();
        }
        Some(Arc::new(why))
    }

    /// Sends a request that invalidates `keys`. If it fails or panics, the invalidation is recorded
    /// as pending before this returns or unwinds.
    pub(crate) fn invalidate<T>(
        &self,
        reporter: &Arc<Reporter>,
        keys: &Keys,
        (request, began): (&'static str, Began),
        ask: impl FnOnce(&dyn Store) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        // Taken before the request is sent. The request completes exactly the invalidations that
        // are pending by now, and no later ones.
        let replays = self.state.pending.of(keys);
        let record = Ending {
            reporter,
            prefix: &reporter.prefix,
            keys,
        };
        let all = [record];
        let pending = self.remember_on_drop(request, &all);
        let answer = self.ask(reporter, request, ask);
        match (&answer, replays) {
            (Ok(_), Some(replays)) => self.state.complete(&replays),
            (Ok(_), None) => {}
            (Err(failure), _) => self.remember(&record, failure),
        }
        // Evicted after a failure was recorded as pending. A lookup that takes its placeholder
        // later sees the pending invalidation, and does not read the store.
        self.evict(&keys.data);
        let recorder = &reporter.recorder;
        recorder.ended(&keys.data, began, how_ended(&answer));
        pending.returned();
        answer
    }

    /// How many invalidations wait for their replay.
    pub(crate) fn pending(&self) -> usize {
        self.state.pending.len()
    }

    /// Waits until no invalidation is pending, but not longer than `timeout`. Returns whether that
    /// is so.
    pub(crate) fn flush(&self, timeout: Duration) -> bool {
        if self.postponed.is_due() {
            self.start_recovery();
        }
        self.state.pending.wait_until_none(timeout)
    }

    fn start_recovery(&self) {
        let started = self.recovery.call();
        self.postponed.record(started.is_err());
        let Err(error) = started else {
            return;
        };
        self.state.startup.log_no_thread("probe the server", &error);
        // A request is no check: it would use a server that may not be suitable.
        if self.state.startup.is_pending() {
            return;
        }
        // So requests themselves must find out when the server answers again. Pending invalidations
        // wait until a later request can start the thread.
        if self.state.breaker.close() {
            self.state.report_breaker();
        }
    }
}

/// For the event log.
fn how_ended<T>(answer: &Result<T, Error>) -> Ended {
    match answer {
        Ok(_) => Ended::Done,
        Err(_) => Ended::Pending,
    }
}
