//! How many connections shared requests use at the same time, whatever the size of the pool.
//!
//! Where many threads ask one server, a few connections with a full pipeline each serve more
//! requests than one connection for each thread: a request of its own costs a write, a read and a
//! wake-up. How many are best depends on the way to the server. So the limit follows the time that
//! a round trip takes, as the window of TCP Vegas does (Brakmo, O'Malley and Peterson, SIGCOMM
//! '94). If a round trip takes `shortest` on an idle way and `now` at present, then of `limit`
//! requests, one on each connection,
//!
//! ```text
//! limit × (1 − shortest / now)
//! ```
//!
//! wait somewhere instead of being under way. With less than [`FEW`] waiting the limit rises, with
//! more than [`MANY`] it falls.
//!
//! Guarantees that a caller waits no longer than [`PATIENCE`] round trips, nor beyond its deadline:
//! after that, it takes a connection beyond the limit. So a connection whose server is silent keeps
//! nobody else waiting.
//!
//! Called by the store on one server. Knows nothing of connections or requests.
//!
//! No user code runs under its locks, and nothing is sent.

use std::{
    sync::atomic::{
        AtomicU32,
        Ordering::{Relaxed, SeqCst},
    },
    time::Duration,
};

use crate::util::sync::{Condvar, Instant, Mutex};

/// With fewer waiting than this, another connection is better used than saved.
const FEW: f64 = 3.0;

/// With more waiting than this, another connection only makes all of them slower.
const MANY: f64 = 6.0;

/// The limit begins here and is never lower. A program with so few threads never waits.
const LOWEST: u32 = 4;

/// A caller waits for a permit during this many round trips.
const PATIENCE: u32 = 4;

/// The shortest round trip is forgotten after one to two of these, because a way may become longer.
const MEMORY: Duration = Duration::from_secs(10);

/// A free permit costs a few atomic steps and no lock.
pub(crate) struct ConcurrencyLimit {
    /// The size of the pool.
    most: u32,
    /// Changed only by the thread that has the lock of `round_trips`.
    limit: AtomicU32,
    /// The permits that are taken, within the limit and beyond it.
    taken: AtomicU32,
    waiting: AtomicU32,
    /// Held by a caller between its last look at `taken` and its wait.
    gate: Mutex<()>,
    /// Notified, with no lock held, when a permit becomes free while callers wait.
    freed: Condvar,
    round_trips: Mutex<RoundTrips>,
}

/// What round trips take.
struct RoundTrips {
    /// Those since the last change of the limit.
    count: u32,
    total: Duration,
    /// Of those before.
    average: Duration,
    /// The shortest one since `since`, and the shortest one before it.
    shortest: (Duration, Duration),
    since: Instant,
}

/// A permit within the limit, or beyond it. Its drop frees it.
pub(crate) struct Permit<'a> {
    of: &'a ConcurrencyLimit,
    /// `None`: nothing was sent.
    began: Option<Instant>,
    took: Option<Duration>,
}

impl ConcurrencyLimit {
    /// `most`: the size of the pool.
    pub(crate) fn new(most: u32) -> ConcurrencyLimit {
        ConcurrencyLimit {
            most,
            limit: AtomicU32::new(LOWEST.min(most)),
            taken: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            gate: Mutex::new(()),
            freed: Condvar::new(),
            round_trips: Mutex::new(RoundTrips {
                count: 0,
                total: Duration::ZERO,
                average: Duration::ZERO,
                shortest: (Duration::MAX, Duration::MAX),
                since: Instant::now(),
            }),
        }
    }

    /// A permit within the limit, without a wait.
    pub(crate) fn try_enter(&self) -> Option<Permit<'_>> {
        let limit = self.limit.load(Relaxed);
        let next = |taken| (taken < limit).then_some(taken + 1);
        self.taken.fetch_update(SeqCst, Relaxed, next).ok()?;
        Some(self.permit())
    }

    /// A permit within the limit, or beyond it after a wait, which ends at the deadline.
    pub(crate) fn enter(&self, deadline: Instant) -> Permit<'_> {
        if let Some(permit) = self.try_enter() {
            return permit;
        }
        let patience = self.round_trips.lock().average * PATIENCE;
        let until = deadline.min(Instant::now() + patience);
        self.waiting.fetch_add(1, SeqCst);
        let permit = self.wait(until);
        self.waiting.fetch_sub(1, SeqCst);
        permit
    }

    /// No wake-up is lost. This caller is counted before it looks for a permit, and a permit is
    /// freed before its owner looks for waiting callers. So one of the two sees the other. If it is
    /// the owner, it passes the gate before it notifies: by then this caller waits.
    fn wait(&self, until: Instant) -> Permit<'_> {
        let mut gate = self.gate.lock();
        loop {
            if let Some(permit) = self.try_enter() {
                return permit;
            }
            if Instant::now() >= until {
                self.taken.fetch_add(1, SeqCst);
                return self.permit();
            }
            gate = self.freed.wait_until(gate, until);
        }
    }

    fn permit(&self) -> Permit<'_> {
        Permit {
            of: self,
            began: None,
            took: None,
        }
    }

    fn leave(&self) {
        self.taken.fetch_sub(1, SeqCst);
        if self.waiting.load(SeqCst) > 0 {
            drop(self.gate.lock());
            self.freed.notify_one();
        }
    }

    /// Learns what a round trip took. After as many of them as the limit, changes the limit.
    fn adapt(&self, took: Duration) {
        // While another thread does this, one round trip more or less does not matter.
        let Some(mut round_trips) = self.round_trips.try_lock() else {
            return;
        };
        let limit = self.limit.load(Relaxed);
        let Some(share) = round_trips.add(took, limit) else {
            return;
        };
        let on_the_way = f64::from(limit) * share;
        let next = if on_the_way > MANY {
            limit - 1
        } else if on_the_way < FEW && self.waiting.load(Relaxed) > 0 {
            limit + 1
        } else {
            limit
        };
        let next = next.clamp(LOWEST.min(self.most), self.most);
        self.limit.store(next, Relaxed);
    }
}

impl Permit<'_> {
    /// Call it when a connection is at hand, before anything is sent.
    pub(crate) fn send(&mut self) {
        self.began = Some(Instant::now());
    }

    /// Call it when the round trip has ended. How long a failure takes says nothing about the way.
    pub(crate) fn ended(&mut self, is_ok: bool) {
        self.took = self.began.filter(|_| is_ok).map(|began| began.elapsed());
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.of.leave();
        if let Some(took) = self.took {
            self.of.adapt(took);
        }
    }
}

impl RoundTrips {
    /// After `enough` round trips: the share of their time that was spent waiting.
    fn add(&mut self, took: Duration, enough: u32) -> Option<f64> {
        self.shortest.0 = self.shortest.0.min(took);
        self.count += 1;
        self.total += took;
        if self.count < enough {
            return None;
        }
        self.average = self.total / self.count;
        (self.count, self.total) = (0, Duration::ZERO);
        let shortest = self.shortest.0.min(self.shortest.1);
        if self.since.elapsed() > MEMORY {
            self.shortest = (Duration::MAX, self.shortest.0);
            self.since = Instant::now();
        }
        Some(1.0 - shortest.as_secs_f64() / self.average.as_secs_f64().max(f64::MIN_POSITIVE))
    }
}

#[cfg(test)]
mod tests;
