//! The place where records and leases live, and what the protocol asks of it: for those who put the cache on a
//! store of their own, or look at the one it is on.
//!
//! [`Redis`](crate::Redis) and [`Memory`](crate::Memory) are such stores. Any other that keeps the promises of
//! [`Store`] does as well:
//!
//! ```
//! use std::{convert::Infallible, sync::Arc};
//!
//! use cache_aside::{Backend, Cache, Memory, Record, store::Store};
//!
//! let store: Arc<dyn Store> = Memory::new(10_000).store(); // here, one of your own
//! let cache: Cache = Cache::builder(Backend::new(store)).prefix("cache:product:").build()?;
//! # let load = |_: &str| Ok::<_, Infallible>(Some(Record::from([("name", "Rye Loaf")])));
//! # assert!(!cache.get("p-001", load)?.is_hit());
//! # assert!(cache.get("p-001", load)?.is_hit());
//! # Ok::<_, cache_aside::Error>(())
//! ```
//!
//! The steps are told one by one in `lua/README.md`, with why each is as it is.

mod cause;
pub(crate) mod connection;
mod ear;
mod failure;
pub(crate) mod memory;
mod pipeline;
mod pulse;
pub(crate) mod redis;
pub(crate) mod script;
mod tracking;

use std::{sync::Arc, time::Duration};

pub use ear::{Ear, Tracking};
pub use failure::{Failure, Symptom};

pub use crate::{fields::Fields, key::Keys, token::Token};

/// What stands at a data key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A record, or that there is none.
    Record(Fields),
    /// Nothing.
    Absent,
    /// Something that is no record, written by another program.
    Foreign,
}

/// The answer to [`Store::acquire`].
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

/// The answer to [`Store::update`] and [`Store::update_field`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// A record was cached, and has been changed.
    Changed,
    /// None was cached, or it was to be left as it was.
    Unchanged,
    /// Somebody else changed the record or its lease in the meantime. Nothing was done.
    Overtaken,
}

/// How long a cached record still lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// A change of a record, given its fields: what to do, or `None` to leave it as it is.
pub type Change<'a> = &'a mut dyn FnMut(Fields) -> Option<Diff>;

/// The steps of the protocol.
///
/// Each is **atomic**, seen from whoever else uses the store, in this process or another; and when it has
/// returned, whoever asks next sees what it did. Each costs one round trip unless said otherwise. A step
/// must end within a bound of time, with a [`Failure`] if need be, and should not panic: on a thread of the cache's own a
/// panic is taken for a failure, on a caller's it is the caller's. Times are measured by one clock, the store's; a
/// cache asks for 1 ms to ten years.
///
/// Two keys belong to a record ([`Keys`]): at `data` the record lives, with its TTL; at `lease` lives the right to fill
/// it, or the guard of those who are writing it. Neither is ever there without an end.
pub trait Store: Send + Sync {
    /// The first look of every lookup.
    ///
    /// # Errors
    ///
    /// As with every step: the store could not do it, or nobody knows whether it did.
    fn read(&self, data: &str) -> Result<Entry, Failure>;

    /// The same, with how long what stands there still lives: what a near cache must know. The time may be that of
    /// something that stood there before, never of something that came after.
    ///
    /// # Errors
    ///
    /// See [`read`](Store::read).
    fn read_with_ttl(&self, data: &str) -> Result<(Entry, TtlRemaining), Failure> {
        let left = self.ttl(data)?;
        Ok((self.read(data)?, left))
    }

    /// Asks for the lease. `look`: hand a record over if there is one by now.
    ///
    /// The cache asks **once** with a token. Where the reply is lost, the question may still be on its way, and would
    /// set the lease again after an invalidation has ended it; so an implementation must not repeat it either.
    ///
    /// Where a guard stands, writers whose place in it has lapsed lose it. If that happened, the guard's
    /// nonce becomes `token`; and where no writer is left, the lease is the caller's.
    ///
    /// # Errors
    ///
    /// See [`read`](Store::read).
    fn acquire(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        look: bool,
    ) -> Result<Acquire, Failure>;

    /// Writes the record, whole and with its TTL, over whatever stood there, and ends the lease. False: refused, the
    /// lease was ours no longer.
    ///
    /// # Errors
    ///
    /// See [`read`](Store::read).
    fn fill(
        &self,
        keys: &Keys,
        token: Token,
        ttl: Duration,
        record: &Fields,
    ) -> Result<bool, Failure>;

    /// Gives the lease back. False: it was ours no longer.
    ///
    /// # Errors
    ///
    /// See [`read`](Store::read).
    fn release(&self, keys: &Keys, token: Token) -> Result<bool, Failure>;

