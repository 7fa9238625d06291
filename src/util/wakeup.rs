//! Lets one thread wait for any of several events. Each event has a number.
//!
//! Guarantees that no notification is lost: it is kept until the thread takes it. Used by batch
//! lookups. Does not know what the events are.
//!
//! No user code runs under its lock, which guards numbers.

use std::{collections::HashSet, mem, sync::Arc};

use super::sync::{Condvar, Instant, Mutex};

/// The numbers that were notified, and the signal that wakes the thread.
#[derive(Debug)]
pub(crate) struct Wakeup {
    /// The numbers that were notified and not yet taken.
    ready: Mutex<HashSet<usize>>,
    /// Notified, with no lock held, after a number was added.
    added: Condvar,
}

/// The threads that wait for one event. Each thread has its own number for the event.
#[derive(Debug, Default)]
pub(crate) struct Subscribers(Vec<(Arc<Wakeup>, usize)>);

impl Subscribers {
    /// Adds a thread, unless it is already subscribed with this number.
    pub(crate) fn add(&mut self, wakeup: &Arc<Wakeup>, number: usize) {
        let is_there =
            |(other, its): &(Arc<Wakeup>, usize)| *its == number && Arc::ptr_eq(other, wakeup);
        if !self.0.iter().any(is_there) {
            self.0.push((Arc::clone(wakeup), number));
        }
    }

    /// Wakes all of them. Call it with no lock held.
    pub(crate) fn notify(self) {
        for (wakeup, number) in self.0 {
            wakeup.notify(number);
        }
    }
}

impl Wakeup {
    pub(crate) fn new() -> Wakeup {
        Wakeup {
            ready: Mutex::new(HashSet::new()),
            added: Condvar::new(),
        }
    }

    /// Notifies one number and wakes the thread. Several notifications of one number count as one.
    pub(crate) fn notify(&self, number: usize) {
        self.ready.lock().insert(number);
        // No wake-up is lost: the thread checks the set under the lock that its wait releases.
        self.added.notify_all();
    }

    /// Waits for a notification, but not beyond `deadline`, and takes all numbers. Returns an empty
    /// set if the deadline passed first.
    pub(crate) fn wait_until(&self, deadline: Instant) -> HashSet<usize> {
        let mut ready = self.ready.lock();
        // The loop ignores spurious wake-ups.
        while ready.is_empty() && Instant::now() < deadline {
            ready = self.added.wait_until(ready, deadline);
        }
        mem::take(&mut *ready)
    }
}
