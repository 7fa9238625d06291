//! What a test does to the embedded store: it lets time pass, and lets requests fail.
//!
//! Guarantees that the near caches follow. Called by the handle of the program. No lock is held
//! while a listener is called.

use std::time::{Duration, Instant};

use super::MemoryStore;
use crate::{store::ChangeListener, util::limits::LONGEST};

impl MemoryStore {
    /// Lets time pass: TTLs, leases and floors lapse.
    ///
    /// Listeners measure the time of the process. So their entries count as changed, and those who
    /// wait for a lease ask again.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.listeners.each(|listener| listener.on_flush());
    }

    /// Lets this number of requests fail, from the next one on.
    pub(crate) fn fail_next(&self, requests: u64) {
        self.outage.fail_next(requests);
    }

    /// Lets every request fail, or none. Meanwhile the listeners have lost the stream of changes.
    pub(crate) fn set_unavailable(&self, is_unavailable: bool) {
        self.outage.set_unavailable(is_unavailable);
        self.listeners.each(|listener| self.tell_liveness(listener));
    }

    /// Tells a listener whether the store can report changes to it.
    pub(super) fn tell_liveness(&self, listener: &dyn ChangeListener) {
        loop {
            let is_unavailable = self.outage.is_unavailable();
            if is_unavailable {
                listener.on_disconnect();
            } else {
                // Valid as long as the process lives, because every step calls its listeners.
                listener.on_confirmed(Instant::now() + LONGEST);
            }
            // Another thread may have set it meanwhile, and told the listener before this one did.
            if self.outage.is_unavailable() == is_unavailable {
                return;
            }
        }
    }
}
