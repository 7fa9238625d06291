//! Waits until nothing is pending.
//!
//! Called by the client for a caller that wants to know that all invalidations have reached the
//! store. The recovery thread does the work meanwhile.

use std::{sync::atomic::Ordering, time::Duration};

use super::PendingInvalidations;
use crate::util::{
    limits::LONGEST,
    sync::{Condvar, Instant, Mutex},
};

/// Wakes the threads that wait until nothing is pending. No user code runs under the lock, which
/// guards no data. It may be taken under the lock of the pending invalidations, never before it.
#[derive(Debug, Default)]
pub(super) struct Emptied {
    lock: Mutex<()>,
    changed: Condvar,
}

impl Emptied {
    /// Call this after `any` has become false.
    pub(super) fn notify(&self) {
        // A waiter holds the lock from its look at `any` until it waits. So it either sees the
        // change, or waits by now.
        drop(self.lock.lock());
        self.changed.notify_all();
    }
}

impl PendingInvalidations {
    /// Waits until no invalidation is pending and no prefix is bypassed, but not longer than this.
    /// Returns whether that is so.
    pub(crate) fn wait_until_none(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout.min(LONGEST);
        loop {
            // A bypass ends by itself, and then nobody notifies.
            let next_end = {
                let mut state = self.state.lock();
                self.forget_what_is_over(&mut state);
                state.bypasses.next_end()
            };
            let waiting = self.emptied.lock.lock();
            if !self.any.load(Ordering::Acquire) {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            let end = next_end.map_or(deadline, |end| end.min(deadline));
            drop(self.emptied.changed.wait_until(waiting, end));
        }
    }
}
