//! What threads use to wait for one another, where that is intricate. `tests/schedules` puts the same names there with other things
//! behind them, and plays every schedule through.
//!
//! The locks are the standard library's, since its `notify_all` wakes all who wait at once. That of `parking_lot` wakes
//! one, who wakes the next when it lets go of the lock, and so on: of 1,000 followers on two cores the last comes twice as
//! late.

use std::sync::{self, MutexGuard, PoisonError};

pub(crate) use std::{
    thread::{self, ThreadId},
    time::Instant,
};

/// Without poison: nobody panics while holding one, and a leader's panic is told otherwise.
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

    /// May come back before, without a reason.
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
