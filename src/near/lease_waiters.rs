//! Lets threads wait for the end of a load in another process. A change of the lease notifies them.
//!
//! Guarantees that a change notified after [`arm`](Waiter::arm) ends the next wait, even if it came
//! before that wait began. A signal exists only while a waiter is registered for it. Called by the
//! read path and by the subscriber to changes. Knows no store.
//!
//! No user code runs under its locks: they guard keys and counters.

use std::{
    collections::HashMap,
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use crate::util::sync::{Condvar, Mutex};
use crate::util::wakeup::{Subscribers, Wakeup};

/// The signals by lease key.
#[derive(Default)]
pub(crate) struct LeaseWaiters {
    /// The number of signals. While it is 0, `notify` takes no lock. Written under the lock of
    /// `all`.
    count: AtomicUsize,
    all: Mutex<HashMap<String, Registration>>,
}

struct Registration {
    signal: Arc<Signal>,
    /// How many waiters share the signal.
    waiters: usize,
}

#[derive(Default)]
struct Signal {
    state: Mutex<SignalState>,
    /// Notified, with no lock held, after `changes` has grown.
    changed: Condvar,
}

#[derive(Default)]
struct SignalState {
    /// How often the lease has changed since the signal was made.
    changes: u64,
    /// Threads that wait for this lease and for other events.
    subscribers: Subscribers,
}

/// A thread that may wait for a lease.
pub(crate) struct Waiter<'a> {
    all: &'a LeaseWaiters,
    lease: String,
    signal: Arc<Signal>,
    /// The value of `changes` when the waiter was armed.
    seen: u64,
}

impl LeaseWaiters {
    /// Registers a thread that may wait for this lease.
    pub(crate) fn register(&self, lease: &str) -> Waiter<'_> {
        let mut all = self.all.lock();
        let registration = all.entry(lease.to_owned()).or_insert_with(|| Registration {
            signal: Arc::default(),
            waiters: 0,
        });
        registration.waiters += 1;
        let signal = Arc::clone(&registration.signal);
        // SeqCst: a thread that reports a later change sees this count.
        self.count.store(all.len(), Ordering::SeqCst);
        Waiter {
            all: self,
            lease: lease.to_owned(),
            signal,
            seen: 0,
        }
    }

    /// Whether any waiter is registered.
    pub(crate) fn any(&self) -> bool {
        self.count.load(Ordering::SeqCst) > 0
    }

    /// Notifies the waiters of this lease.
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

    /// Notifies all waiters.
    pub(crate) fn notify_all(&self) {
        let signals: Vec<_> = {
            let all = self.all.lock();
            all.values()
                .map(|registration| Arc::clone(&registration.signal))
                .collect()
        };
        for signal in signals {
            signal.notify();
        }
    }
}

impl Signal {
    fn notify(&self) {
        let subscribers = {
            let mut state = self.state.lock();
            state.changes += 1;
            mem::take(&mut state.subscribers)
        };
        // No wake-up is lost: a waiter reads `changes` under the lock that its wait releases. A
        // subscriber is added under the same lock.
        self.changed.notify_all();
        subscribers.notify();
    }
}

impl Waiter<'_> {
    /// Starts to watch for changes. Call it before the request is sent to the store.
    pub(crate) fn arm(&mut self) {
        self.seen = self.signal.state.lock().changes;
    }

    /// Whether the lease has changed since the waiter was armed.
    pub(crate) fn has_changed(&self) -> bool {
        self.signal.state.lock().changes != self.seen
    }

    /// Waits until the lease has changed since `arm`, but not beyond `deadline`. Returns whether it
    /// has changed.
    pub(crate) fn wait_until(&self, deadline: Instant) -> bool {
        let mut state = self.signal.state.lock();
        while state.changes == self.seen {
            if Instant::now() >= deadline {
                return false;
            }
            state = self.signal.changed.wait_until(state, deadline);
        }
        true
    }

    /// Notifies `wakeup` once with this number when the lease changes. Does so at once if it has
    /// changed since `arm`.
    pub(crate) fn subscribe(&self, wakeup: &Arc<Wakeup>, number: usize) {
        let mut state = self.signal.state.lock();
        if state.changes == self.seen {
            state.subscribers.add(wakeup, number);
        } else {
            drop(state);
            wakeup.notify(number);
        }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut all = self.all.all.lock();
        if let Some(registration) = all.get_mut(&self.lease) {
            registration.waiters -= 1;
            if registration.waiters == 0 {
                all.remove(&self.lease);
            }
        }
        self.all.count.store(all.len(), Ordering::SeqCst);
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
    fn a_change_between_the_request_and_the_wait_is_not_lost() {
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
    fn a_change_wakes_all_waiters_of_its_lease_and_no_others() {
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
    fn a_signal_without_a_waiter_is_removed() {
        let waiters = LeaseWaiters::default();
        let (one, two) = (waiters.register("a"), waiters.register("a"));
        let three = waiters.register("b");
        drop((one, three));
        assert_eq!(waiters.all.lock().len(), 1);
        drop(two);
        assert!(!waiters.any() && waiters.all.lock().is_empty());
        waiters.notify("a");
    }

    #[test]
    fn one_thread_waits_for_several_leases() {
        let (waiters, wakeup) = (LeaseWaiters::default(), Arc::new(Wakeup::new()));
        let (mut one, mut two) = (waiters.register("one"), waiters.register("two"));
        one.arm();
        two.arm();
        waiters.notify("one");
        // The first has already changed. The second changes later.
        one.subscribe(&wakeup, 1);
        two.subscribe(&wakeup, 2);
        assert_eq!(wakeup.wait_until(late()), [1].into());
        thread::scope(|scope| {
            scope.spawn(|| waiters.notify("two"));
            assert_eq!(wakeup.wait_until(late()), [2].into());
        });
        assert!(one.has_changed() && two.has_changed());
        // A subscription ends with the change.
        waiters.notify("two");
        assert!(wakeup.wait_until(soon()).is_empty());
    }
}
