//! An outbox for tests: a table in this process, that does what a test wants before each step.

#![allow(dead_code, reason = "each user takes its own part")]

use std::{
    collections::BTreeMap,
    error::Error,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use cache_aside::{Outbox, OutboxEntry};

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// The table. A clone is the same table.
#[derive(Clone, Default)]
pub(crate) struct Table(Arc<Mutex<Rows>>);

#[derive(Default)]
struct Rows {
    waiting: BTreeMap<i64, Row>,
    last: i64,
    /// The positions of each call of `acknowledge` that succeeded.
    acknowledged: Vec<Vec<i64>>,
    fetches: u64,
    counts: u64,
    /// The names of the last `fetch`.
    asked_for: Vec<String>,
}

struct Row {
    cache: String,
    id: String,
    inserted: Instant,
}

/// Where an outbox is in its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Before the rows are read.
    Fetch,
    /// After the rows were read, and before they are returned.
    Fetched,
    Count,
    Acknowledge,
}

impl Table {
    pub(crate) fn insert(&self, cache: &str, id: &str) -> i64 {
        let next = self.rows().last + 1;
        self.insert_at(next, cache, id);
        next
    }

    /// A row whose transaction took its position earlier than it committed.
    pub(crate) fn insert_at(&self, position: i64, cache: &str, id: &str) {
        let mut rows = self.rows();
        rows.last = rows.last.max(position);
        let row = Row {
            cache: cache.to_owned(),
            id: id.to_owned(),
            inserted: Instant::now(),
        };
        assert!(rows.waiting.insert(position, row).is_none());
    }

    /// How many rows wait.
    pub(crate) fn len(&self) -> usize {
        self.rows().waiting.len()
    }

    pub(crate) fn acknowledged(&self) -> Vec<Vec<i64>> {
        self.rows().acknowledged.clone()
    }

    pub(crate) fn fetches(&self) -> u64 {
        self.rows().fetches
    }

    pub(crate) fn counts(&self) -> u64 {
        self.rows().counts
    }

    pub(crate) fn asked_for(&self) -> Vec<String> {
        self.rows().asked_for.clone()
    }

    /// The outbox of a program over this table.
    pub(crate) fn outbox(&self) -> TestOutbox {
        self.outbox_with(|_| Ok(()))
    }

    /// The same. It calls `before` in each step, on the thread of the relay.
    pub(crate) fn outbox_with(
        &self,
        before: impl FnMut(Step) -> Result<(), Failure> + Send + 'static,
    ) -> TestOutbox {
        TestOutbox {
            table: self.clone(),
            before: Box::new(before),
        }
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct TestOutbox {
    table: Table,
    before: Box<dyn FnMut(Step) -> Result<(), Failure> + Send>,
}

impl Outbox for TestOutbox {
    fn fetch(&mut self, caches: &[&str], limit: usize) -> Result<Vec<OutboxEntry>, Failure> {
        (self.before)(Step::Fetch)?;
        let entries = {
            let mut rows = self.table.rows();
            rows.fetches += 1;
            rows.asked_for = caches.iter().map(ToString::to_string).collect();
            let waiting = rows.waiting.iter();
            let named = waiting.filter(|(_, row)| caches.contains(&&*row.cache));
            let entry = |(position, row): (&i64, &Row)| {
                OutboxEntry::new(*position, &*row.cache, &*row.id).age(row.inserted.elapsed())
            };
            named.map(entry).take(limit).collect()
        };
        (self.before)(Step::Fetched)?;
        Ok(entries)
    }

    fn acknowledge(&mut self, positions: &[i64]) -> Result<(), Failure> {
        (self.before)(Step::Acknowledge)?;
        let mut rows = self.table.rows();
        // As `DELETE`: another relay may have removed some of them.
        rows.waiting
            .retain(|position, _| !positions.contains(position));
        rows.acknowledged.push(positions.to_vec());
        Ok(())
    }

    fn count(&mut self, caches: &[&str]) -> Result<Option<u64>, Failure> {
        (self.before)(Step::Count)?;
        let mut rows = self.table.rows();
        rows.counts += 1;
        let waiting = rows.waiting.values();
        let named = waiting.filter(|row| caches.contains(&&*row.cache)).count();
        Ok(Some(u64::try_from(named).expect("it is small")))
    }
}

/// Longer than any of it takes on the slowest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// So long that only a wake-up makes a relay look.
pub(crate) const NEVER: Duration = Duration::from_secs(24 * 60 * 60);
