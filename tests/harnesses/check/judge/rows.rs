//! The rows of a judge, of which the latest are kept.
//!
//! Guarantees bounded memory, and that each row says what may be missing in it: a key that is new
//! here may have been forgotten before. Called by the rules.

use std::collections::HashMap;

use super::row::Row;

#[derive(Debug)]
pub(crate) struct Rows {
    by_key: HashMap<Box<str>, Row>,
    most: usize,
    /// Loads that began before need not be in the trace, or were forgotten.
    loads_unknown_until: u64,
    /// Invalidations that began before were forgotten.
    ends_unknown_until: Option<u64>,
    used: u64,
    /// How many were forgotten.
    pub(crate) forgotten: u64,
}

impl Rows {
    /// `most`: how many are kept.
    pub(crate) fn new(most: usize) -> Rows {
        Rows {
            by_key: HashMap::new(),
            most,
            loads_unknown_until: 0,
            ends_unknown_until: None,
            used: 0,
            forgotten: 0,
        }
    }

    /// From now on, loads are in the trace.
    pub(crate) fn begin(&mut self, now: u64) {
        self.loads_unknown_until = now;
        for row in self.by_key.values_mut() {
            row.loads_unknown_until = now;
        }
    }

    /// The row, if there is one.
    pub(crate) fn get(&self, key: &str) -> Option<&Row> {
        self.by_key.get(key)
    }

    /// The row of a record or of a tag. It is made if there is none, and is the latest one now.
    pub(crate) fn of(&mut self, key: &str, now: u64) -> &mut Row {
        self.used += 1;
        if !self.by_key.contains_key(key) {
            let row = Row {
                loads_unknown_until: self.loads_unknown_until,
                ends_unknown_until: self.ends_unknown_until,
                ..Row::default()
            };
            // After that: what is forgotten now is not this row.
            if self.by_key.len() >= self.most {
                self.forget(now);
            }
            self.by_key.insert(key.into(), row);
        }
        let row = self.by_key.get_mut(key).expect("it was just inserted");
        row.used = self.used;
        row
    }

    /// Forgets a quarter of the rows, those that were not used for the longest time.
    fn forget(&mut self, now: u64) {
        let mut used: Vec<_> = self.by_key.values().map(|row| row.used).collect();
        let quarter = used.len() / 4;
        let (_, oldest, _) = used.select_nth_unstable(quarter);
        let (oldest, before) = (*oldest, self.by_key.len());
        self.by_key.retain(|_, row| row.used > oldest);
        self.forgotten += (before - self.by_key.len()) as u64;
        self.loads_unknown_until = now;
        self.ends_unknown_until = Some(now);
    }

    /// How many items they keep.
    pub(crate) fn len(&self) -> usize {
        self.by_key.values().map(|row| 1 + row.len()).sum()
    }
}
