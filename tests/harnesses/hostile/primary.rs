//! The primary store of a run: versions in memory, and what a lookup may return.
//!
//! A record says its id and its version, and carries a checksum of both. So a record of another id
//! (foreign), one that is too old (stale) and one that no loader has made (forged) are told apart.

use std::{collections::HashMap, hash::Hasher};

use cache_aside::Record;
use parking_lot::Mutex;

#[derive(Debug, Default)]
pub(crate) struct Primary {
    rows: Mutex<HashMap<String, Row>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Row {
    /// The newest version.
    committed: u64,
    /// The newest version whose invalidation has returned, for the caches on each `Redis`.
    settled: [u64; 2],
}

/// What a record is, for a lookup of an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Right,
    Stale { version: u64, settled: u64 },
    Foreign { id: String, version: u64 },
    Forged,
}

impl Primary {
    /// The record as it is now.
    pub(crate) fn record(&self, id: &str) -> Record {
        let version = self.rows.lock().entry(id.to_owned()).or_default().committed;
        record(id, version)
    }

    /// Changes the record. Returns the new version.
    pub(crate) fn commit(&self, id: &str) -> u64 {
        let mut rows = self.rows.lock();
        let row = rows.entry(id.to_owned()).or_default();
        row.committed += 1;
        row.committed
    }

    /// Notes that the invalidation after this version has returned. One that has failed is
    /// remembered, and counts at once for the caches on the same `Redis` only.
    pub(crate) fn settle(&self, id: &str, version: u64, redis: usize, is_done: bool) {
        let mut rows = self.rows.lock();
        let row = rows.entry(id.to_owned()).or_default();
        for (other, settled) in row.settled.iter_mut().enumerate() {
            if is_done || other == redis {
                *settled = version.max(*settled);
            }
        }
    }

    /// The oldest version that a lookup that starts now may return.
    pub(crate) fn settled(&self, id: &str, redis: usize) -> u64 {
        self.rows.lock().get(id).map_or(0, |row| row.settled[redis])
    }

    /// Forgets a record that is not used any more.
    pub(crate) fn forget(&self, id: &str) {
        self.rows.lock().remove(id);
    }
}

fn record(id: &str, version: u64) -> Record {
    let version = version.to_string();
    let sum = sum(id.as_bytes(), version.as_bytes()).to_string();
    let (version, sum) = (version.as_str(), sum.as_str());
    Record::from([("id", id), ("version", version), ("sum", sum), ("note", "")])
}

/// The checksum. The same in each run of a program.
fn sum(id: &[u8], version: &[u8]) -> u64 {
    #[expect(deprecated, reason = "the other hashers have random keys")]
    let mut hasher = std::hash::SipHasher::new();
    hasher.write(id);
    hasher.write(b"\0");
    hasher.write(version);
    hasher.finish()
}

/// The id and the version, if the checksum is right.
fn genuine(id: &[u8], version: &[u8], given: &[u8]) -> Option<(String, u64)> {
    let id = std::str::from_utf8(id).ok()?;
    let version: u64 = std::str::from_utf8(version).ok()?.parse().ok()?;
    let right = sum(id.as_bytes(), version.to_string().as_bytes());
    (right.to_string().as_bytes() == given).then(|| (id.to_owned(), version))
}

/// What this record is for a lookup that began when `settled` was the oldest version allowed.
pub(crate) fn judge(id: &str, settled: u64, record: &Record) -> Verdict {
    let field = |name| record.get(name).unwrap_or_default().as_bytes();
    match genuine(field("id"), field("version"), field("sum")) {
        None => Verdict::Forged,
        Some((found, version)) if found != id => Verdict::Foreign { id: found, version },
        Some((_, version)) if version < settled => Verdict::Stale { version, settled },
        Some(_) => Verdict::Right,
    }
}

/// The id and version of the genuine record that these names and values contain.
pub(crate) fn record_in(texts: &[&[u8]]) -> Option<(String, u64)> {
    let value = |name: &[u8]| {
        let at = texts.iter().position(|text| *text == name)?;
        texts.get(at + 1).copied()
    };
    genuine(value(b"id")?, value(b"version")?, value(b"sum")?)
}
