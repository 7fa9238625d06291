//! What the steps of the protocol return, and the arguments of some of them.

use std::time::Duration;

use super::{token::Token, versioned::Floor};
use crate::record::fields::Fields;

/// The content of a data key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A record, or the statement that no record exists.
    Record(Fields),
    /// The key does not exist.
    Absent,
    /// A value that is not a record, written by another program.
    WrongType,
}

impl Entry {
    /// The entry with these fields only.
    pub(crate) fn with_fields(self, names: &[&[u8]]) -> Entry {
        match self {
            Entry::Record(mut fields) => {
                fields.retain(|(name, _)| names.contains(&name.as_slice()));
                Entry::Record(fields)
            }
            other => other,
        }
    }
}

/// Which record [`Store::acquire`](super::Store::acquire) returns instead of the lease, if there is
/// one by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recheck {
    /// None: the caller has seen the record and cannot use it.
    Never,
    /// Any.
    Always,
    /// One that has more time left than this: it was filled or updated since the caller read it.
    IfOver(Duration),
}

/// The answer to [`Store::acquire`](super::Store::acquire).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acquire {
    /// Another caller has filled the record in the meantime.
    Record(Fields),
    /// The caller has the lease, and its load must respect the floor.
    Acquired(Floor),
    /// Another fill is under way.
    Held {
        /// The token of the holder. `None` if the lease key does not hold a token of this protocol.
        by: Option<Token>,
        /// How long the lease lasts unless it is renewed.
        left: Duration,
    },
    /// A write is under way, or a load that may be too old for the tags of the caller. A reader
    /// must read the primary, and must not fill.
    Guarded {
        /// Identifies the guard until the next write of this record ends, or is the token of that
        /// load. Lookups that have read the same clock may share a load under it.
        nonce: Token,
        /// What a load must respect.
        floor: Floor,
    },
}

/// The answer to [`Store::refresh`](super::Store::refresh).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refresh {
    /// Another caller has filled the record again in the meantime.
    Record(Fields),
    /// The caller has the lease, and its load must respect the floor.
    Acquired(Floor),
    /// Another fill or a write is under way, or the latest refresh failed a short time ago.
    Taken,
}

/// The answer to [`Store::update`](super::Store::update).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// A record was cached and has been changed.
    Changed,
    /// No record was cached, or the closure chose to change nothing.
    Unchanged,
    /// Another caller changed the record or its lease in the meantime. Nothing was done.
    Conflict,
}

/// The remaining TTL of a cached record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TtlRemaining {
    /// No record is cached.
    NoSuchKey,
    /// A record is cached without a TTL. Another program wrote it: this crate never does.
    NoTtl,
    /// The record expires after this time.
    Left(Duration),
}

impl TtlRemaining {
    /// The remaining TTL, if a record is cached and expires.
    #[must_use]
    pub fn left(self) -> Option<Duration> {
        match self {
            TtlRemaining::Left(left) => Some(left),
            TtlRemaining::NoSuchKey | TtlRemaining::NoTtl => None,
        }
    }
}

/// A closure that changes a record. Gets the fields, and returns the changes. `None`: change
/// nothing.
pub type Change<'a> = &'a mut dyn FnMut(Fields) -> Option<Diff>;

/// The changes of an update to a record's fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// Fields that get a value, whether they exist or not.
    pub set: Fields,
    /// Fields that are removed.
    pub removed: Vec<Vec<u8>>,
}

/// A new TTL for a record that is updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewTtl {
    /// The new TTL, counted from the update.
    pub ttl: Duration,
    /// The new TTL applies only if the remaining TTL is longer than this. Otherwise the record
    /// keeps its TTL.
    pub if_over: Duration,
}

/// A TTL that applies in any case.
impl From<Duration> for NewTtl {
    fn from(ttl: Duration) -> NewTtl {
        let if_over = Duration::ZERO;
        NewTtl { ttl, if_over }
    }
}
