//! The thread that asks the sentinels who is the master.
//!
//! The store starts it before the master is used.

use std::{sync::Arc, time::Duration};

use super::{SentinelMaster, Until};
use crate::util::worker::{Worker, WorkerContext};

/// The longest pause between two rounds of questions. A change is noticed at most this much later;
/// a failover itself takes seconds. In each round a sentinel gets two small requests.
const PERIOD: Duration = Duration::from_secs(1);

impl SentinelMaster {
    /// Creates the thread that asks, which is not started yet. It ends when the returned worker is
    /// dropped.
    pub(crate) fn watch(self: &Arc<SentinelMaster>) -> Worker {
        let sentinel_master = Arc::clone(self);
        let run = move |context: &WorkerContext| {
            while !context.pause(PERIOD) {
                let _ = sentinel_master.ask_round(Until::All);
            }
        };
        Worker::new("cache-aside-sentinel", run)
    }
}
