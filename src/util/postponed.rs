//! Work that could not be done because no thread could be started, until it is tried again.
//!
//! Guarantees that callers try again, but only one of them in each [`PAUSE`]. Nobody else can try:
//! without a thread, only callers run. It does not know the work. Used by the client to a store, by
//! pools, by clusters and by the near cache.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// The pause between two attempts. An attempt takes some tens of microseconds, so it costs callers
/// less than a thousandth of their time.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(crate) struct Postponed {
    /// Whether the latest attempt failed. Relaxed: a caller that reads an old value tries later.
    is_waiting: AtomicBool,
    /// When the next attempt is due.
    due: Mutex<Option<Instant>>,
}

impl Postponed {
    /// Records whether an attempt failed.
    pub(crate) fn record(&self, has_failed: bool) {
        if has_failed {
            *self.due.lock() = Some(Instant::now() + PAUSE);
        }
        self.is_waiting.store(has_failed, Ordering::Relaxed);
    }

    /// Whether the latest attempt failed. Costs one atomic load.
    #[inline]
    pub(crate) fn is_waiting(&self) -> bool {
        self.is_waiting.load(Ordering::Relaxed)
    }

    /// Whether the caller must try again now. Costs one atomic load if the latest attempt
    /// succeeded.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        self.is_waiting() && self.is_due_at(Instant::now())
    }

    fn is_due_at(&self, now: Instant) -> bool {
        let mut due = self.due.lock();
        if due.is_some_and(|due| now < due) {
            return false;
        }
        *due = Some(now + PAUSE);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_in_each_pause_tries_again_until_an_attempt_succeeds() {
        let (postponed, start) = (Postponed::default(), Instant::now());
        assert!(!postponed.is_due(), "nothing has failed");
        postponed.record(true);
        assert!(postponed.is_waiting() && !postponed.is_due_at(start));
        let later = start + 2 * PAUSE;
        assert!(postponed.is_due_at(later) && !postponed.is_due_at(later));
        assert!(postponed.is_due_at(later + PAUSE));
        postponed.record(false);
        assert!(!postponed.is_waiting() && !postponed.is_due());
    }
}
