//! The check of a store that could not be reached when it was opened.
//!
//! Guarantees that the store is not used before the check has passed. The recovery runs the check
//! instead of its probe, and then starts the [listeners](Deferred) to the changes in the store. If
//! the store will never work, each reason is logged once. The check is repeated, because somebody
//! may change the settings of the store.

use std::{
    error::Error as _,
    io,
    sync::{Arc, Weak},
    time::Duration,
};

use super::{StoreClient, subscription::Deferred};
use crate::util::sync::Mutex;
use crate::{
    error::{Error, cause::chain},
    store::Store,
    telemetry::trace,
    util::breaker::Breaker,
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
    progress: Mutex<Progress>,
    /// The reasons that were logged, the latest last.
    logged: Mutex<Vec<String>>,
}

#[derive(Default)]
struct Progress {
    /// `None`: the store has passed the check.
    check: Option<StartupCheck>,
    is_running: bool,
    /// Whether the client was dropped.
    has_ended: bool,
    /// Subscriptions that begin when the store has passed.
    deferred: Vec<Weak<Deferred>>,
}

/// A check that runs. Its drop records the end of the check, even if the check panics.
struct Running<'a>(&'a Mutex<Progress>);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.lock().is_running = false;
    }
}

impl Startup {
    pub(super) fn pending(check: StartupCheck) -> Startup {
        let progress = Progress {
            check: Some(check),
            ..Progress::default()
        };
        Startup {
            progress: Mutex::new(progress),
            logged: Mutex::default(),
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
            let mut progress = self.progress.lock();
            let Some(check) = progress.check.clone() else {
                return Some(Ok(()));
            };
            if progress.has_ended {
                return None;
            }
            progress.is_running = true;
            check
        };
        let running = Running(&self.progress);
        let checked = check();
        drop(running);
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
    pub(super) fn defer(&self, subscription: &Arc<Deferred>) -> bool {
        // One lock for both, so that none is kept after the last one was started.
        let mut progress = self.progress.lock();
        if progress.check.is_none() {
            return false;
        }
        progress.deferred.retain(|kept| kept.strong_count() > 0);
        progress.deferred.push(Arc::downgrade(subscription));
        true
    }

    /// Starts the subscriptions that were kept. Call it after the store has passed the check. One
    /// that panics does not keep the next call from starting the others.
    pub(super) fn start_deferred(&self, store: &dyn Store) {
        while let Some(subscription) = self.next_deferred() {
            if let Some(subscription) = subscription.upgrade() {
                subscription.start(store);
            }
        }
    }

    fn next_deferred(&self) -> Option<Weak<Deferred>> {
        self.progress.lock().deferred.pop()
    }

    /// Lets no further check begin. Returns whether one is running.
    fn end(&self) -> bool {
        let mut progress = self.progress.lock();
        progress.has_ended = true;
        progress.is_running
    }

    /// Logs why the store will never work, once for each reason. Two nodes of a cluster that give
    /// the same reason count as one: each check may begin at another node.
    pub(super) fn log_refusal(&self, error: &Error) {
        let reason = error.source().map_or_else(
            || chain(error).to_string(),
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
                "Redis can be reached, but cannot be used; caches work without it until that has changed: {}",
                chain(error)
            );
        }
    }
}

impl StoreClient {
    /// A client to a store that could not be reached when it was opened. The client sends nothing to
    /// the store before `check` has passed. The recovery runs `check` instead of its probe, once it
    /// was [started](StoreClient::wait_for_server).
    pub(crate) fn not_reached(
        store: Arc<dyn Store>,
        threshold: u32,
        probe_interval: Duration,
        (check, why): (StartupCheck, &Error),
    ) -> StoreClient {
        let breaker = Breaker::new(threshold);
        breaker.open(why);
        StoreClient::with(store, breaker, probe_interval, Startup::pending(check))
    }

    /// Starts the recovery of a store that was [not reached](StoreClient::not_reached), and logs
    /// why. Fails if no thread can be started.
    pub(crate) fn wait_for_server(&self, why: &Error) -> Result<(), Error> {
        // Without the thread, nothing would check the store, and it could never be used.
        self.recovery.start().map_err(|error| Error::Store {
            request: "connect",
            cause: Arc::new(NoThread(error)),
        })?;
        trace::warn!(
            "caches work without Redis until it can be reached: {}",
            chain(why)
        );
        // The recovery gets the same failure a moment later, and must not log it again.
        let _ = self.state.log_throttle.is_due();
        self.start_recovery();
        Ok(())
    }
}

/// The cause if a server cannot be reached, and nothing can wait for it either.
#[derive(Debug, thiserror::Error)]
#[error("the server cannot be reached, and no thread to connect later could be started")]
struct NoThread(#[source] io::Error);

impl Drop for StoreClient {
    /// Does not wait for a running check, which takes up to one `connect_timeout` or more for each
    /// node. The recovery thread then holds the store until that check ends, and ends with it.
    fn drop(&mut self) {
        if self.state.startup.end() {
            self.recovery.detach();
        }
    }
}
