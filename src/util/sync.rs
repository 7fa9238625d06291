//! Locks and condition variables for code whose schedules are tested. `tests/schedules` replaces
//! this file by one with the same names, and runs every schedule.
//!
//! The locks are those of the standard library, because its `notify_all` wakes all waiters at once.
//! In `parking_lot`, `notify_all` wakes one waiter, which wakes the next when it unlocks, and so
//! on. With 1,000 followers on two cores, the last follower wakes twice as late in that case.
//!
//! No user code runs under these locks. Each file that uses one says why.

use std::sync::{self, MutexGuard, PoisonError};

pub(crate) use std::{
    thread::{self, ThreadId},
    time::Instant,
};

/// Ignores poison: no code panics while it holds a lock. A leader's panic is reported through the
/// state of its call.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        Mutex(sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(crate) struct Condvar(sync::Condvar);

impl Condvar {
    pub(crate) fn new() -> Condvar {
        Condvar(sync::Condvar::new())
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    /// May return earlier, as a spurious wake-up.
    pub(crate) fn wait_until<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Instant,
    ) -> MutexGuard<'a, T> {
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.0.wait_timeout(guard, left);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}
