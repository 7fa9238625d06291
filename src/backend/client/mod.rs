//! The client to a store. Every request of every cache on that store passes through it.
//!
//! Guarantees that after a few failures in a row no request is sent to the store until it answers
//! again, and that an invalidation which did not reach it is replayed then. A thread of the client,
//! the [recovery](RetryWorker), probes and replays. It delays no caller and needs none to go on.
//!
//! Knows the store; nothing of lookups, calls and record types.

pub(crate) mod batch;
pub(crate) mod recovery;
pub(crate) mod unwind;

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;

use self::recovery::ClientState;
use super::pending::{PendingInvalidations, Recorded};
use crate::{
    error::{
        Error,
        cause::{Cause, chain},
    },
    near::siblings::SiblingCaches,
    store::{ChangeListener, Failure, FailureKind, Store, keys::Keys},
    telemetry::{event::Event, reporter::Reporter, trace},
    util::{breaker::Breaker, log_throttle::LogThrottle, retry::RetryWorker},
};

/// How many failures in a row open the breaker by default. One lost connection must not open it,
/// and no more than five callers should wait in vain.
pub(crate) const BREAKER_THRESHOLD: u32 = 5;

/// The longest pause between two probes by default. A recovery is noticed this much late at most,
/// for two small requests a second.
pub(crate) const PROBE_INTERVAL: Duration = Duration::from_millis(500);

pub(crate) struct StoreClient {
    state: Arc<ClientState>,
    recovery: RetryWorker,
}

