//! The threads of a pool.

use scheduled_thread_pool::{OnPoolDropBehavior, ScheduledThreadPool};

/// How many connections are opened at the same time. Three, as in r2d2: one that hangs doesn't hold
/// up the rest.
const CONNECTING: usize = 3;

/// The threads that open connections, and close them after ten idle minutes. Those that r2d2 would
/// make stay for half a minute after the pool is gone, because the next look for idle connections
/// is due then.
pub(crate) fn workers() -> ScheduledThreadPool {
    ScheduledThreadPool::builder()
        .num_threads(CONNECTING)
        .on_drop_behavior(OnPoolDropBehavior::DiscardPendingScheduled)
        .thread_name_pattern("cache-aside-connect")
        .build()
}
