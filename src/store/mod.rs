//! What the protocol asks of the place where records and leases live.
//!
//! Each method is one atomic step there and one round trip from here, unless said otherwise. The read and
//! write paths know only this trait; the steps themselves are told in `lua/README.md`.

mod cause;
pub(crate) mod connection;
mod pipeline;
pub(crate) mod redis;
pub(crate) mod script;

use std::time::Duration;

use crate::{error::Error, fields::Fields, key::Keys, token::Token};

/// What stands at a data key.
#[derive(Debug)]
pub(crate) enum Entry {
    Record(Fields),
    Absent,
    /// Something that is no record, written by another program.
    Foreign,
}

/// The answer to [`Store::acquire`].
#[derive(Debug)]
pub(crate) enum Acquire {
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

/// What a failed request says about the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Symptom {
    /// It does not answer, or has nothing to answer with; the next request would fare no better.
    Silent,
    /// It answered, and would not do what it was asked.
    Refused,
    /// Nothing: there are more callers than connections.
    Crowded,
}

/// The answer to [`Store::update`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Update {
    /// A record was cached, and has been changed.
    Changed,
    /// None was cached, or the closure left it as it was.
    Unchanged,
}

/// How long a cached record still lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TtlRemaining {
    /// No record is cached.
    NoSuchKey,
    /// A record is cached for ever. This crate never writes one; another program did.
    NoTtl,
    /// Redis will drop the record after this time.
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
#[derive(Debug)]
pub(crate) struct Diff {
    pub(crate) set: Fields,
    pub(crate) gone: Vec<Vec<u8>>,
}

/// A change of a record, given its fields: what to do, or `None` to leave it as it is.
pub(crate) type Change<'a> = &'a mut dyn FnMut(Fields) -> Result<Option<Diff>, Error>;

/// The steps of the protocol.
pub(crate) trait Store: Send + Sync {
    /// The first look of every lookup.
    fn read(&self, data: &str) -> Result<Entry, Error>;

    /// Asks for the lease. `look`: hand a record over if there is one by now.
    ///
    /// Asked **once** with a token. Where the reply is lost, the question may still be on its way, and would set
    /// the lease again after an invalidation has ended it.
    fn acquire(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        look: bool,
    ) -> Result<Acquire, Error>;

    /// Writes the record and ends the lease. False: refused, the lease was ours no longer.
    fn fill(
        &self,
        keys: &Keys,
        token: Token,
        ttl: Duration,
        record: &Fields,
    ) -> Result<bool, Error>;

    /// Gives the lease back. False: it was ours no longer.
    fn release(&self, keys: &Keys, token: Token) -> Result<bool, Error>;

    /// Extends leases, and writers' places in guards, each a step of its own, all in one round trip. False: it
    /// was ours no longer.
    fn renew(&self, leases: &[(Keys, Token)], lease_ttl: Duration) -> Result<Vec<bool>, Error>;

    /// Ends the record and the lease. True: there was a record.
    fn invalidate(&self, keys: &Keys) -> Result<bool, Error>;

    /// Does the same for several records, each in a step of its own that may be refused, all in one round trip.
    fn invalidate_all(&self, all: &[&Keys]) -> Result<Vec<Result<(), Error>>, Error>;

    /// Begins a write: ends the record and the lease, and lets nobody fill until the write has ended, or the
    /// guard has lapsed because it wasn't renewed. True: there was a record.
    fn guard(&self, keys: &Keys, writer: Token, guard_ttl: Duration) -> Result<bool, Error>;

    /// Ends a write: ends the record, the lease, and this writer's place in the guard. True: there was a record.
    fn unguard(&self, keys: &Keys, writer: Token) -> Result<bool, Error>;

    /// Sets one field where a record is cached, and ends the lease in any case. `ttl`: the record's new
    /// one; `None` keeps what it has. Two round trips an attempt, [`Error::Contended`] after `attempts`. True:
    /// there was a record.
    ///
    /// It fails, or is done before it returns. If its request were done later, when the caller has invalidated
    /// instead and the record was loaded anew, it would set an old value.
    fn update_field(
        &self,
        keys: &Keys,
        field: &str,
        value: &[u8],
        ttl: Option<Duration>,
        attempts: u32,
    ) -> Result<bool, Error>;

    /// Changes a cached record if nobody else does meanwhile, and ends the lease in any case. Three
    /// round trips an attempt, [`Error::Contended`] after `attempts`.
    fn update(
        &self,
        keys: &Keys,
        ttl: Option<Duration>,
        attempts: u32,
        change: Change<'_>,
    ) -> Result<Update, Error>;

    /// How long the record still lives.
    fn ttl(&self, data: &str) -> Result<TtlRemaining, Error>;

    /// What the failure of a request says about the store.
    fn symptom(&self, failure: &Error) -> Symptom;

    /// Whether the store answers.
    fn ping(&self) -> Result<(), Error>;
}
