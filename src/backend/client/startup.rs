//! The check of a store that could not be reached when it was opened.
//!
//! Guarantees that the store is not used before the check has passed. The recovery runs the check
//! instead of its probe, and then starts the [listeners](DeferredSubscription) to the changes in
//! the store. If the store will never work, each reason is logged once. The check is repeated,
//! because somebody may change the settings of the store.
//!
//! No user code runs under its locks: checks, listeners and log lines come after them.

use std::{
    error::Error as _,
    io,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    StoreClient,
    subscription::{DeferredSubscription, RECEIVE},
};
use crate::{
    error::{Error, cause::chain},
    store::Store,
    telemetry::trace,
    util::{breaker::Breaker, log_throttle::LogThrottle},
};

/// How many logged reasons are kept. A cluster gives fewer at one time. The bound limits the memory
/// if each message of a server differs.
const MOST_REASONS: usize = 16;

/// Checks a store in the same way as `build` does.
pub(crate) type StartupCheck = Arc<dyn Fn() -> Result<(), Unusable> + Send + Sync>;

/// Why a store cannot be used.
#[derive(Debug)]
pub(crate) struct Unusable {
    pub(crate) error: Error,
    /// Whether the store merely cannot be reached now. Otherwise it will never work as it is.
    pub(crate) is_away: bool,
}

/// The check that is still due.
#[derive(Default)]
pub(super) struct Startup {
    progress: Mutex<StartupState>,
    /// The reasons that were logged, the latest last.
    logged: Mutex<Vec<String>>,
    /// Limits the log messages about threads that cannot be started.
    no_thread: LogThrottle,
}

#[derive(Default)]
struct StartupState {
    /// `None`: the store has passed the check.
    check: Option<StartupCheck>,
    /// Whether the client was dropped.
    has_ended: bool,
    /// Subscriptions that begin when the store has passed, or when a thread can be started.
    deferred: Vec<Weak<DeferredSubscription>>,
}

impl Startup {
    pub(super) fn pending(check: StartupCheck) -> Startup {
        let progress = StartupState {
            check: Some(check),
            ..StartupState::default()
        };
        Startup {
            progress: Mutex::new(progress),
            logged: Mutex::default(),
            no_thread: LogThrottle::default(),
        }
    }

    /// Whether the store has not passed the check yet.
    pub(super) fn is_pending(&self) -> bool {
        self.progress.lock().check.is_some()
    }

    /// Checks the store, unless it has passed. Only one thread may call this at a time. No lock is
    /// held during the check. `None`: the client was dropped, so nobody needs the result.
    pub(super) fn run(&self) -> Option<Result<(), Unusable>> {
        let check = {
            let progress = self.progress.lock();
            let Some(check) = progress.check.clone() else {
                return Some(Ok(()));
            };
            if progress.has_ended {
                return None;
            }
            check
        };
        let checked = check();
        let mut progress = self.progress.lock();
        if progress.has_ended {
            return None;
        }
        if checked.is_ok() {
            progress.check = None;
        }
        Some(checked)
    }

    /// Keeps a subscription for later, if the store has not passed the check. Returns whether it
    /// does.
    pub(super) fn defer_until_checked(&self, subscription: &Arc<DeferredSubscription>) -> bool {
        // One lock for both, so that none is kept after the last one was started.
        let mut progress = self.progress.lock();
        if progress.check.is_none() {
            return false;
        }
        progress.defer(subscription);
        true
    }

    /// Keeps a subscription for later, because no thread could be started. Call the recovery
    /// afterwards.
    pub(super) fn defer(&self, subscription: &Arc<DeferredSubscription>) {
        self.progress.lock().defer(subscription);
    }

    /// Starts the subscriptions that were kept. Call it after the store has passed the check. One
    /// that panics does not keep the next call from starting the others. Returns false if no thread
    /// could be started for one of them, which is kept.
    pub(super) fn start_deferred(&self, store: &dyn Store) -> bool {
        while let Some(subscription) = self.next_deferred() {
            if let Some(subscription) = subscription.upgrade()
                && let Err(error) = subscription.start(store)
            {
                // The system has no thread for the others either.
                self.defer(&subscription);
                self.log_no_thread(RECEIVE, &error);
                return false;
            }
        }
        true
    }

    fn next_deferred(&self) -> Option<Weak<DeferredSubscription>> {
        self.progress.lock().deferred.pop()
    }

    /// Whether the client was dropped.
    pub(super) fn has_ended(&self) -> bool {
        self.progress.lock().has_ended
    }

    /// Lets no further check begin.
    pub(super) fn end(&self) {
        self.progress.lock().has_ended = true;
    }

    /// Logs that no thread could be started, at a limited rate. Call it with no lock held.
    pub(super) fn log_no_thread(&self, purpose: &str, error: &io::Error) {
        if self.no_thread.is_due() {
            trace::error!(
                "no thread to {purpose} could be started, which is tried again later: {error}"
            );
        }
    }

    /// Logs why the store will never work, once for each reason. Two nodes of a cluster that give
    /// the same reason count as one: each check may begin at another node.
    pub(super) fn log_refusal(&self, error: &Error) {
        let reason = error.source().map_or_else(
            || format!("{error:#}"),
            // Without the request and the address, which only `Error` prints.
            |cause| chain(cause).to_string(),
        );
        let is_new = {
            let mut logged = self.logged.lock();
            let is_new = !logged.contains(&reason);
            if is_new {
                if logged.len() == MOST_REASONS {
                    logged.remove(0);
                }
                logged.push(reason);
            }
            is_new
        };
        if is_new {
            trace::error!(
                "Redis can be reached, but cannot be used; caches work without it until that has changed: {error:#}"
            );
        }
    }
}

impl StartupState {
    fn defer(&mut self, subscription: &Arc<DeferredSubscription>) {
        self.deferred.retain(|kept| kept.strong_count() > 0);
        self.deferred.push(Arc::downgrade(subscription));
    }
}

impl StoreClient {
    /// A client to a store that could not be reached when it was opened, which this logs. The
    /// client sends nothing to the store before `check` has passed. The recovery runs `check`
    /// instead of its probe. If no thread can be started for the recovery, requests try to start it
    /// later.
    pub(crate) fn not_reached(
        store: Arc<dyn Store>,
        threshold: u32,
        probe_interval: Duration,
        (check, why): (StartupCheck, &Error),
    ) -> StoreClient {
        let breaker = Breaker::new(threshold);
        breaker.open(why);
        let client = StoreClient::with(store, breaker, probe_interval, Startup::pending(check));
        trace::warn!("caches work without Redis until it can be reached: {why:#}");
        // The recovery gets the same failure a moment later, and must not log it again.
        let _ = client.state.log_throttle.is_due();
        client.start_recovery();
        client
    }
}
