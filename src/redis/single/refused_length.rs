//! Remembers the length of a value at which a server closed the connection.
//!
//! Used by `large_records.rs`. Forgets the length after a while, because the limit can be raised.

use std::time::{Duration, Instant};

use crate::util::sync::Mutex;

/// Every server accepts this length: it is the smallest `proto-max-bulk-len` that Redis allows.
pub(super) const ALWAYS_TAKEN: usize = 1 << 20;

/// How long a refusal is remembered. The limit can be raised at any time, and one lost connection a
/// minute costs little.
const REMEMBERED: Duration = Duration::from_secs(60);

/// The length of the shortest recent value at which the server closed the connection, and when.
#[derive(Debug, Default)]
pub(super) struct RefusedLength(Mutex<Option<(usize, Instant)>>);

impl RefusedLength {
    pub(super) fn is_reached(&self, length: usize) -> bool {
        let refused = *self.0.lock();
        refused.is_some_and(|(refused, at)| length >= refused && at.elapsed() < REMEMBERED)
    }

    pub(super) fn note(&self, length: usize) {
        // If all values together are long, that says nothing about the length of one.
        if length > ALWAYS_TAKEN && !self.is_reached(length) {
            *self.0.lock() = Some((length, Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_refused_length_is_remembered_and_short_values_never_are() {
        let refused = RefusedLength::default();
        assert!(!refused.is_reached(usize::MAX));
        refused.note(ALWAYS_TAKEN);
        assert!(!refused.is_reached(usize::MAX));
        refused.note(3 * ALWAYS_TAKEN);
        refused.note(4 * ALWAYS_TAKEN);
        assert!(refused.is_reached(3 * ALWAYS_TAKEN));
        assert!(!refused.is_reached(3 * ALWAYS_TAKEN - 1));
        refused.note(2 * ALWAYS_TAKEN);
        assert!(refused.is_reached(2 * ALWAYS_TAKEN));
    }
}
