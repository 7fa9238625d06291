//! Waits for a load of another process by waiting for a pushed change of its lease.
//!
//! Guarantees that the wait ends as soon as the lease has changed since the last
//! [`arm`](LeaseWait::arm). While the change stream is down, the lookup polls instead. A loss of
//! the stream also notifies the wait. A wait that was armed while the stream was down is not
//! [live](LeaseWait::is_live). Called by the transitions and by the driver for one id.

use std::{sync::Arc, time::Instant};

use crate::{
    engine::Engine,
    near::{lease_waiters::Waiter, subscriber::ChangeSubscriber},
    store::keys::Keys,
    util::wakeup::Wakeup,
};

pub(super) struct LeaseWait<'a> {
    subscriber: &'a ChangeSubscriber,
    waiter: Waiter<'a>,
    /// The epoch of the stream when the wait was armed; `None` if the stream was down.
    epoch: Option<u64>,
}

impl<'a> LeaseWait<'a> {
    /// Registers a waiter. `None` if tracking is off.
    pub(super) fn register(engine: &'a Engine, keys: &Keys) -> Option<LeaseWait<'a>> {
        let subscriber = engine.subscriber.as_deref()?;
        Some(LeaseWait {
            subscriber,
            waiter: subscriber.lease_waiters.register(&keys.lease),
            epoch: None,
        })
    }

    /// Call it before the request is sent to the store. So each change is either visible in the
    /// answer, or notifies the wait.
    pub(super) fn arm(&mut self) {
        self.waiter.arm();
        let epoch = self.subscriber.liveness.epoch();
        self.epoch = self.subscriber.is_listening().then_some(epoch);
    }

    /// Whether every change since `arm` notifies the wait.
    pub(super) fn is_live(&self) -> bool {
        let liveness = &self.subscriber.liveness;
        Instant::now() < liveness.until() && self.epoch == Some(liveness.epoch())
    }

    /// The instant until which the stream is known to be live. Each confirmation extends it.
    pub(super) fn live_until(&self) -> Instant {
        self.subscriber.liveness.until()
    }

    pub(super) fn has_changed(&self) -> bool {
        self.waiter.has_changed()
    }

    /// Notifies `wakeup` once with this number when the lease changes.
    pub(super) fn subscribe(&self, wakeup: &Arc<Wakeup>, number: usize) {
        self.waiter.subscribe(wakeup, number);
    }

    /// Waits until the lease has changed, but not beyond `end`. False: the stream is down, and a
    /// change may have been missed.
    pub(super) fn wait(&self, end: Instant) -> bool {
        while self.is_live() {
            // If a confirmation has extended that instant meanwhile, the wait continues.
            if self.waiter.wait_until(self.live_until().min(end)) || Instant::now() >= end {
                return true;
            }
        }
        false
    }
}