impl StoreClient {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        threshold: u32,
        probe_interval: Duration,
    ) -> StoreClient {
        let state = Arc::new(ClientState {
            store,
            breaker: Breaker::new(threshold),
            pending: PendingInvalidations::default(),
            log_throttle: LogThrottle::default(),
            caches: Mutex::default(),
            siblings: SiblingCaches::default(),
            reported: Mutex::default(),
        });
        let recovered = Arc::clone(&state);
        StoreClient {
            state,
            recovery: RetryWorker::new(probe_interval, move || recovered.try_recover()),
        }
    }

    /// From now on the cache is told when the breaker opens and closes.
    pub(crate) fn add_reporter(&self, cache: &Arc<Reporter>) {
        let before = self.state.breaker.latest_failure();
        if let Some(error) = &before {
            cache.report(&Event::BreakerOpened { error });
        }
        {
            let mut caches = self.state.caches.lock();
            // Here, so that the list does not grow where caches are created and dropped.
            caches.retain(|cache| cache.strong_count() > 0);
            caches.push(Arc::downgrade(cache));
        }
        // A change in between may have been reported to the other caches only. A second report does
        // no harm.
        match (before, self.state.breaker.latest_failure()) {
            (None, Some(error)) => cache.report(&Event::BreakerOpened { error: &error }),
            (Some(_), None) => cache.report(&Event::BreakerClosed),
            _ => {}
        }
    }

    /// From now on this near cache evicts what any cache on this client changes.
    pub(crate) fn add_sibling(&self, listener: Weak<dyn ChangeListener>) {
        self.state.siblings.add(listener);
    }

    /// Evicts this record from every near cache on this client.
    ///
    /// To be called between the answer to a request that changed the record and the return to the
    /// caller. A lookup that took its placeholder before this call loses it; one that takes it
    /// later reads what the request left.
    pub(crate) fn evict(&self, data: &str) {
        self.state.siblings.tell(data);
    }

    /// To be called before entries with this prefix are written that can stay for so long.
    pub(crate) fn record_max_ttl(&self, prefix: &str, life: Duration) {
        self.state.pending.record_max_ttl(prefix, life);
    }

    /// The store itself.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.state.store
    }

    /// Asks the store, unless the breaker is open.
    pub(crate) fn ask<T>(
        &self,
        reporter: &Reporter,
        request: &'static str,
        ask: impl FnOnce(&dyn Store) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let ClientState { store, breaker, .. } = &*self.state;
        if let Some(cause) = breaker.refusal() {
            return Err(Error::Store { request, cause });
        }
        let failure = match ask(&**store) {
            Ok(answer) => {
                breaker.succeeded();
                return Ok(answer);
            }
            Err(failure) => failure,
        };
        let kind = failure.kind;
        let error = failure.at(request);
        reporter.report(&Event::StoreFailed {
            request,
            error: &error,
        });
        self.state.log_throttled(Some(&reporter.cache), &error);
        match kind {
            FailureKind::Unavailable if breaker.failed(&error) => {
                trace::warn!(
                    "too many requests in a row failed, so none is sent until the server answers a probe; the last failure: {}",
                    chain(&error)
                );
                self.state.report_breaker();
                self.start_recovery();
            }
            FailureKind::Unavailable | FailureKind::Partial | FailureKind::Saturated => {}
            FailureKind::Rejected => breaker.succeeded(),
        }
        Err(error)
    }

    /// Whether requests are refused without being sent.
    pub(crate) fn breaker_is_open(&self) -> bool {
        self.state.breaker.is_open()
    }

    /// Why the record at this key must not be read from the store: an invalidation of it, which did
    /// not reach the store, may still be pending.
    pub(crate) fn bypass(&self, data: &str) -> Option<Cause> {
        let concerned = self.state.pending.contains(data);
        concerned.then(|| Arc::new(PendingError) as Cause)
    }

    /// Sends a request that invalidates `keys`. If it fails or panics, the invalidation is recorded
    /// as pending before this returns or unwinds.
    pub(crate) fn invalidate<T>(
        &self,
        reporter: &Arc<Reporter>,
        keys: &Keys,
        request: &'static str,
        ask: impl FnOnce(&dyn Store) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        // Taken before the request is sent: the request also does what was pending until then, and
        // no more.
        let replays = self.state.pending.of(keys);
        let all = [keys];
        let pending = self.remember_on_drop(reporter, request, &all);
        let answer = self.ask(reporter, request, ask);
        match (&answer, replays) {
            (Ok(_), Some(replays)) => self.state.complete(&replays),
            (Ok(_), None) => {}
            (Err(failure), _) => self.remember(keys, reporter, failure),
        }
        // After it was recorded as pending: a lookup that takes its placeholder later sees that,
        // and does not read.
        self.evict(&keys.data);
        pending.returned();
        answer
    }

    fn remember(&self, keys: &Keys, reporter: &Arc<Reporter>, failure: &Error) {
        let memory = self.state.pending.remember(keys, reporter);
        // Before the reports, which call code of the program's.
        self.start_recovery();
        let id = keys.data.strip_prefix(&reporter.prefix).unwrap_or_default();
        reporter.report(&Event::InvalidationRemembered {
            id,
            is_new: matches!(memory, Recorded::First | Recorded::Kept),
        });
        match memory {
            Recorded::First => trace::warn!(
                "cache `{}`: the invalidation of {id:?} is pending and will be replayed; until then the record is not \
                 read from the server: {}",
                reporter.cache,
                chain(failure)
            ),
            Recorded::Kept | Recorded::Again | Recorded::PrefixKept => {}
            Recorded::Prefix(lasts) => {
                trace::error!(
                    "cache `{}`: too many invalidations are pending, so no record is read from the server for {lasts:?}",
                    reporter.cache
                );
                reporter.report(&Event::Bypassed { lasts });
            }
        }
    }

    /// How many invalidations wait to be replayed.
    pub(crate) fn pending(&self) -> usize {
        self.state.pending.len()
    }

    fn start_recovery(&self) {
        if let Err(error) = self.recovery.call() {
            trace::error!("no thread to probe the server could be started: {error}");
            // So requests themselves must find out when it answers again. What is pending waits for
            // the next failure.
            self.state.breaker.close();
        }
    }
}

/// Why a lookup did not read a record that may be out of date.
#[derive(Debug)]
struct PendingError;

impl fmt::Display for PendingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not sent, because an earlier invalidation of this record is pending")
    }
}

impl std::error::Error for PendingError {}
