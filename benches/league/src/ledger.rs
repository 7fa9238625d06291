//! What is true during a turn: the versions of the primary, and which of them a lookup may return.
//!
//! The floor of a record is the newest version whose write has returned to the judge. It is read
//! **before** a lookup is sent, and raised **after** the reply of a write was read. So a lookup
//! counts as stale only if it began after the write had returned, by any clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The version of a record before its first write.
pub(crate) const FIRST: u64 = 1;

#[derive(Debug)]
pub(crate) struct Ledger {
    rows: Vec<Mutex<Row>>,
}

/// One record.
#[derive(Debug, Default)]
struct Row {
    /// How many writes have been committed.
    writes: u64,
    loads: u64,
    /// The versions that were loaded at least once.
    loaded: BTreeSet<u64>,
    /// Each version that raised the floor, and when. Both grow.
    settled: Vec<(u64, Instant)>,
    /// How long after each version had become stale the last lookup that returned it began.
    stayed: BTreeMap<u64, Duration>,
}

/// What was known before a lookup was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before {
    floor: u64,
    began: Instant,
}

/// What a lookup returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fresh,
    /// It had been stale for this time when the lookup began.
    Stale(Duration),
    /// The primary never had this version: the worker is wrong, and nothing can be said.
    Impossible,
}

/// The sums of a turn.
#[derive(Debug, Default, Clone)]
pub(crate) struct Sums {
    pub(crate) writes: u64,
    pub(crate) loads: u64,
    pub(crate) loaded_versions: u64,
    /// How long after each stale version had become so the last lookup that returned it began.
    pub(crate) stayed: Vec<Duration>,
}

impl Ledger {
    pub(crate) fn new(rows: usize) -> Ledger {
        Ledger {
            rows: (0..rows).map(|_| Mutex::default()).collect(),
        }
    }

    /// The index of a record that has this id.
    pub(crate) fn find(&self, id: &str) -> Option<usize> {
        let row = id.strip_prefix('k')?.parse().ok()?;
        (row < self.rows.len()).then_some(row)
    }

    /// Commits a new version.
    pub(crate) fn commit(&self, row: usize) -> u64 {
        let mut row = self.row(row);
        row.writes += 1;
        row.newest()
    }

    /// Reads the newest version, for a loader.
    pub(crate) fn load(&self, row: usize) -> u64 {
        let mut row = self.row(row);
        let version = row.newest();
        row.loads += 1;
        row.loaded.insert(version);
        version
    }

    /// Called before a lookup is sent.
    pub(crate) fn before(&self, row: usize) -> Before {
        let row = self.row(row);
        Before {
            floor: row.floor(),
            // Under the lock, so that it is not before the instant of the floor.
            began: Instant::now(),
        }
    }

    /// Called after the reply of a write was read. False if the primary never had this version.
    #[must_use]
    pub(crate) fn settle(&self, row: usize, version: u64) -> bool {
        let mut row = self.row(row);
        if version > row.newest() {
            return false;
        }
        if version > row.floor() {
            row.settled.push((version, Instant::now()));
        }
        true
    }

    /// Called after the reply of a lookup was read.
    pub(crate) fn judge(&self, row: usize, before: Before, seen: u64) -> Verdict {
        let mut row = self.row(row);
        if !(FIRST..=row.newest()).contains(&seen) {
            return Verdict::Impossible;
        }
        if seen >= before.floor {
            return Verdict::Fresh;
        }
        let newer = row.settled.partition_point(|(version, _)| *version <= seen);
        let (_, since) = row.settled[newer];
        // Not until the reply: a request may be under way for long, and its record was old before.
        let age = before.began.saturating_duration_since(since);
        let stayed = row.stayed.entry(seen).or_default();
        *stayed = age.max(*stayed);
        Verdict::Stale(age)
    }

    pub(crate) fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        for row in 0..self.rows.len() {
            let row = self.row(row);
            sums.writes += row.writes;
            sums.loads += row.loads;
            sums.loaded_versions += row.loaded.len() as u64;
            sums.stayed.extend(row.stayed.values());
        }
        sums
    }

    fn row(&self, row: usize) -> MutexGuard<'_, Row> {
        self.rows[row]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Row {
    fn newest(&self) -> u64 {
        FIRST + self.writes
    }

    fn floor(&self) -> u64 {
        self.settled.last().map_or(FIRST, |(version, _)| *version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lookup_that_began_before_the_write_returned_may_be_old() {
        let ledger = Ledger::new(1);
        let before = ledger.before(0);
        let version = ledger.commit(0);
        assert!(ledger.settle(0, version));
        assert_eq!(ledger.judge(0, before, FIRST), Verdict::Fresh);
    }

    #[test]
    fn a_lookup_that_began_after_the_write_returned_must_not_be_old() {
        let ledger = Ledger::new(1);
        let version = ledger.commit(0);
        assert!(ledger.settle(0, version));
        let before = ledger.before(0);
        assert!(matches!(ledger.judge(0, before, FIRST), Verdict::Stale(_)));
        assert_eq!(ledger.judge(0, before, version), Verdict::Fresh);
    }

    #[test]
    fn a_stale_version_stays_until_the_last_lookup_of_it_began() {
        let ledger = Ledger::new(1);
        let version = ledger.commit(0);
        assert!(ledger.settle(0, version));
        let (first, last) = (ledger.before(0), ledger.before(0));
        let ages = [last, first].map(|before| match ledger.judge(0, before, FIRST) {
            Verdict::Stale(age) => age,
            verdict => panic!("{verdict:?}"),
        });
        assert_eq!(ledger.sums().stayed, [ages[0]]);
    }

    #[test]
    fn a_write_that_failed_counts_when_a_later_one_has_returned() {
        let ledger = Ledger::new(1);
        let (failed, later) = (ledger.commit(0), ledger.commit(0));
        assert_eq!(ledger.judge(0, ledger.before(0), FIRST), Verdict::Fresh);
        assert!(ledger.settle(0, later));
        let before = ledger.before(0);
        assert!(matches!(ledger.judge(0, before, failed), Verdict::Stale(_)));
    }

    #[test]
    fn a_version_that_the_primary_never_had_is_impossible() {
        let ledger = Ledger::new(1);
        assert_eq!(ledger.judge(0, ledger.before(0), 2), Verdict::Impossible);
        assert_eq!(ledger.judge(0, ledger.before(0), 0), Verdict::Impossible);
        assert!(!ledger.settle(0, 2));
    }
}
