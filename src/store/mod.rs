//! The place where records and leases live, and what the protocol asks of it: for those who put the cache on a
//! store of their own, or look at the one it is on.
//!
//! [`Redis`](crate::backend::redis::Redis) and [`Memory`](crate::backend::memory::Memory) are such stores. Any other that keeps the promises of
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

pub(crate) mod batch;
pub(crate) mod failure;
pub(crate) mod keys;
pub(crate) mod memory;
pub(crate) mod reply;
pub(crate) mod token;
pub(crate) mod tracking;

use std::{sync::Arc, time::Duration};

pub use self::batch::{
    AcquireRequest, BatchResult, Completion, CompletionKind, Cursor, KeyKind, RefreshRequest,
    ScanPage,
};
pub use self::failure::{Failure, FailureKind};
pub use self::reply::{Acquire, Diff, Entry, NewTtl, Refresh, TtlRemaining, Update};
pub use self::tracking::{ChangeListener, Subscription};

pub use self::{keys::Keys, token::Token};
pub use crate::record::fields::Fields;

/// A change of a record, given its fields: what to do, or `None` to leave it as it is.
pub type Change<'a> = &'a mut dyn FnMut(Fields) -> Option<Diff>;

/// The steps of the protocol.
///
/// Each is **atomic**, seen from whoever else uses the store, in this process or another; and when it has
/// returned, whoever asks next sees what it did. Each costs one round trip unless said otherwise. A step
/// must end within a bound of time, with a [`Failure`] if need be, and should not panic. On a thread of the cache's own a
/// panic is taken for a failure. On a caller's thread the caller gets it, and a step that was to end a record counts as not
/// done: that is remembered and replayed. Times are measured by one clock, the store's; a cache asks for 1 ms to ten years.
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

    /// The same, and how long the record still lives. Where the two are not looked at in one step, what is said of its
    /// life may be shorter than it is, and not longer. Two round trips, where the store can't do it in one.
    ///
    /// # Errors
    ///
    /// See [`read`](Store::read).
    fn read_with_ttl(&self, data: &str) -> Result<(Entry, TtlRemaining), Failure> {
        let ttl = self.ttl(data)?;
        Ok((self.read(data)?, ttl))
    }

    /// Asks for the lease. `recheck`: hand a record over if there is one by now.
    ///
    /// The cache asks **once** with a token. Where the reply is lost, the question may still be on its way, and would
    /// set the lease again after an invalidation has ended it; so an implementation must not repeat it either.
    ///
    /// A [back-off](Store::back_off) doesn't count: who asks here has no record to fall back on.
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
        recheck: bool,
    ) -> Result<Acquire, Failure>;

    /// Asks for the lease of a record that is there and was seen to live on for `left`, in order to load it anew.
    /// Hands the record over if it lives longer than that by now, because somebody has filled it. Nobody who
    /// asks this waits for the answer of another, so whoever else has the lease key is [in the way](Refresh::Taken).
    ///
    /// As with [`acquire`](Store::acquire), the cache asks once with a token.
    ///
    /// # Errors
    ///
    /// See [`read`](Store::read).
    fn refresh(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        left: Duration,
    ) -> Result<Refresh, Failure>;

    /// Writes the record, whole and with its TTL, over whatever stood there, and ends the lease. False: refused, the
    /// lease was ours no longer. A record without fields is none: then nothing stands there any more.
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

    /// Gives the lease back, and has whoever asks for a [`refresh`](Store::refresh) told that it is taken, for so long or
    /// until a write ends that. False: it was ours no longer.
    ///
    /// # Errors
    ///
    /// See [`read`](Store::read).
    fn back_off(&self, keys: &Keys, token: Token, pause: Duration) -> Result<bool, Failure>;

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
    /// See [`BatchResult`].
    fn invalidate_all(&self, all: &[&Keys]) -> BatchResult<bool> {
        batch::one_by_one(all, |keys| self.invalidate(keys))
    }

    /// The first look of many lookups: [`read`](Store::read) for each, all in one round trip where the store can do
    /// that.
    ///
    /// # Errors
    ///
    /// See [`BatchResult`].
    fn read_all(&self, all: &[&str]) -> BatchResult<Entry> {
        batch::one_by_one(all, |data| self.read(data))
    }

    /// The same, and how long each still lives: [`read_with_ttl`](Store::read_with_ttl).
    ///
    /// # Errors
    ///
    /// See [`BatchResult`].
    fn read_all_with_ttl(&self, all: &[&str]) -> BatchResult<(Entry, TtlRemaining)> {
        batch::one_by_one(all, |data| self.read_with_ttl(data))
    }

    /// [`acquire`](Store::acquire) for each, all in one round trip where the store can do that. It must not repeat
    /// them either.
    ///
    /// # Errors
    ///
    /// See [`BatchResult`].
    fn acquire_all(
        &self,
        questions: &[AcquireRequest<'_>],
        lease_ttl: Duration,
    ) -> BatchResult<Acquire> {
        batch::one_by_one(
            questions,
            |&AcquireRequest {
                 keys,
                 token,
                 recheck,
             }| { self.acquire(keys, token, lease_ttl, recheck) },
        )
    }

    /// [`refresh`](Store::refresh) for each, all in one round trip where the store can do that. It must not repeat them
    /// either.
    ///
    /// # Errors
    ///
    /// See [`BatchResult`].
    fn refresh_all(&self, all: &[RefreshRequest<'_>], lease_ttl: Duration) -> BatchResult<Refresh> {
        batch::one_by_one(all, |due| {
            self.refresh(due.keys, due.token, lease_ttl, due.left)
        })
    }

    /// [`fill`](Store::fill), [`release`](Store::release) or [`back_off`](Store::back_off) for each, all in one round trip
    /// where the store can do that.
    ///
    /// # Errors
    ///
    /// See [`BatchResult`].
    fn finish_all(&self, loads: &[Completion<'_>]) -> BatchResult<bool> {
        batch::one_by_one(loads, |&Completion { keys, token, end }| match end {
            CompletionKind::Fill(ttl, record) => self.fill(keys, token, ttl, record),
            CompletionKind::Release => self.release(keys, token),
            CompletionKind::BackOff(pause) => self.back_off(keys, token, pause),
        })
    }

    /// One step through all that has data keys with this prefix, its leases or its records, in a bounded time. `cursor`
    /// is `Cursor::default()` to begin with, then what the step before said.
    ///
    /// What stands there from before the first step until after the last is met by one of them; what comes or goes
    /// meanwhile may be. A store that cannot say so any more, because it has become another one on the way, refuses.
    ///
    /// A store that cannot do it at all refuses, and so does [`Cache::clear`](crate::Cache::clear) on it.
    ///
    /// # Errors
    ///
    /// See [`read`](Store::read).
    fn scan(&self, prefix: &str, kind: KeyKind, cursor: Cursor) -> Result<ScanPage, Failure> {
        let _ = (prefix, kind, cursor);
        let cannot = "this store cannot go through its records";
        Err(Failure::new(FailureKind::Rejected, cannot))
    }

    /// Has a record live for no longer than `stay`, and ends the lease, as [`invalidate`](Store::invalidate) does. An
    /// entry that says there is no record goes. True: there was an entry.
    ///
    /// # Errors
    ///
    /// See [`read`](Store::read).
    fn expire(&self, keys: &Keys, stay: Duration) -> Result<bool, Failure>;

    /// Begins a write: ends the record and the lease, and lets nobody fill until the write has removed, or the writer's
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
        ttl: Option<NewTtl>,
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
        ttl: Option<NewTtl>,
        change: Change<'_>,
    ) -> Result<Update, Failure>;

    /// How long the record still lives.
    ///
    /// # Errors
    ///
    /// See [`read`](Store::read).
    fn ttl(&self, data: &str) -> Result<TtlRemaining, Failure>;

    /// Tells `listener` of every change of an entry at a data key with this prefix, and of every change of such an entry's
    /// lease key, until the returned guard is dropped; in time for whoever relies on it `bound` after a change was
    /// acknowledged. Returns at once: until the listener hears that it is [listening](ChangeListener::on_confirmed), nothing relies on it.
    /// What is told too much costs a read, what is told too little is stale. `None`: this store can't tell.
    ///
    /// It needs not say what went because its time was over. What went for want of room it must say; or say of each later
    /// invalidation, though nothing was there any more.
    fn track(
        &self,
        prefix: &str,
        bound: Duration,
        listener: Arc<dyn ChangeListener>,
    ) -> Option<Subscription> {
        let _ = (prefix, bound, listener);
        None
    }

    /// Whether the store answers. Asked while it is taken for silent.
    ///
    /// # Errors
    ///
    /// See [`read`](Store::read).
    fn ping(&self) -> Result<(), Failure>;

    /// Whether it does nothing with two keys that are not in one slot of a Redis Cluster. Then ids for which the two
    /// of a record wouldn't be are refused.
    fn is_cluster(&self) -> bool {
        false
    }
}
