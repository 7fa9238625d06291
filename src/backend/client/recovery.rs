//! The state that callers of a client share with its recovery thread: the store, the breaker, and
//! the pending invalidations.
//!
//! The recovery thread calls it to probe and replay. Callers use it to report the breaker's state
//! and to log failures at a limited rate. It starts no thread.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::{
    backend::pending::{PendingInvalidations, Replay},
    error::Error,
    near::siblings::SiblingCaches,
    store::{Failure, FailureKind, Store},
    telemetry::{event::Event, reporter::Reporter, trace},
    util::{breaker::Breaker, log_throttle::LogThrottle},
};

/// How many invalidations one request replays: the server needs about a millisecond for them.
const BATCH: usize = 500;

/// What the recovery shares with the callers.
pub(super) struct ClientState {
    pub(super) store: Arc<dyn Store>,
    pub(super) breaker: Breaker,
    pub(super) pending: PendingInvalidations,
    /// Limits the log messages about failures, because an outage causes many.
    pub(super) log_throttle: LogThrottle,
    /// The caches to report to.
    pub(super) caches: Mutex<Vec<Weak<Reporter>>>,
    /// The caches with a near cache.
    pub(super) siblings: SiblingCaches,
    pub(super) reported: Mutex<ReportedState>,
}

/// The last report to the caches about the breaker.
#[derive(Default)]
pub(super) struct ReportedState {
    pub(super) open: bool,
    /// Whether a thread is reporting at this moment.
    pub(super) in_progress: bool,
}

/// A report to all caches. Its drop lets the next report begin, even if this one panics. A report
/// may drop the last handle of an observer, whose `Drop` is user code.
struct InProgress<'a>(&'a Mutex<ReportedState>);

impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        self.0.lock().in_progress = false;
    }
}

impl ClientState {
    pub(super) fn complete(&self, replay: &Replay) {
        if let Some(reporter) = self.pending.complete(replay) {
            reporter.report(&Event::InvalidationReplayed);
        }
    }

    /// Reports to every cache whether the breaker is open. Repeats this until the last report is
    /// still true.
    ///
    /// One thread reports at a time, with no lock held; other threads leave the report to it. So no
    /// cache gets the closing before the opening. An opening that ends before its report is not
    /// reported.
    pub(super) fn report_breaker(&self) {
        loop {
            let failure = {
                let mut reported = self.reported.lock();
                let failure = self.breaker.latest_failure();
                if reported.in_progress || reported.open == failure.is_some() {
                    return;
                }
                *reported = ReportedState {
                    open: failure.is_some(),
                    in_progress: true,
                };
                failure
            };
            let _in_progress = InProgress(&self.reported);
            match &failure {
                Some(error) => self.report_to_all(&Event::BreakerOpened { error }),
                None => self.report_to_all(&Event::BreakerClosed),
            }
        }
    }

    /// Reports an event to every cache on this store.
    fn report_to_all(&self, event: &Event<'_>) {
        let caches: Vec<_> = {
            let mut caches = self.caches.lock();
            caches.retain(|cache| cache.strong_count() > 0);
            caches.iter().filter_map(Weak::upgrade).collect()
        };
        for cache in caches {
            cache.report(event);
        }
    }

    /// Logs a failure, unless another was logged a short time ago.
    pub(super) fn log_throttled(&self, failure: &Error) {
        if self.log_throttle.is_due() {
            trace::warn!("{failure}");
        }
    }

    /// Makes one attempt to recover. Returns false if it must be repeated.
    pub(super) fn try_recover(&self) -> bool {
        let recovered = self.recover();
        if let Err(failure) = &recovered {
            self.log_throttled(failure);
        }
        recovered.is_ok()
    }

    /// Probes, replays, and closes the breaker, in this order.
    fn recover(&self) -> Result<(), Error> {
        if self.breaker.is_open()
            && let Err(failure) = self.store.ping()
            // A refusal is also an answer. A server that cannot save its snapshot refuses a ping.
            // So does a server whose user has no permission for it.
            && failure.kind != FailureKind::Rejected
        {
            return Err(failure.at("ping"));
        }
        let refused = self.replay().map_err(|failure| failure.at("invalidate"))?;
        // Reads resume as soon as the server answers, even if it refused some invalidations. (Its
        // user may be allowed to write only some keys.) Records whose invalidation is pending stay
        // bypassed.
        if self.breaker.close() {
            trace::info!("Redis answers, and is asked again");
            self.report_breaker();
        }
        refused.map_or(Ok(()), |failure| Err(failure.at("invalidate")))
    }

    /// Replays the pending invalidations. `Some`: the store answered, but refused some of them.
    fn replay(&self) -> Result<Option<Failure>, Failure> {
        let (mut replayed, mut refused) = (0, None);
        for some in self.pending.all().chunks(BATCH) {
            let keys: Vec<_> = some.iter().map(|replay| &replay.keys).collect();
            for (replay, done) in some.iter().zip(self.store.invalidate_all(&keys)?) {
                match done {
                    Ok(_) => {
                        self.complete(replay);
                        replayed += 1;
                    }
                    Err(failure) => refused = Some(failure),
                }
            }
        }
        if replayed > 0 {
            trace::info!("{replayed} invalidations that had not reached Redis have been replayed");
        }
        match refused {
            Some(failure) if failure.kind == FailureKind::Unavailable => Err(failure),
            refused => Ok(refused),
        }
    }
}
