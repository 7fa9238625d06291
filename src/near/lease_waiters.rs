//! Bells: those who wait for the end of a load in another process, woken when its lease changes.
//!
//! Guarantees that a ring which comes after [`listen`](Listener::listen) ends the next wait, also where it came before
//! that wait began. A bell is there while somebody holds it, and no longer. Knows no store.

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
pub(crate) struct Bells {
    /// How many there are: all that a ring has to look at where nobody waits. Written under the lock.
    count: AtomicUsize,
    all: Mutex<HashMap<String, Hung>>,
}

struct Hung {
    bell: Arc<Bell>,
    holders: usize,
}

#[derive(Default)]
struct Bell {
    rings: Mutex<u64>,
    /// Notified, under no lock, after it rang.
    rang: Condvar,
}

/// Somebody who may come to wait.
pub(crate) struct Listener<'a> {
    bells: &'a Bells,
    lease: String,
    bell: Arc<Bell>,
    /// Rings that are no news.
    heard: u64,
}

impl Bells {
    /// Takes hold of the bell of a lease.
    pub(crate) fn hold(&self, lease: &str) -> Listener<'_> {
        let mut all = self.all.lock();
        let hung = all.entry(lease.to_owned()).or_insert_with(|| Hung {
            bell: Arc::default(),
            holders: 0,
        });
        hung.holders += 1;
        let bell = Arc::clone(&hung.bell);
        // SeqCst: who asks the store after this is seen by whoever hears of a change from after that.
        self.count.store(all.len(), Ordering::SeqCst);
        Listener {
            bells: self,
            lease: lease.to_owned(),
            bell,
            heard: 0,
        }
    }

    /// Whether anybody holds one.
    pub(crate) fn any(&self) -> bool {
        self.count.load(Ordering::SeqCst) > 0
    }

    /// Wakes those who wait for this lease.
    pub(crate) fn ring(&self, lease: &str) {
        if self.any() {
            let bell = self
                .all
                .lock()
                .get(lease)
                .map(|hung| Arc::clone(&hung.bell));
            if let Some(bell) = bell {
                bell.ring();
            }
        }
    }

    /// Wakes all.
    pub(crate) fn ring_all(&self) {
        let all = self.all.lock();
        let all: Vec<_> = all.values().map(|hung| Arc::clone(&hung.bell)).collect();
        for bell in all {
            bell.ring();
        }
    }
}

impl Bell {
    fn ring(&self) {
        *self.rings.lock() += 1;
        // No wake-up is lost: a waiter reads the number under the lock with which it goes to sleep.
        self.rang.notify_all();
    }
}

impl Listener<'_> {
    /// What rang before is no news. To be called before the store is asked.
    pub(crate) fn listen(&mut self) {
        self.heard = *self.bell.rings.lock();
    }

    /// Waits until it rings, or has rung since it listened, until `deadline` at the latest. Whether it rang.
    pub(crate) fn wait_until(&self, deadline: Instant) -> bool {
        let mut rings = self.bell.rings.lock();
        while *rings == self.heard {
            if self.bell.rang.wait_until(&mut rings, deadline).timed_out() {
                return *rings != self.heard;
            }
        }
        true
    }
}

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        let mut all = self.bells.all.lock();
        if let Some(hung) = all.get_mut(&self.lease) {
            hung.holders -= 1;
            if hung.holders == 0 {
                all.remove(&self.lease);
            }
        }
        self.bells.count.store(all.len(), Ordering::SeqCst);
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
        let bells = Bells::default();
        let mut listener = bells.hold("lease");
        bells.ring("lease");
        listener.listen();
        assert!(!listener.wait_until(soon()), "that was before");
        bells.ring("lease");
        bells.ring("lease");
        assert!(listener.wait_until(late()));
        listener.listen();
        assert!(!listener.wait_until(soon()));
    }

    #[test]
    fn a_ring_wakes_all_who_wait_for_its_lease_and_no_others() {
        let bells = Bells::default();
        let mut other = bells.hold("other");
        other.listen();
        thread::scope(|scope| {
            let waiting: Vec<_> = (0..4)
                .map(|_| {
                    let mut listener = bells.hold("lease");
                    listener.listen();
                    scope.spawn(move || listener.wait_until(late()))
                })
                .collect();
            bells.ring("lease");
            assert!(waiting.into_iter().all(|waiter| waiter.join().unwrap()));
        });
        assert!(!other.wait_until(soon()));
        bells.ring_all();
        assert!(other.wait_until(late()));
    }

    #[test]
    fn a_bell_that_nobody_holds_is_gone() {
        let bells = Bells::default();
        let (one, two) = (bells.hold("a"), bells.hold("a"));
        let three = bells.hold("b");
        drop((one, three));
        assert_eq!(bells.all.lock().len(), 1);
        drop(two);
        assert!(!bells.any() && bells.all.lock().is_empty());
        bells.ring("a");
    }
}
