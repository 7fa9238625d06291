//! Locks and condition variables for threads that wait for long, and for code whose schedules are
//! tested. `tests/schedules` replaces this file by one with the same names, and runs every
//! schedule.
//!
//! The locks are those of the standard library, for two reasons:
//!
//! - A process may fork. In `parking_lot`, threads that wait are in one table of the process, with
//!   links between them. The table is copied by a fork, but the threads are not. New threads of the
//!   child are stored over them, and the first one that waits may then search the table for ever.
//!   So a thread of this crate that waits for long waits here.
//! - Its `notify_all` wakes all waiters at once. In `parking_lot`, `notify_all` wakes one waiter,
//!   which wakes the next when it unlocks, and so on. With 1,000 followers on two cores, the last
//!   follower wakes twice as late in that case.
//!
//! No user code runs under these locks. Each file that uses one says why.

use std::sync::{self, PoisonError, TryLockError};

pub(crate) use std::{
    sync::MutexGuard,
    thread::{self, ThreadId},
    time::Instant,
};

/// Ignores poison: no code panics while it holds a lock. A leader's panic is reported through the
/// state of its call.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Mutex<T> {
        Mutex(sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None`: another thread holds the lock.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Condvar(sync::Condvar);

impl Condvar {
    pub(crate) fn new() -> Condvar {
        Condvar(sync::Condvar::new())
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    /// May return as a spurious wake-up.
    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        let waited = self.0.wait(guard);
        waited.unwrap_or_else(PoisonError::into_inner)
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
