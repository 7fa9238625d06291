//! A clock that the processes of a machine share.
//!
//! [`Instant`] does not step, but has no epoch. [`SystemTime`] has one, but steps. So each process
//! reads both at one moment, its anchor, and counts on from there by [`Instant`]. Two processes
//! agree up to the sum of the times that their two readings took, unless the system's clock was
//! stepped between their anchors. On Linux, slewing changes nothing: it changes the rate of both.
//! Where `Instant` is not slewed, as on macOS, the two drift apart: that counts as a step, because
//! processes with different anchors no longer agree.
//!
//! A [step](STEP) is noticed by a process that runs meanwhile.

use std::time::{Duration, Instant, SystemTime};

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    /// In nanoseconds since the epoch.
    wall: u64,
    instant: Instant,
    /// How far the two may be apart.
    pub(super) error: Duration,
}

/// Attempts to read both clocks together. Of five, one is nearly always not interrupted.
const ATTEMPTS: usize = 5;

/// The system's clock was stepped if it [moved](Clock::moved) by more nanoseconds than this. No
/// reading of two clocks takes so long unless the thread is interrupted five times.
pub(super) const STEP: i128 = 1_000_000;

impl Clock {
    pub(super) fn new() -> Clock {
        let read = || {
            let before = Instant::now();
            let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            Clock {
                wall: nanos(wall.unwrap_or_default()),
                instant: before,
                error: before.elapsed(),
            }
        };
        let all: [Clock; ATTEMPTS] = std::array::from_fn(|_| read());
        let best = all.into_iter().min_by_key(|clock| clock.error);
        best.unwrap_or_else(read)
    }

    /// Nanoseconds since the epoch. Good until the year 2554.
    pub(super) fn nanos(&self, instant: Instant) -> u64 {
        match instant.checked_duration_since(self.instant) {
            Some(since) => self.wall.saturating_add(nanos(since)),
            None => self.wall.saturating_sub(nanos(self.instant - instant)),
        }
    }

    /// By how many nanoseconds the system's clock was set forward since this anchor. Negative: it
    /// was set back.
    pub(super) fn moved(&self, now: &Clock) -> i128 {
        i128::from(now.wall) - i128::from(self.nanos(now.instant))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_anchors_agree_within_their_errors() {
        let (one, other) = (Clock::new(), Clock::new());
        let now = Instant::now();
        let apart = one.nanos(now).abs_diff(other.nanos(now));
        assert!(u128::from(apart) <= (one.error + other.error).as_nanos());
        assert!(one.moved(&other).abs() <= STEP);
    }

    #[test]
    fn instants_before_the_anchor_count_too() {
        let earlier = Instant::now();
        let clock = Clock::new();
        let later = clock.nanos(Instant::now());
        assert!(clock.nanos(earlier) <= clock.wall && clock.wall <= later);
    }

    #[test]
    fn a_step_of_the_systems_clock_is_noticed() {
        let anchor = Clock::new();
        let stepped = Clock {
            wall: anchor.wall + 3_600_000_000_000,
            ..anchor
        };
        assert_eq!(anchor.moved(&stepped), 3_600_000_000_000);
        assert_eq!(stepped.moved(&anchor), -3_600_000_000_000);
    }
}
