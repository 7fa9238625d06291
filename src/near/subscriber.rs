//! What a cache does about the changes that it hears of: it evicts, and it wakes.
//!
//! The listener of one cache. Its store speaks to it, and so does the client, for what the caches of this process change
//! themselves. See `near.rs` and `lease_waiters.rs` for what either relies on.

use std::time::Instant;

use super::{Near, lease_waiters::LeaseWaiters, liveness::StreamLiveness};
use crate::store::{ChangeListener, keys::Keys};

pub(crate) struct ChangeSubscriber<R> {
    prefix: String,
    pub(crate) liveness: StreamLiveness,
    /// `None`: only waiters are woken.
    pub(crate) near: Option<Near<R>>,
    pub(crate) lease_waiters: LeaseWaiters,
}

impl<R> ChangeSubscriber<R> {
    pub(crate) fn new(prefix: String, near: Option<Near<R>>) -> ChangeSubscriber<R> {
        ChangeSubscriber {
            prefix,
            liveness: StreamLiveness::new(),
            near,
            lease_waiters: LeaseWaiters::default(),
        }
    }

    /// Whether changes are heard right now.
    pub(crate) fn is_listening(&self) -> bool {
        self.liveness.is_live(self.liveness.nanos(Instant::now()))
    }
}

impl<R: Send + Sync + 'static> ChangeListener for ChangeSubscriber<R> {
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
        // A program that knows no leases may have put a record there.
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
        // Whoever waits begins to poll.
        self.lease_waiters.notify_all();
    }
}
