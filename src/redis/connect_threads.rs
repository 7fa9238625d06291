//! The threads that open and close the connections of a pool.
//!
//! Called by the pool.

use scheduled_thread_pool::{OnPoolDropBehavior, ScheduledThreadPool};

/// How many connections are opened at the same time. Three, as in r2d2, so that one attempt that
/// hangs does not block the others.
const CONNECTING: usize = 3;

/// Creates the threads that open connections, and that close those which are idle for too long. The
/// default threads of r2d2 would exist for up to half a minute after the pool was dropped, until
/// their next check for idle connections.
pub(crate) fn workers() -> ScheduledThreadPool {
    ScheduledThreadPool::builder()
        .num_threads(CONNECTING)
        .on_drop_behavior(OnPoolDropBehavior::DiscardPendingScheduled)
        .thread_name_pattern("cache-aside-connect")
        .build()
}
