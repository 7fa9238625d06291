//! What the callers of a client share with the thread that mends it: the store, what is known of how it is, and what it has
//! still to be reported.
//!
//! Probes, replays, tells the caches, complains now and then. Starts no thread.

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

/// How many invalidations are replayed in one request: it takes the server about a millisecond.
const BATCH: usize = 500;

/// What the recovery shares with the callers.
pub(super) struct ClientState {
    pub(super) store: Arc<dyn Store>,
    pub(super) breaker: Breaker,
    pub(super) pending: PendingInvalidations,
    /// For failures, of which an outage has many.
    pub(super) log_throttle: LogThrottle,
    /// Those that want to hear how the store is.
    pub(super) caches: Mutex<Vec<Weak<Reporter>>>,
    /// Those that keep something near.
    pub(super) siblings: SiblingCaches,
    pub(super) reported: Mutex<ReportedState>,
}

/// What the caches have been reported of the breaker last.
#[derive(Default)]
pub(super) struct ReportedState {
    pub(super) open: bool,
    /// Somebody is telling them right now.
    pub(super) in_progress: bool,
}

impl ClientState {
    pub(super) fn complete(&self, replay: &Replay) {
        if let Some(reporter) = self.pending.complete(replay) {
            reporter.report(&Event::InvalidationReplayed);
        }
    }

    /// Tells every cache whether the breaker is open, until what was reported last is so. One thread tells, with no lock
    /// held; who comes meanwhile leaves it to that one. So nobody hears of a closing before the opening, and
    /// one that is over before it could be reported is not reported.
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
            match &failure {
                Some(error) => self.report_to_all(&Event::BreakerOpened { error }),
                None => self.report_to_all(&Event::BreakerClosed),
            }
            self.reported.lock().in_progress = false;
        }
    }

    /// Tells every cache on this store.
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

    /// Logs a failure, unless one was logged a short time ago.
    pub(super) fn log_throttled(&self, failure: &Error) {
        if self.log_throttle.is_due() {
            trace::warn!("{failure}");
        }
    }

    /// Mends what it can. False: to be tried again.
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
            // A refusal is an answer, too: of a server that cannot save its snapshot, or to a user who may not ping.
            && failure.kind != FailureKind::Rejected
        {
            return Err(failure.at("ping"));
        }
        let refused = self.replay().map_err(|failure| failure.at("invalidate"))?;
        // A server that answers is read, also where it refused some: a user may write some keys only. What it
        // was not reported stays bypassed.
        if self.breaker.close() {
            trace::info!("Redis answers, and is asked again");
            self.report_breaker();
        }
        refused.map_or(Ok(()), |failure| Err(failure.at("invalidate")))
    }

    /// Replays what is pending. `Some`: the store answered, and would not do all of it.
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
