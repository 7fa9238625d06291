//! Whether the change stream is live, and until when.
//!
//! Called by the near cache, by lookups that wait, and by the reader of the stream. Guarantees two
//! things to a reader that calls [`is_live`](StreamLiveness::is_live) and then looks at a cached
//! entry:
//!
//! - If the stream is live at `now`, every change acknowledged `bound` or more before `now` has
//!   been received. The reader sees its effects.
//! - An entry read from the store in some *epoch*, while the stream was live, has missed no change
//!   as long as the [`epoch`](StreamLiveness::epoch) is the same. A loss of the stream starts an
//!   epoch, and so does its return. An entry that was read between the two belongs to neither.
//!
//! The precise clock takes a quarter of the time of a near hit. Linux's coarse clock takes a
//! seventh of that time, but returns the time of the last tick. On a busy virtual machine with a tick of 4
//! ms, that time was mostly 4 to 8 ms old, and sometimes 10 ms. If the host suspends the core that
//! keeps the time, the coarse clock stops ("tick: Detect and fix jiffies update stall", Linux
//! 5.18). This file must detect such pauses, so it uses the precise clock.
//!
//! It knows neither the entries nor the source of the stream.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

#[derive(Debug)]
pub(crate) struct StreamLiveness {
    /// The instant from which the nanoseconds count.
    base: Instant,
    /// In nanoseconds since `base`; 0 if the stream is down.
    until: AtomicU64,
    epoch: AtomicU64,
    /// Whether the next confirmation starts an epoch. Only the reader of the stream uses it.
    is_lost: AtomicBool,
}

impl StreamLiveness {
    pub(crate) fn new() -> StreamLiveness {
        StreamLiveness {
            base: Instant::now(),
            until: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
            is_lost: AtomicBool::new(true),
        }
    }

    /// The instant in nanoseconds since `base`, so that an entry needs only eight bytes for it.
    #[inline]
    pub(crate) fn nanos(&self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.base);
        // Enough for five hundred years. Arithmetic with 128 bits would slow down a near hit.
        let whole = since.as_secs().saturating_mul(1_000_000_000);
        whole.saturating_add(u64::from(since.subsec_nanos()))
    }

    /// Whether a lookup that read the clock at `now` may use a cached entry. Call it **after** the
    /// clock was read and **before** the entry is read. If the lookup is delayed between these
    /// steps, `now` is too early. That is safe: the lookup still sees every change received by
    /// then.
    #[inline]
    pub(crate) fn is_live(&self, now: u64) -> bool {
        // Acquire, paired with the Release in `confirm`: it makes the effects of earlier changes
        // visible.
        now < self.until.load(Ordering::Acquire)
    }

    /// Call it after [`is_live`](StreamLiveness::is_live), whose Acquire makes the value current.
    #[inline]
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The instant until which the stream is known to be live. Later confirmations extend it.
    pub(crate) fn until(&self) -> Instant {
        self.base + Duration::from_nanos(self.until.load(Ordering::Acquire))
    }

    /// Records that all changes up to some instant have been received. The stream counts as live
    /// until `until`.
    pub(crate) fn confirm(&self, until: Instant) {
        if self.is_lost.swap(false, Ordering::AcqRel) {
            // This happens before `until` is stored. Otherwise a reader could use an entry from
            // before the loss.
            self.epoch.fetch_add(1, Ordering::AcqRel);
        }
        self.until.store(self.nanos(until), Ordering::Release);
    }

    /// Makes every entry that was read until now unusable.
    pub(crate) fn start_epoch(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn disconnect(&self) {
        self.is_lost.store(true, Ordering::Release);
        self.until.store(0, Ordering::Release);
        self.start_epoch();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_is_live_until_the_confirmed_instant_and_not_before_the_first() {
        let liveness = StreamLiveness::new();
        let now = Instant::now();
        assert!(!liveness.is_live(liveness.nanos(now)));
        liveness.confirm(now + SECOND);
        assert!(liveness.is_live(liveness.nanos(now)));
        assert!(!liveness.is_live(liveness.nanos(now + SECOND)));
    }

    /// A reader that gets the epoch between a loss and its end belongs to neither of the epochs
    /// around it.
    #[test]
    fn a_loss_begins_an_epoch_and_so_does_its_end() {
        let liveness = StreamLiveness::new();
        liveness.confirm(Instant::now() + SECOND);
        let before = liveness.epoch();
        liveness.confirm(Instant::now() + SECOND);
        assert_eq!(liveness.epoch(), before, "the same again");
        liveness.disconnect();
        let between = liveness.epoch();
        assert!(!liveness.is_live(0));
        liveness.confirm(Instant::now() + SECOND);
        assert!(liveness.is_live(0) && before < between && between < liveness.epoch());
    }
}
