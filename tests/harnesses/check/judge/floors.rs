//! Which floor an answer must not be below, by what had returned before it began.
//!
//! A floor is any number that only grows with what is newer: here the begin of an invalidation,
//! which the load of a record must not precede. It may as well be the version of a record.
//!
//! Guarantees bounded memory, and that a floor is never too high. Knows no records.

use std::collections::VecDeque;

/// A client of a process. What it has invalidated itself, its near cache knows at once.
pub(crate) type Client = (u32, u64);

/// Something that has returned, and the floor that it sets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settled {
    pub(crate) floor: u64,
    pub(crate) returned: u64,
    /// `None`: several clients.
    pub(crate) by: Option<Client>,
}

impl Settled {
    /// Whether an answer of `by` that began at `began` must respect it. The answer may be `late`
    /// about what others did.
    pub(crate) fn counts(&self, began: u64, late: u64, by: Client) -> bool {
        let late = if self.by == Some(by) { 0 } else { late };
        self.returned.saturating_add(late) < began
    }
}

/// How many are kept. More are joined with the next one, and then count a moment late.
const MOST: usize = 64;

/// The floors of one record, tag or prefix, in the order of their returns.
#[derive(Debug, Default)]
pub(crate) struct Floors(VecDeque<Settled>);

impl Floors {
    /// Adds one that has returned, later than all before. `window`: how long ago the floor must be
    /// known, for answers that began then or may be late.
    pub(crate) fn settle(&mut self, new: Settled, window: u64) {
        // The latest of those that count for every answer replaces those before it.
        while self.0.len() > 1 && self.0[1].returned.saturating_add(window) < new.returned {
            self.join(0);
        }
        self.0.push_back(new);
        if self.0.len() > MOST {
            let around = |at: &usize| {
                let (before, after) = (self.0[at - 1].returned, self.0[at + 1].returned);
                after.saturating_sub(before)
            };
            // The first stays: it has what was before all others.
            let closest = (1..MOST).min_by_key(around);
            self.join(closest.unwrap_or(1));
        }
    }

    /// Joins one with the next.
    fn join(&mut self, at: usize) {
        if let Some(gone) = self.0.remove(at) {
            self.0[at] = joined(gone, self.0[at]);
        }
    }

    /// The floor for an answer of `by` that began at `began`, and may be `late` about others.
    pub(crate) fn at(&self, began: u64, late: u64, by: Client) -> u64 {
        let counting = self.0.iter().filter(|it| it.counts(began, late, by));
        counting.map(|it| it.floor).max().unwrap_or(0)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The later of two, with the floor of both.
fn joined(before: Settled, last: Settled) -> Settled {
    Settled {
        floor: before.floor.max(last.floor),
        returned: last.returned,
        by: last.by.filter(|by| before.by == Some(*by)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Client = (0, 1);
    const OTHER: Client = (1, 1);

    fn settled(floor: u64, returned: u64, by: Client) -> Settled {
        Settled {
            floor,
            returned,
            by: Some(by),
        }
    }

    #[test]
    fn a_floor_counts_for_what_begins_after_its_return() {
        let mut floors = Floors::default();
        floors.settle(settled(10, 20, ONE), 100);
        assert_eq!(floors.at(20, 0, ONE), 0);
        assert_eq!(floors.at(21, 0, ONE), 10);
        floors.settle(settled(5, 30, OTHER), 100);
        assert_eq!(floors.at(31, 0, ONE), 10);
    }

    #[test]
    fn a_late_answer_knows_at_once_only_what_its_own_client_did() {
        let mut floors = Floors::default();
        floors.settle(settled(1_000, 2_000, ONE), 500);
        floors.settle(settled(3_000, 4_000, OTHER), 500);
        assert_eq!(floors.at(4_100, 500, OTHER), 3_000);
        assert_eq!(floors.at(4_100, 500, ONE), 1_000);
        assert_eq!(floors.at(4_501, 500, ONE), 3_000);
    }

    #[test]
    fn an_answer_that_has_begun_before_a_return_does_not_lose_an_earlier_floor() {
        let mut floors = Floors::default();
        floors.settle(settled(10, 20, ONE), 100);
        floors.settle(settled(5, 50, ONE), 100);
        assert_eq!(floors.at(30, 0, OTHER), 10);
    }

    #[test]
    fn many_floors_take_little_memory_and_are_never_too_high() {
        let mut floors = Floors::default();
        for at in 0..100_000 {
            floors.settle(settled(at, at + 1, ONE), 1_600);
            assert!(floors.len() <= MOST);
            let late = floors.at(at + 2, 1_600, OTHER);
            assert!(late <= at.saturating_sub(1_599), "{late} at {at}");
            assert!(late + 1_700 >= at, "{late} at {at}");
        }
        assert_eq!(floors.at(200_000, 1_600, OTHER), 99_999);
    }
}
