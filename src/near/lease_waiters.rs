//! LeaseWaiters: those who wait for the end of a load in another process, woken when its lease changes.
//!
//! Guarantees that a notify which comes after [`arm`](Waiter::arm) ends the next wait, also where it came before
//! that wait began. A signal is there while somebody holds it, and no longer. Knows no store.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use parking_lot::{Condvar, Mutex};

/// By lease key.
#[derive(Default)]
pub(crate) struct LeaseWaiters {
    /// How many there are: all that a notify has to look at where nobody waits. Written under the lock.
    count: AtomicUsize,
    all: Mutex<HashMap<String, Registration>>,
}

struct Registration {
    signal: Arc<Signal>,
    holders: usize,
}

#[derive(Default)]
struct Signal {
    count: Mutex<u64>,
    /// Notified, under no lock, after it notified.
    notified: Condvar,
}

/// Somebody who may come to wait.
pub(crate) struct Waiter<'a> {
    waiters: &'a LeaseWaiters,
    lease: String,
    signal: Arc<Signal>,
    /// Rings that are no news.
    seen: u64,
}

impl LeaseWaiters {
    /// Takes register of the signal of a lease.
    pub(crate) fn register(&self, lease: &str) -> Waiter<'_> {
        let mut all = self.all.lock();
        let registration = all.entry(lease.to_owned()).or_insert_with(|| Registration {
            signal: Arc::default(),
            holders: 0,
        });
        registration.holders += 1;
        let signal = Arc::clone(&registration.signal);
        // SeqCst: who asks the store after this is seen by whoever hears of a change from after that.
        self.count.store(all.len(), Ordering::SeqCst);
        Waiter {
            waiters: self,
            lease: lease.to_owned(),
            signal,
            seen: 0,
        }
    }

    /// Whether anybody holds one.
    pub(crate) fn any(&self) -> bool {
        self.count.load(Ordering::SeqCst) > 0
    }

    /// Wakes those who wait for this lease.
    pub(crate) fn notify(&self, lease: &str) {
        if self.any() {
            let signal = self
                .all
                .lock()
                .get(lease)
                .map(|registration| Arc::clone(&registration.signal));
            if let Some(signal) = signal {
                signal.notify();
            }
        }
    }

    /// Wakes all.
    pub(crate) fn notify_all(&self) {
        let all = self.all.lock();
        let all: Vec<_> = all
            .values()
            .map(|registration| Arc::clone(&registration.signal))
            .collect();
        for signal in all {
            signal.notify();
        }
    }
}

impl Signal {
    fn notify(&self) {
        *self.count.lock() += 1;
        // No wake-up is lost: a waiter reads the number under the lock with which it goes to sleep.
        self.notified.notify_all();
    }
}

impl Waiter<'_> {
    /// What notified before is no news. To be called before the store is asked.
    pub(crate) fn arm(&mut self) {
        self.seen = *self.signal.count.lock();
    }

    /// Waits until it count, or has rung since it armed, until `deadline` at the latest. Whether it notified.
    pub(crate) fn wait_until(&self, deadline: Instant) -> bool {
        let mut count = self.signal.count.lock();
        while *count == self.seen {
            if self
                .signal
                .notified
                .wait_until(&mut count, deadline)
                .timed_out()
            {
                return *count != self.seen;
            }
        }
        true
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut all = self.waiters.all.lock();
        if let Some(registration) = all.get_mut(&self.lease) {
            registration.holders -= 1;
            if registration.holders == 0 {
                all.remove(&self.lease);
            }
        }
        self.waiters.count.store(all.len(), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    fn late() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn a_ring_between_the_question_and_the_wait_is_not_lost() {
        let waiters = LeaseWaiters::default();
        let mut waiter = waiters.register("lease");
        waiters.notify("lease");
        waiter.arm();
        assert!(!waiter.wait_until(soon()), "that was before");
        waiters.notify("lease");
        waiters.notify("lease");
        assert!(waiter.wait_until(late()));
        waiter.arm();
        assert!(!waiter.wait_until(soon()));
    }

    #[test]
    fn a_ring_wakes_all_who_wait_for_its_lease_and_no_others() {
        let waiters = LeaseWaiters::default();
        let mut other = waiters.register("other");
        other.arm();
        thread::scope(|scope| {
            let waiting: Vec<_> = (0..4)
                .map(|_| {
                    let mut waiter = waiters.register("lease");
                    waiter.arm();
                    scope.spawn(move || waiter.wait_until(late()))
                })
                .collect();
            waiters.notify("lease");
            assert!(waiting.into_iter().all(|waiter| waiter.join().unwrap()));
        });
        assert!(!other.wait_until(soon()));
        waiters.notify_all();
        assert!(other.wait_until(late()));
    }

    #[test]
    fn a_bell_that_nobody_holds_is_gone() {
        let waiters = LeaseWaiters::default();
        let (one, two) = (waiters.register("a"), waiters.register("a"));
        let three = waiters.register("b");
        drop((one, three));
        assert_eq!(waiters.all.lock().len(), 1);
        drop(two);
        assert!(!waiters.any() && waiters.all.lock().is_empty());
        waiters.notify("a");
    }
}
