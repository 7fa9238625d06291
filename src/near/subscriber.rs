//! What a cache does about the changes that it hears of: it evicts, and it wakes.
//!
//! The ear of one cache. Its store speaks to it, and so does the link, for what the caches of this process change
//! themselves. See `near.rs` and `bells.rs` for what either relies on.

use std::time::Instant;

use super::{Near, lease_waiters::Bells, liveness::Listening};
use crate::store::{Ear, keys::Keys};

pub(crate) struct Tracked<R> {
    prefix: String,
    pub(crate) listening: Listening,
    /// `None`: only waiters are woken.
    pub(crate) near: Option<Near<R>>,
    pub(crate) bells: Bells,
}

impl<R> Tracked<R> {
    pub(crate) fn new(prefix: String, near: Option<Near<R>>) -> Tracked<R> {
        Tracked {
            prefix,
            listening: Listening::new(),
            near,
            bells: Bells::default(),
        }
    }

    /// Whether changes are heard right now.
    pub(crate) fn is_listening(&self) -> bool {
        self.listening.is_on(self.listening.nanos(Instant::now()))
    }
}

impl<R: Send + Sync + 'static> Ear for Tracked<R> {
    fn listening(&self, until: Instant) {
        self.listening.heard(until);
    }

    fn changed(&self, data: &str) {
        let Some(id) = data.strip_prefix(&self.prefix) else {
            return;
        };
        if let Some(near) = &self.near {
            near.evict(id);
        }
        // A program that knows no leases may have put a record there.
        if self.bells.any() {
            self.bells.ring(&Keys::of(data.to_owned()).lease);
        }
    }

    fn lease_changed(&self, lease: &str) {
        self.bells.ring(lease);
    }

    fn everything_changed(&self) {
        self.listening.begin_anew();
        if let Some(near) = &self.near {
            near.clear();
        }
        self.bells.ring_all();
    }

    fn lost(&self) {
        self.listening.lost();
        if let Some(near) = &self.near {
            near.clear();
        }
        // Whoever waits begins to poll.
        self.bells.ring_all();
    }
}
