//! The types of `src/util/sync.rs`, on `shuttle`: the test chooses every step of the threads, and
//! the clock moves only when a wait times out.

use std::{
    cell::Cell,
    fmt,
    ops::{Deref, DerefMut},
    sync::PoisonError,
};

use shuttle::rand::{Rng, thread_rng};

pub(crate) use shuttle::thread::{self, ThreadId};

thread_local! {
    /// All threads of a schedule run on one thread of the operating system, one at a time.
    static CLOCK: Cell<u64> = const { Cell::new(0) };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(u64);

impl Instant {
    /// Never comes: a thread that waits until then without a wake-up is stuck, which the test
    /// reports.
    pub(crate) const NEVER: Instant = Instant(u64::MAX);

    /// May come during a wait or not: both are tried.
    pub(crate) fn soon() -> Instant {
        Instant(CLOCK.get() + 1)
    }

    pub(crate) fn now() -> Instant {
        Instant(CLOCK.get())
    }
}

#[derive(Default)]
pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

pub(crate) struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    guard: shuttle::sync::MutexGuard<'a, T>,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        Mutex(shuttle::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard {
            mutex: self,
            // As in `parking_lot`, there is no poisoning.
            guard: self.0.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mutex")
    }
}

#[derive(Debug)]
pub(crate) struct Condvar(shuttle::sync::Condvar);

impl Condvar {
    pub(crate) fn new() -> Condvar {
        Condvar(shuttle::sync::Condvar::new())
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    /// A wait with a deadline may time out at any moment in which other threads run. It may also be
    /// late, and end only by a notification.
    pub(crate) fn wait_until<'a, T>(
        &self,
        MutexGuard { mutex, guard }: MutexGuard<'a, T>,
        deadline: Instant,
    ) -> MutexGuard<'a, T> {
        let held = if deadline < Instant::NEVER && thread_rng().gen_bool(0.5) {
            drop(guard);
            thread::yield_now();
            CLOCK.set(CLOCK.get().max(deadline.0));
            mutex.0.lock()
        } else {
            self.0.wait(guard)
        };
        MutexGuard {
            mutex,
            guard: held.unwrap_or_else(PoisonError::into_inner),
        }
    }
}
