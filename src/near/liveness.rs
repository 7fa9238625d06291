//! Whether changes are being heard, and until when that can be relied on.
//!
//! Guarantees two things to whoever asks, and then looks at what was kept:
//!
//! - Where it [is liveness](StreamLiveness::is_live) at an instant `now`, every change that was acknowledged `bound` or more
//!   before `now` has been heard, and what hearing it did is seen.
//! - What was read within an *epoch*, that is from a look at [`epoch`](StreamLiveness::epoch) on, while it was liveness, has
//!   changed unheard only if the epoch is another one by now. A loss begins one, and so does the end of it: what
//!   was read in between belongs to neither.
//!
//! The time is that of the precise clock, which is a third of a near hit. Linux's coarse one takes a seventh of that, and
//! says what time it was when the kernel last looked. How long ago that is nobody knows: on a busy virtual machine that
//! claims 4 ms it was mostly 4 to 8 ms, and 10 at times; and a host that takes away the core which keeps the time has it stand
//! still meanwhile ("tick: Detect and fix jiffies update stall", Linux 5.18), though what is to be judged is just such a
//! pause.
//!
//! Knows neither what is kept nor who speaks.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

#[derive(Debug)]
pub(crate) struct StreamLiveness {
    /// What nanoseconds are counted from.
    base: Instant,
    /// In nanoseconds; 0 where nothing is heard.
    until: AtomicU64,
    epoch: AtomicU64,
    /// Whether the next word begins an epoch. Only whoever speaks looks at it.
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

    /// An instant as it is compared here: so that an entry that carries one needs eight bytes for it.
    #[inline]
    pub(crate) fn nanos(&self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.base);
        // Enough for five hundred years; and a near hit has no time for 128 bits.
        let whole = since.as_secs().saturating_mul(1_000_000_000);
        whole.saturating_add(u64::from(since.subsec_nanos()))
    }

    /// Whether what is kept may be used by a lookup that took this time. To be asked **after** the time was taken and
    /// **before** what is kept is looked at: a lookup that is held up in between then judges by a clock that is too early, and
    /// sees at least what had been heard by then.
    #[inline]
    pub(crate) fn is_live(&self, now: u64) -> bool {
        // Acquire, with the Release in `heard`: it brings what hearing the changes before did.
        now < self.until.load(Ordering::Acquire)
    }

    /// To be asked after [`is_live`](StreamLiveness::is_live), which is what brings it.
    #[inline]
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Until when it can be relied on, as far as is known.
    pub(crate) fn until(&self) -> Instant {
        self.base + Duration::from_nanos(self.until.load(Ordering::Acquire))
    }

    /// Everything up to some instant has been heard, and may be relied on until then.
    pub(crate) fn confirm(&self, until: Instant) {
        if self.is_lost.swap(false, Ordering::AcqRel) {
            // Before `until`, so that nothing from before the loss is taken for something from after it.
            self.epoch.fetch_add(1, Ordering::AcqRel);
        }
        self.until.store(self.nanos(until), Ordering::Release);
    }

    /// What was read until now must not be used any more.
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
    fn it_listens_until_the_instant_it_was_told_and_not_before_it_was_told_any() {
        let liveness = StreamLiveness::new();
        let now = Instant::now();
        assert!(!liveness.is_live(liveness.nanos(now)));
        liveness.confirm(now + SECOND);
        assert!(liveness.is_live(liveness.nanos(now)));
        assert!(!liveness.is_live(liveness.nanos(now + SECOND)));
    }

    /// Whoever reads between a loss and its end, and learns the epoch there, is in neither of the others.
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
