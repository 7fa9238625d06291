//! How a lookup waits for a load of another process, where changes are heard: until the bell of its lease rings.
//!
//! Guarantees that it comes back as soon as the lease has changed since it last [listened](Bell::listen), and polls
//! as ever where nobody can tell: whatever ends the listening rings too, and a bell that is listened to while nothing is
//! heard is not waited for.

use std::time::{Duration, Instant};

use crate::{
    engine::Inner,
    near::{lease_waiters::Listener, subscriber::Tracked},
    store::keys::Keys,
};

pub(super) struct Bell<'a, R> {
    tracked: &'a Tracked<R>,
    listener: Listener<'a>,
    /// In which it listens; `None` where nothing is heard.
    epoch: Option<u64>,
}

impl<'a, R> Bell<'a, R> {
    /// `None` where tracking is off.
    pub(super) fn hold(inner: &'a Inner<R>, keys: &Keys) -> Option<Bell<'a, R>> {
        let tracked = inner.tracked.as_deref()?;
        Some(Bell {
            tracked,
            listener: tracked.bells.hold(&keys.lease),
            epoch: None,
        })
    }

    /// To be called before the store is asked: what it does not say yet, rings after this.
    pub(super) fn listen(&mut self) {
        self.listener.listen();
        let epoch = self.tracked.listening.epoch();
        self.epoch = self.tracked.is_listening().then_some(epoch);
    }

    /// Waits until it has rung, the lease lapses, or the deadline. False: there may be changes that are not heard.
    pub(super) fn wait(&self, left: Duration, deadline: Instant) -> bool {
        let listening = &self.tracked.listening;
        // Redis lets a lease go within a millisecond of its end.
        let lapse = Instant::now().checked_add(left.saturating_add(Duration::from_millis(1)));
        let end = lapse.map_or(deadline, |lapse| lapse.min(deadline));
        loop {
            let until = listening.until();
            if Instant::now() >= until || self.epoch != Some(listening.epoch()) {
                return false;
            }
            // What is relied on may be prolonged meanwhile, and then so is the wait.
            if self.listener.wait_until(until.min(end)) || Instant::now() >= end {
                return true;
            }
        }
    }
}
