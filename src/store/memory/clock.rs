//! The time of the embedded store: that of the process, and the time that a test has added.
//!
//! Guarantees that it never goes back. Called by every part of the store that measures time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// The most that can be added, a hundred years: an instant of every platform can still be computed
/// with the longest TTL after that.
const MOST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A clone shows the same time.
#[derive(Clone, Default)]
pub(super) struct StoreClock {
    /// In nanoseconds. `Relaxed` is enough: a thread that learns of an `advance` from the thread
    /// that called it also sees the new value.
    added: Arc<AtomicU64>,
}

impl StoreClock {
    pub(super) fn now(&self) -> Instant {
        Instant::now() + Duration::from_nanos(self.added.load(Ordering::Relaxed))
    }

    pub(super) fn advance(&self, by: Duration) {
        let later = |added| {
            let added = Duration::from_nanos(added).saturating_add(by).min(MOST);
            u64::try_from(added.as_nanos()).ok()
        };
        let _ = self
            .added
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::limits::LONGEST;

    #[test]
    fn it_can_be_advanced_for_ever_and_still_has_room_for_the_longest_ttl() {
        let clock = StoreClock::default();
        let before = clock.now();
        clock.advance(Duration::from_secs(5));
        assert!(clock.clone().now() >= before + Duration::from_secs(5));
        for _ in 0..3 {
            clock.advance(Duration::MAX);
        }
        assert!(clock.now() + LONGEST + LONGEST > before + MOST);
    }
}
