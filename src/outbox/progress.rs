//! What the thread of a relay and its callers share: flushes, the lag, and the end of the thread.
//!
//! Guarantees that a caller is woken when its flush is complete, and when the thread has ended.
//!
//! No user code runs under its lock, which guards numbers and instants.

use std::time::Duration;

use crate::util::{
    limits::LONGEST,
    sync::{Condvar, Instant, Mutex, MutexGuard},
};

#[derive(Debug, Default)]
pub(super) struct RelayProgress {
    state: Mutex<RelayState>,
    /// Notified, with no lock held, after `flushed` or `has_ended` has changed.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct RelayState {
    /// How many flushes were asked for. Each has its number.
    asked: u64,
    /// All flushes up to this number are complete.
    flushed: u64,
    /// Whether the thread has ended, and with it the outbox.
    has_ended: bool,
    lag: Lag,
}

/// The entries that wait, as far as the relay knows.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Lag {
    pub(super) entries: u64,
    /// The age of the oldest entry, and when it had that age.
    pub(super) oldest: Option<(Duration, Instant)>,
}

impl Lag {
    /// The age of the oldest entry now.
    pub(super) fn age(&self) -> Option<Duration> {
        let (age, at) = self.oldest?;
        Some(age.saturating_add(at.elapsed()))
    }
}

impl RelayProgress {
    /// Asks for a flush, and returns its number.
    pub(super) fn ask(&self) -> u64 {
        let mut state = self.state.lock();
        state.asked += 1;
        state.asked
    }

    /// The number of the latest flush. The thread takes it before it looks at the outbox: what was
    /// in the outbox when a flush with this number was asked for is there, or is done.
    pub(super) fn asked(&self) -> u64 {
        self.state.lock().asked
    }

    /// Completes all flushes up to this number.
    pub(super) fn flushed(&self, number: u64) {
        self.update(|state| state.flushed = number);
    }

    pub(super) fn ended(&self) {
        self.update(|state| state.has_ended = true);
    }

    pub(super) fn set_lag(&self, lag: Lag) {
        self.state.lock().lag = lag;
    }

    pub(super) fn lag(&self) -> Lag {
        self.state.lock().lag
    }

    /// Waits until a flush is complete. Returns whether it is.
    pub(super) fn wait_for_flush(&self, number: u64, timeout: Duration) -> bool {
        self.wait(timeout, |state| state.flushed >= number || state.has_ended)
            .flushed
            >= number
    }

    /// Waits until the thread has ended. Returns whether it has.
    pub(super) fn wait_for_end(&self, timeout: Duration) -> bool {
        self.wait(timeout, |state| state.has_ended).has_ended
    }

    fn update(&self, change: impl FnOnce(&mut RelayState)) {
        change(&mut self.state.lock());
        // No wake-up is lost: a waiter checks the state under the lock that its wait releases.
        self.changed.notify_all();
    }

    /// Waits until `is_done`, but not beyond the timeout.
    fn wait(
        &self,
        timeout: Duration,
        is_done: impl Fn(&RelayState) -> bool,
    ) -> MutexGuard<'_, RelayState> {
        // A longer time would overflow the clock.
        let deadline = Instant::now() + timeout.min(LONGEST);
        let mut state = self.state.lock();
        while !is_done(&state) && Instant::now() < deadline {
            state = self.changed.wait_until(state, deadline);
        }
        state
    }
}
