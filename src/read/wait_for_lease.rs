//! How a lookup waits for a load of another process, where changes are heard: until the lease_wait of its lease rings.
//!
//! Guarantees that it comes back as soon as the lease has changed since it last [armed](LeaseWait::arm), and polls
//! as ever where nobody can tell: whatever ends the liveness rings too, and a lease_wait that is armed to while nothing is
//! heard is not waited for.

use std::time::{Duration, Instant};

use crate::{
    engine::Engine,
    near::{lease_waiters::Waiter, subscriber::ChangeSubscriber},
    store::keys::Keys,
};

pub(super) struct LeaseWait<'a, R> {
    subscriber: &'a ChangeSubscriber<R>,
    waiter: Waiter<'a>,
    /// In which it listens; `None` where nothing is heard.
    epoch: Option<u64>,
}

impl<'a, R> LeaseWait<'a, R> {
    /// `None` where tracking is off.
    pub(super) fn register(engine: &'a Engine<R>, keys: &Keys) -> Option<LeaseWait<'a, R>> {
        let subscriber = engine.subscriber.as_deref()?;
        Some(LeaseWait {
            subscriber,
            waiter: subscriber.lease_waiters.register(&keys.lease),
            epoch: None,
        })
    }

    /// To be called before the store is asked: what it does not say yet, rings after this.
    pub(super) fn arm(&mut self) {
        self.waiter.arm();
        let epoch = self.subscriber.liveness.epoch();
        self.epoch = self.subscriber.is_listening().then_some(epoch);
    }

    /// Waits until it has rung, the lease lapses, or the deadline. False: there may be changes that are not heard.
    pub(super) fn wait(&self, left: Duration, deadline: Instant) -> bool {
        let liveness = &self.subscriber.liveness;
        // Redis lets a lease go within a millisecond of its end.
        let lapse = Instant::now().checked_add(left.saturating_add(Duration::from_millis(1)));
        let end = lapse.map_or(deadline, |lapse| lapse.min(deadline));
        loop {
            let until = liveness.until();
            if Instant::now() >= until || self.epoch != Some(liveness.epoch()) {
                return false;
            }
            // What is relied on may be prolonged meanwhile, and then so is the wait.
            if self.waiter.wait_until(until.min(end)) || Instant::now() >= end {
                return true;
            }
        }
    }
}