    /// Extends a lease, or a writer's place in a guard, to `lease_ttl` from now. False: it was ours no longer.
    ///
    /// What has lapsed is ours no longer; but a writer's place, where another writer has kept the guard up, is lost only
    /// to the first who asks for the lease.
    ///
    /// # Errors
    ///
    /// See [`read`](Store::read).
    fn renew(&self, keys: &Keys, token: Token, lease_ttl: Duration) -> Result<bool, Failure>;

    /// Does so for several, each in a step of its own, all in one round trip where the store can do that.
    ///
    /// # Errors
    ///
    /// See [`read`](Store::read).
    fn renew_all(
        &self,
        leases: &[(Keys, Token)],
        lease_ttl: Duration,
    ) -> Result<Vec<bool>, Failure> {
        let renew = |(keys, token): &(Keys, Token)| self.renew(keys, *token, lease_ttl);
        leases.iter().map(renew).collect()
    }

    /// Ends the record and the lease. True: there was a record. A guard stays, under a new nonce.
    ///
    /// # Errors
    ///
    /// See [`read`](Store::read).
    fn invalidate(&self, keys: &Keys) -> Result<bool, Failure>;

    /// Does so for several, each in a step of its own that may be refused, all in one round trip where the store can
    /// do that.
    ///
    /// # Errors
    ///
    /// See [`read`](Store::read).
    fn invalidate_all(&self, all: &[&Keys]) -> Result<Vec<Result<(), Failure>>, Failure> {
        Ok(all
            .iter()
            .map(|keys| self.invalidate(keys).map(drop))
            .collect())
    }

    /// Begins a write: ends the record and the lease, and lets nobody fill until the write has ended, or the writer's
    /// place in the guard has lapsed because it wasn't renewed. The guard gets a new nonce. True: there was a
    /// record.
    ///
    /// # Errors
    ///
    /// See [`read`](Store::read).
    fn guard(&self, keys: &Keys, writer: Token, guard_ttl: Duration) -> Result<bool, Failure>;

    /// Ends a write: ends the record, the lease, and this writer's place in the guard. If other writers have a place
    /// there, it stays, under a new nonce. True: there was a record.
    ///
    /// # Errors
    ///
    /// See [`read`](Store::read).
    fn unguard(&self, keys: &Keys, writer: Token) -> Result<bool, Failure>;

    /// Tries to set one field where a record is cached, and ends the lease in any case (a guard stays, under a new
    /// nonce). `ttl`: the record's new one; `None` keeps what it has. An entry that says there is no record
    /// goes. Two round trips.
    ///
    /// It fails, or is done before it returns. If its request were done later, when the caller has invalidated
    /// instead and the record was loaded anew, it would set an old value.
    ///
    /// # Errors
    ///
    /// See [`read`](Store::read).
    fn update_field(
        &self,
        keys: &Keys,
        field: &str,
        value: &[u8],
        ttl: Option<Duration>,
    ) -> Result<Update, Failure>;

    /// Tries to change a cached record by a closure of the user's, which must not be called under a lock. Ends the
    /// lease in any case (a guard stays, under a new nonce). Three round trips.
    ///
    /// # Errors
    ///
    /// See [`read`](Store::read).
    fn update(
        &self,
        keys: &Keys,
        ttl: Option<Duration>,
        change: Change<'_>,
    ) -> Result<Update, Failure>;

    /// How long the record still lives.
    ///
    /// # Errors
    ///
    /// See [`read`](Store::read).
    fn ttl(&self, data: &str) -> Result<TtlRemaining, Failure>;

    /// Tells `ear` of every change of an entry at a data key with this prefix, and of every change of such an entry's
    /// lease key, until the returned guard is dropped; in time for whoever relies on it `bound` after a change was
    /// acknowledged. Returns at once: until the ear hears that it is [listening](Ear::listening), nothing relies on it.
    /// What is told too much costs a read, what is told too little is stale. `None`: this store can't tell.
    ///
    /// It needs not say what went because its time was over. What went for want of room it must say; or say of each later
    /// invalidation, though nothing was there any more.
    fn track(&self, prefix: &str, bound: Duration, ear: Arc<dyn Ear>) -> Option<Tracking> {
        let _ = (prefix, bound, ear);
        None
    }

    /// Whether the store answers. Asked while it is taken for silent.
    ///
    /// # Errors
    ///
    /// See [`read`](Store::read).
    fn ping(&self) -> Result<(), Failure>;
}
