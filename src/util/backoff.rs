//! Pauses that double, up to a bound.
//!
//! It only computes: it neither sleeps nor draws random numbers. If many processes might act at the
//! same moment, the caller shortens each pause at random with
//! [`shortened`](super::random::shortened).
//! [`WorkerContext::pause`](super::worker::WorkerContext::pause) does that.
//!
//! Used by the retry worker, pools, listeners, cluster redirections and the outbox.

use std::time::Duration;

/// The pauses between attempts of one task.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// Starts with `first`. No pause is longer than `longest`.
    pub(crate) fn new(first: Duration, longest: Duration) -> Backoff {
        let first = first.min(longest);
        Backoff {
            first,
            longest,
            next: first,
        }
    }

    /// The next pause. It is twice the previous one, up to the bound.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = pause.saturating_mul(2).min(self.longest);
        pause
    }

    /// Starts again with the first pause.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn pauses_double_up_to_the_bound_and_stay_there() {
        let mut backoff = Backoff::new(millis(10), millis(45));
        let pauses: Vec<_> = (0..5).map(|_| backoff.next()).collect();
        assert_eq!(pauses, [10, 20, 40, 45, 45].map(millis));
    }

    #[test]
    fn a_reset_begins_with_the_first_pause_again() {
        let mut backoff = Backoff::new(millis(10), millis(45));
        assert_eq!([backoff.next(), backoff.next()], [10, 20].map(millis));
        backoff.reset();
        assert_eq!(backoff.next(), millis(10));
    }

    #[test]
    fn the_bound_holds_for_the_first_pause_too() {
        let mut backoff = Backoff::new(millis(10), millis(3));
        assert_eq!([backoff.next(), backoff.next()], [3, 3].map(millis));
        backoff.reset();
        assert_eq!(backoff.next(), millis(3));
    }

    #[test]
    fn the_longest_duration_is_a_bound_like_any_other() {
        let mut backoff = Backoff::new(Duration::MAX / 2, Duration::MAX);
        backoff.next();
        backoff.next();
        assert_eq!(backoff.next(), Duration::MAX);
    }
}
