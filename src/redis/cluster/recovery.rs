//! The recovery of a cluster: runs a task on one thread until it succeeds. The topology supplies
//! the task.
//!
//! Called by the topology and by the store on a cluster. Guarantees that no caller waits for it. If
//! no thread can be started, a later request tries again.

use std::time::Duration;

use crate::{
    telemetry::trace,
    util::{log_throttle::LogThrottle, postponed::Postponed, retry::RetryWorker},
};

/// The thread, and whether it could be started.
pub(super) struct Recovery {
    worker: RetryWorker,
    /// Whether the recovery is needed, but no thread could be started for it.
    postponed: Postponed,
    /// Limits the log messages about that.
    throttle: LogThrottle,
}

impl Recovery {
    pub(super) fn new(
        probe_interval: Duration,
        task: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Recovery {
        Recovery {
            worker: RetryWorker::new(probe_interval, task),
            postponed: Postponed::default(),
            throttle: LogThrottle::default(),
        }
    }

    /// Starts the recovery, because something has changed or failed. Call it with no lock held.
    pub(super) fn start(&self) {
        let started = self.worker.call();
        self.postponed.record(started.is_err());
        if let Err(error) = started
            && self.throttle.is_due()
        {
            trace::error!(
                "no thread to ask the nodes of the cluster could be started, which is tried again later: {error}"
            );
        }
    }

    /// Starts the recovery if no thread could be started for it before. Costs one atomic load
    /// otherwise.
    pub(super) fn start_postponed(&self) {
        if self.postponed.is_due() {
            self.start();
        }
    }
}
