//! Handles the changes of one cache: evicts near entries and notifies waiters.
//!
//! The store calls it for changes that it pushes. The client calls it for changes made by the
//! caches of this process. `near/mod.rs` and `lease_waiters.rs` state the guarantees that depend on
//! it.

use std::time::Instant;

use super::{Near, lease_waiters::LeaseWaiters, liveness::StreamLiveness};
use crate::store::{ChangeListener, keys::Keys};

pub(crate) struct ChangeSubscriber {
    prefix: String,
    pub(crate) liveness: StreamLiveness,
    /// `None`: only waiters are notified.
    pub(crate) near: Option<Near>,
    pub(crate) lease_waiters: LeaseWaiters,
}

impl ChangeSubscriber {
    pub(crate) fn new(prefix: String, near: Option<Near>) -> ChangeSubscriber {
        ChangeSubscriber {
            prefix,
            liveness: StreamLiveness::new(),
            near,
            lease_waiters: LeaseWaiters::default(),
        }
    }

    /// Whether the change stream is live now.
    pub(crate) fn is_listening(&self) -> bool {
        self.liveness.is_live(self.liveness.nanos(Instant::now()))
    }
}

impl ChangeListener for ChangeSubscriber {
    fn on_confirmed(&self, until: Instant) {
        self.liveness.confirm(until);
    }

    fn on_change(&self, data: &str) {
        let Some(id) = data.strip_prefix(&self.prefix) else {
            return;
        };
        if let Some(near) = &self.near {
            near.evict(id);
        }
        // Another program, which does not use leases, may have written the record.
        if self.lease_waiters.any() {
            self.lease_waiters.notify(&Keys::of(data.to_owned()).lease);
        }
    }

    fn on_lease_change(&self, lease: &str) {
        self.lease_waiters.notify(lease);
    }

    fn on_flush(&self) {
        self.liveness.start_epoch();
        if let Some(near) = &self.near {
            near.clear();
        }
        self.lease_waiters.notify_all();
    }

    fn on_disconnect(&self) {
        self.liveness.disconnect();
        if let Some(near) = &self.near {
            near.clear();
        }
        // All waiters start to poll.
        self.lease_waiters.notify_all();
    }
}
