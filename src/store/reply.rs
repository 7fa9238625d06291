//! What the steps of the protocol answer, and what they are given.

use std::time::Duration;

use super::token::Token;
use crate::record::fields::Fields;

/// What stands at a data key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A record, or that there is none.
    Record(Fields),
    /// Nothing.
    Absent,
    /// Something that is no record, written by another program.
    WrongType,
}

/// The answer to [`Store::acquire`](super::Store::acquire).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acquire {
    /// Somebody filled it in the meantime.
    Record(Fields),
    /// The lease is ours.
    Acquired,
    /// Another fill is under way.
    Held {
        /// Whose; `None` where the lease key holds no token of this protocol.
        by: Option<Token>,
        /// How long its lease lasts, if it isn't renewed.
        left: Duration,
    },
    /// A write is under way: who reads now must read the primary, and nobody may fill.
    Guarded {
        /// Names the guard until the next write of this record ends. Loads may be shared under it.
        nonce: Token,
    },
}

/// The answer to [`Store::refresh`](super::Store::refresh).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refresh {
    /// Somebody filled it anew in the meantime.
    Record(Fields),
    /// The lease is ours.
    Acquired,
    /// Another fill or a write is under way, or the latest refresh failed a moment ago.
    Taken,
}

/// The answer to [`Store::update`](super::Store::update) and
/// [`Store::update_field`](super::Store::update_field).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// A record was cached, and has been changed.
    Changed,
    /// None was cached, or it was to be left as it was.
    Unchanged,
    /// Somebody else changed the record or its lease in the meantime. Nothing was done.
    Conflict,
}

/// How long a cached record still lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TtlRemaining {
    /// No record is cached.
    NoSuchKey,
    /// A record is cached for ever. This crate never writes one; another program did.
    NoTtl,
    /// The record will be dropped after this time.
    Left(Duration),
}

impl TtlRemaining {
    /// The time left, where a record is cached and expires.
    #[must_use]
    pub fn left(self) -> Option<Duration> {
        match self {
            TtlRemaining::Left(left) => Some(left),
            TtlRemaining::NoSuchKey | TtlRemaining::NoTtl => None,
        }
    }
}

/// What an update does to a record's fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// Fields that get a value, new or not.
    pub set: Fields,
    /// Fields that go.
    pub gone: Vec<Vec<u8>>,
}

/// A new TTL for a record that is updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewTtl {
    /// From now on.
    pub ttl: Duration,
    /// Only where it has more left than this; else it keeps what it has.
    pub if_over: Duration,
}

/// In any case.
impl From<Duration> for NewTtl {
    fn from(ttl: Duration) -> NewTtl {
        let if_over = Duration::ZERO;
        NewTtl { ttl, if_over }
    }
}
