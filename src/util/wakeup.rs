//! One thread that waits for any of several things, each known by a number.
//!
//! Guarantees that a notification is not lost: it is kept until the thread takes it. Does not know
//! what the thread waits for.

use std::{collections::HashSet, mem, sync::Arc};

use super::sync::{Condvar, Instant, Mutex};

/// What woke the thread, and the signal for it.
#[derive(Debug)]
pub(crate) struct Wakeup {
    /// The numbers that were notified and not taken yet.
    ready: Mutex<HashSet<usize>>,
    /// Notified, under no lock, after a number was added.
    added: Condvar,
}

/// The threads that wait for one thing among others, and the numbers by which they know it.
#[derive(Debug, Default)]
pub(crate) struct Subscribers(Vec<(Arc<Wakeup>, usize)>);

impl Subscribers {
    /// Adds a thread, unless it is there already under this number.
    pub(crate) fn add(&mut self, wakeup: &Arc<Wakeup>, number: usize) {
        let is_there =
            |(other, its): &(Arc<Wakeup>, usize)| *its == number && Arc::ptr_eq(other, wakeup);
        if !self.0.iter().any(is_there) {
            self.0.push((Arc::clone(wakeup), number));
        }
    }

    /// Wakes them all. To be called under no lock.
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

    /// Wakes the thread for this number. Several notifications of one number count as one.
    pub(crate) fn notify(&self, number: usize) {
        self.ready.lock().insert(number);
        // No wake-up is lost: the thread reads the set under the lock with which it goes to sleep.
        self.added.notify_all();
    }

    /// Waits for a notification, until `deadline` at the latest, and takes all of them. Returns an
    /// empty set if the deadline passed first.
    pub(crate) fn wait_until(&self, deadline: Instant) -> HashSet<usize> {
        let mut ready = self.ready.lock();
        // The loop is for wake-ups without a reason.
        while ready.is_empty() && Instant::now() < deadline {
            ready = self.added.wait_until(ready, deadline);
        }
        mem::take(&mut *ready)
    }
}
