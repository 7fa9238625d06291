//! The state that callers of a client share with its recovery thread: the store, the breaker, and
//! the pending invalidations.
//!
//! The recovery thread calls it to probe and replay. Callers use it to report the breaker's state
//! and to log failures at a limited rate, and tests of programs to recover at once. It starts no
//! thread.
//!
//! No user code runs under its locks: reports, log lines and the drop of a store's error come after
//! them.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::{
    StoreClient,
    batch::counted,
    startup::{Startup, Unusable},
};
use crate::{
    backend::pending::{PendingInvalidations, Replay, Target},
    error::Error,
    near::siblings::SiblingCaches,
    store::{Failure, FailureKind, Store},
    telemetry::{
        event::Event,
        recorder::{Began, Ended},
        reporter::Reporter,
        trace,
    },
    util::{breaker::Breaker, log_throttle::LogThrottle},
};

/// How many invalidations one request replays: the server needs about a millisecond for them.
const BATCH: usize = 500;

/// The state that the recovery shares with the callers.
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
    /// The check that is still due if the store could not be reached at the start.
    pub(super) startup: Startup,
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

impl StoreClient {
    /// Recovers now, on the caller's thread. If that fails, the recovery thread tries again.
    pub(crate) fn recover(&self) {
        if let Err(failure) = self.state.probe_and_replay() {
            self.state.log_throttled(None, &failure);
        }
    }
}

impl ClientState {
    pub(super) fn complete(&self, replay: &Replay) {
        if let Some(reporter) = self.pending.complete(replay) {
            reporter.report(&Event::InvalidationReplayed);
        }
    }

    /// Completes a pending invalidation that this thread has sent.
    pub(super) fn replayed(&self, replay: &Replay, began: Began) {
        if let Some(reporter) = self.pending.complete(replay) {
            reporter
                .recorder
                .ended(replay.target.key(), began, Ended::Done);
            reporter.report(&Event::InvalidationReplayed);
        }
    }

    /// Reports to every cache whether the breaker is open. Repeats this until the last report is
    /// still true.
    ///
    /// One thread reports at a time, with no lock held; other threads leave the report to it. So no
    /// cache gets the report of the closing before the report of the opening. An opening that ends
    /// before its report is not reported.
    pub(super) fn report_breaker(&self) {
        loop {
            // Outlives the lock: it may be the last handle of a store's error, whose `Drop` is user
            // code.
            let failure;
            {
                let mut reported = self.reported.lock();
                failure = self.breaker.latest_failure();
                if reported.in_progress || reported.open == failure.is_some() {
                    return;
                }
                *reported = ReportedState {
                    open: failure.is_some(),
                    in_progress: true,
                };
            }
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

    /// Logs a failure, unless one was logged a short time ago. `cache`: `None` if the failure
    /// belongs to no single cache.
    pub(super) fn log_throttled(&self, cache: Option<&str>, failure: &Error) {
        if !self.log_throttle.is_due() {
            return;
        }
        match cache {
            Some(cache) => trace::warn!("cache `{cache}`: {failure:#}"),
            None => trace::warn!("{failure:#}"),
        }
    }

    /// Makes one attempt to recover. Returns false if it must be repeated.
    pub(super) fn try_recover(&self) -> bool {
        let Some(checked) = self.startup.run() else {
            return true;
        };
        if let Err(Unusable { error, is_away }) = checked {
            // Gives lookups the present reason as their error, and not the reason from the start.
            self.breaker.open(&error);
            if is_away {
                self.log_throttled(None, &error);
            } else {
                self.startup.log_refusal(&error);
            }
            return false;
        }
        let has_threads = self.startup.start_deferred(&*self.store);
        let recovered = self.recover();
        if let Err(failure) = &recovered {
            self.log_throttled(None, failure);
        }
        // A `clear` that was refused is repeated later.
        recovered.is_ok() && has_threads && !self.pending.has_clears()
    }

    /// Probes, replays, closes the breaker, and repeats each `clear`, in this order.
    fn recover(&self) -> Result<(), Error> {
        let refused = self.probe_and_replay()?;
        self.repeat_clears()?;
        refused.map_or(Ok(()), Err)
    }

    /// Probes, replays, and closes the breaker. `Some`: the store answered, but refused some of the
    /// invalidations.
    pub(super) fn probe_and_replay(&self) -> Result<Option<Error>, Error> {
        if self.breaker.is_open()
            && let Err(failure) = self.store.ping()
            // A refusal is also an answer. A server that cannot save its snapshot refuses a ping.
            // So does a server whose user has no permission for it.
            && failure.kind != FailureKind::Rejected
        {
            return Err(failure.at("ping"));
        }
        let refused = self.replay().map_err(|failure| failure.at("invalidate"))?;
        // Reads resume as soon as the server answers, even if it refused some invalidations. It
        // refuses some if the user may write only some keys. Records whose invalidation is pending
        // stay bypassed.
        let failure = self.breaker.latest_failure();
        if self.breaker.close() {
            let server = failure.as_ref().and_then(Error::server);
            let server = server.map_or("the server", |at| at.address.as_str());
            trace::info!("{server} answers a probe, so requests are sent again");
            self.report_breaker();
        }
        Ok(refused.map(|failure| failure.at("invalidate")))
    }

    /// Replays the pending invalidations. `Some`: the store answered, but refused some of them.
    fn replay(&self) -> Result<Option<Failure>, Failure> {
        let (mut replayed, mut refused) = (0_u32, None);
        let all = self.pending.all();
        let records = all.iter().filter_map(|replay| match &replay.target {
            Target::Record(keys) => Some((replay, keys)),
            Target::Tag(_) => None,
        });
        let records: Vec<_> = records.collect();
        for some in records.chunks(BATCH) {
            let keys: Vec<_> = some.iter().map(|(_, keys)| *keys).collect();
            let began = Began::now();
            let each = counted(self.store.invalidate_all(&keys), keys.len());
            let each = match each {
                Err(failure) if failure.kind == FailureKind::Rejected => {
                    refused = Some(failure);
                    continue;
                }
                each => each?,
            };
            for ((replay, _), done) in some.iter().zip(each) {
                match done {
                    Ok(_) => {
                        self.replayed(replay, began);
                        replayed += 1;
                    }
                    Err(failure) => refused = Some(failure),
                }
            }
        }
        match self.replay_tags(&all) {
            Ok(count) => replayed += count,
            Err(failure) => refused = Some(failure),
        }
        match replayed {
            0 => {}
            1 => trace::info!("1 pending invalidation has been replayed"),
            _ => trace::info!("{replayed} pending invalidations have been replayed"),
        }
        match refused {
            Some(failure) if failure.kind == FailureKind::Unavailable => Err(failure),
            refused => Ok(refused),
        }
    }
}
