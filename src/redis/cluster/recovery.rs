//! The recovery of a cluster: one thread that asks the nodes for the topology. It repeats that
//! until the topology is known, all nodes answer, and every subscription has its listeners.
//!
//! Called by the topology and by the store on a cluster. Guarantees that no caller waits for it. If
//! no thread can be started, a later request tries again.

use std::time::Duration;

use super::{parallel::in_parallel, topology::Topology};
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
}

impl Topology {
    /// Starts the recovery, because something has changed or failed. Call it with no lock held.
    pub(super) fn start_recovery(&self) {
        let Recovery {
            worker,
            postponed,
            throttle,
        } = &self.recovery;
        let started = worker.call();
        postponed.record(started.is_err());
        if let Err(error) = started
            && throttle.is_due()
        {
            trace::error!(
                "no thread to ask the nodes of the cluster could be started, which is tried again later: {error}"
            );
        }
    }

    /// Starts the recovery if no thread could be started for it before. Costs one atomic load
    /// otherwise.
    pub(super) fn start_postponed_recovery(&self) {
        if self.recovery.postponed.is_due() {
            self.start_recovery();
        }
    }

    pub(super) fn try_recover(&self) -> bool {
        let discovered = self.discover().is_ok();
        let map = self.map();
        let suspect = map.nodes().iter().filter(|node| node.is_suspect());
        let suspect: Vec<_> = suspect.collect();
        let probed = in_parallel(&suspect, |node| node.probe());
        let subscriptions = self.subscriptions();
        let is_heard = !subscriptions.iter().any(|one| one.lacks_thread());
        discovered && is_heard && probed.iter().all(Result::is_ok)
    }
}
