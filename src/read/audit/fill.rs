//! What an audit finds in the store, and whether two looks found the same fill.
//!
//! Called by the looks. Pure: sends nothing.

use std::time::{Duration, Instant};

use crate::record::{any::AnyRecord, fields::Fields};

/// What one look found in the store.
pub(super) struct CachedFill {
    /// All fields of the entry, sorted, with those of its tags and its schema.
    pub(super) entry: Fields,
    /// `None`: it is cached that there is no such record.
    pub(super) record: Option<AnyRecord>,
    /// The remaining TTL at an instant between `began` and `ended`. `None`: there is no TTL.
    pub(super) left: Option<Duration>,
    pub(super) began: Instant,
    pub(super) ended: Instant,
}

impl CachedFill {
    /// Whether a later look has found the same fill: its fields, and an end of the TTL that may be
    /// the same instant. Each fill, keep or expire sets another end.
    ///
    /// The store tells a remaining time and no instant. So the time between the two looks is known
    /// only up to the durations of the requests. If a fill with the same fields has an end as near
    /// as that, it counts as the same.
    pub(super) fn is_same_fill(&self, later: &CachedFill) -> bool {
        if self.entry != later.entry {
            return false;
        }
        let (before, after) = match (self.left, later.left) {
            (Some(before), Some(after)) => (before, after),
            (None, None) => return true,
            _ => return false,
        };
        let (least, most) = (
            later.began.saturating_duration_since(self.ended),
            later.ended.saturating_duration_since(self.began),
        );
        // Two remaining times in whole milliseconds, by a clock that may run a thousandth faster.
        let tolerance = Duration::from_millis(2) + most / 1_000;
        let passed = before.saturating_sub(after);
        passed + tolerance >= least && passed <= most + tolerance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MS: Duration = Duration::from_millis(1);

    /// A look that took a millisecond.
    fn fill(began: Instant, left: Option<Duration>, value: &str) -> CachedFill {
        CachedFill {
            entry: vec![(b"name".to_vec(), value.into())],
            record: None,
            left,
            began,
            ended: began + MS,
        }
    }

    #[test]
    fn a_fill_is_the_same_if_as_much_of_its_ttl_has_passed_as_of_the_time() {
        let began = Instant::now();
        let first = fill(began, Some(30 * SECOND), "a");
        let is_same = |left, value| first.is_same_fill(&fill(began + 5 * SECOND, left, value));
        assert!(is_same(Some(25 * SECOND), "a"));
        assert!(is_same(Some(25 * SECOND + 5 * MS), "a"));
        assert!(!is_same(Some(25 * SECOND), "b"));
        // Filled again, or kept, or its TTL was shortened.
        for left in [26 * SECOND, 30 * SECOND, 24 * SECOND, SECOND] {
            assert!(!is_same(Some(left), "a"), "{left:?}");
        }
        assert!(!is_same(None, "a"));
    }

    #[test]
    fn an_entry_of_another_program_without_a_ttl_is_the_same_if_its_fields_are() {
        let began = Instant::now();
        let is_same = |left, value| {
            fill(began, None, "a").is_same_fill(&fill(began + 5 * SECOND, left, value))
        };
        assert!(is_same(None, "a") && !is_same(None, "b") && !is_same(Some(SECOND), "a"));
    }
}
