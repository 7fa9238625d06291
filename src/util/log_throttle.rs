//! Limits how often one kind of message is logged. Logs nothing itself.

use std::time::{Duration, Instant};

use super::sync::Mutex;

/// A persistent failure is logged once in this time, so that it does not fill the disk.
const INTERVAL: Duration = Duration::from_secs(10);

/// Allows one message in each [`INTERVAL`].
#[derive(Debug, Default)]
pub(crate) struct LogThrottle {
    /// When the latest message was allowed.
    last: Mutex<Option<Instant>>,
}

impl LogThrottle {
    /// Whether to log a message now. A result of `true` starts the next interval.
    ///
    /// The caller logs after this call, and so with no lock held: a logger is user code.
    pub(crate) fn is_due(&self) -> bool {
        self.is_due_at(Instant::now())
    }

    fn is_due_at(&self, now: Instant) -> bool {
        let mut last = self.last.lock();
        if last.is_some_and(|last| now.duration_since(last) < INTERVAL) {
            return false;
        }
        *last = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_message_is_due_and_then_one_in_each_interval() {
        let (throttle, start) = (LogThrottle::default(), Instant::now());
        let almost = INTERVAL.mul_f64(0.99);
        assert!(throttle.is_due_at(start));
        assert!(!throttle.is_due_at(start) && !throttle.is_due_at(start + almost));
        assert!(throttle.is_due_at(start + INTERVAL));
        assert!(!throttle.is_due_at(start + INTERVAL + almost));
        assert!(throttle.is_due_at(start + 2 * INTERVAL));
    }
}
