//! The limit of `max_loads`: how many loads of one cache run at a time in this process.
//!
//! Guarantees that no more permits are out than the limit, and that waiting threads get them in the
//! order in which they came. A permit that is given back goes to the thread that has waited
//! longest. So nobody overtakes, and nobody starves. Called by the read path. Knows nothing of
//! lookups, leases or loaders.
//!
//! No user code runs under its lock, which guards numbers.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use crate::util::sync::{Condvar, Instant, Mutex};

/// The limit of one cache. A clone is the same limit.
#[derive(Debug, Clone)]
pub(crate) struct LoadLimit(Arc<LimitShared>);

#[derive(Debug)]
struct LimitShared {
    most: usize,
    state: Mutex<LimitState>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct LimitState {
    /// The number of permits that are out.
    taken: usize,
    /// The records that are loaded under a permit, as hashes, and how many permits each has.
    loading: HashMap<u64, usize>,
    /// The threads that wait, the longest first. Not empty only while all permits are out.
    waiting: VecDeque<QueuedWaiter>,
    /// The numbers of waiters that got a permit and have not picked it up yet.
    granted: Vec<u64>,
    /// The number of the next waiter.
    next: u64,
}

#[derive(Debug)]
struct QueuedWaiter {
    number: u64,
    record: Option<u64>,
    /// Notified, with no lock held, after the number was added to `granted`.
    was_granted: Arc<Condvar>,
}

/// The right to load. Its drop gives it back.
#[derive(Debug)]
pub(crate) struct LimitPermit {
    limit: LoadLimit,
    record: Option<u64>,
}

/// A place in the queue for a permit. Its drop leaves the queue.
#[derive(Debug)]
pub(crate) struct PermitWait {
    limit: LoadLimit,
    number: u64,
    record: Option<u64>,
    was_granted: Arc<Condvar>,
}

impl LoadLimit {
    pub(crate) fn new(most: usize) -> LoadLimit {
        LoadLimit(Arc::new(LimitShared {
            most,
            state: Mutex::default(),
            hasher: RandomState::new(),
        }))
    }

    /// Differs from that of any other limit that exists now.
    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// Takes a permit to load `record`, if one is free. `None` for the record: it is a batch.
    pub(crate) fn try_take(&self, record: Option<&str>) -> Option<LimitPermit> {
        let record = self.hash(record);
        let mut state = self.0.state.lock();
        // A free permit means that nobody waits: a permit that is given back goes to a waiter.
        (state.taken < self.0.most).then(|| {
            state.taken += 1;
            state.start(record);
            self.permit(record)
        })
    }

    /// Whether a load of `record` has a permit now. Another record may have the same hash, so this
    /// is only a hint.
    pub(crate) fn is_loading(&self, record: &str) -> bool {
        let record = self.0.hasher.hash_one(record);
        self.0.state.lock().loading.contains_key(&record)
    }

    /// Enters the queue for a permit to load `record`.
    pub(crate) fn queue(&self, record: Option<&str>) -> PermitWait {
        let record = self.hash(record);
        let was_granted = Arc::new(Condvar::new());
        let mut state = self.0.state.lock();
        let number = state.next;
        state.next += 1;
        if state.taken < self.0.most {
            state.taken += 1;
            state.start(record);
            state.granted.push(number);
        } else {
            state.waiting.push_back(QueuedWaiter {
                number,
                record,
                was_granted: Arc::clone(&was_granted),
            });
        }
        PermitWait {
            limit: self.clone(),
            number,
            record,
            was_granted,
        }
    }

    /// Wakes all threads that wait, so that they look whether their wait is cancelled.
    pub(crate) fn recheck_waits(&self) {
        let waiting: Vec<_> = {
            let state = self.0.state.lock();
            let waiters = state.waiting.iter();
            waiters.map(|it| Arc::clone(&it.was_granted)).collect()
        };
        for was_granted in waiting {
            was_granted.notify_one();
        }
    }

    fn hash(&self, record: Option<&str>) -> Option<u64> {
        record.map(|record| self.0.hasher.hash_one(record))
    }

    fn permit(&self, record: Option<u64>) -> LimitPermit {
        LimitPermit {
            limit: self.clone(),
            record,
        }
    }
}

impl LimitState {
    fn start(&mut self, record: Option<u64>) {
        if let Some(record) = record {
            *self.loading.entry(record).or_default() += 1;
        }
    }

    /// A permit came back. Hands it to the thread that has waited longest. Returns the signal for
    /// that thread.
    fn give_back(&mut self, record: Option<u64>) -> Option<Arc<Condvar>> {
        if let Some(record) = record
            && let Some(count) = self.loading.get_mut(&record)
        {
            *count -= 1;
            if *count == 0 {
                self.loading.remove(&record);
            }
        }
        let Some(next) = self.waiting.pop_front() else {
            self.taken -= 1;
            return None;
        };
        self.start(next.record);
        self.granted.push(next.number);
        Some(next.was_granted)
    }

    /// Whether this waiter was granted a permit. True once.
    fn pick_up(&mut self, number: u64) -> bool {
        let at = self.granted.iter().position(|granted| *granted == number);
        at.map(|at| self.granted.swap_remove(at)).is_some()
    }
}

impl PermitWait {
    /// Waits for the permit, but not beyond `deadline`. `None`: the deadline passed. The place in
    /// the queue stays, so the caller may wait again.
    pub(crate) fn wait_until(&self, deadline: Instant) -> Option<LimitPermit> {
        self.wait_unless(deadline, || false)
    }

    /// The same, and `None` also if the wait is cancelled. Whoever cancels it first makes
    /// `is_cancelled` true, and then calls [`recheck_waits`](LoadLimit::recheck_waits).
    pub(crate) fn wait_unless(
        &self,
        deadline: Instant,
        is_cancelled: impl Fn() -> bool,
    ) -> Option<LimitPermit> {
        let mut state = self.limit.0.state.lock();
        loop {
            // No wake-up is lost: a grant is made under the lock, and this thread releases the lock
            // only by waiting. So it either sees the grant here, or is woken by its signal. The
            // same holds for a cancellation: the signal is taken from the queue under the lock,
            // after the change of what `is_cancelled` reads.
            if state.pick_up(self.number) {
                return Some(self.limit.permit(self.record));
            }
            if is_cancelled() || Instant::now() >= deadline {
                return None;
            }
            state = self.was_granted.wait_until(state, deadline);
        }
    }
}

impl Drop for PermitWait {
    fn drop(&mut self) {
        let woken = {
            let mut state = self.limit.0.state.lock();
            state.waiting.retain(|waiter| waiter.number != self.number);
            // A permit that was granted in the meantime goes to the next waiter. One that was
            // picked up belongs to its holder.
            if state.pick_up(self.number) {
                state.give_back(self.record)
            } else {
                None
            }
        };
        if let Some(was_granted) = woken {
            was_granted.notify_one();
        }
    }
}

impl Drop for LimitPermit {
    fn drop(&mut self) {
        let woken = self.limit.0.state.lock().give_back(self.record);
        if let Some(was_granted) = woken {
            was_granted.notify_one();
        }
    }
}
