//! The place where records and leases live, and what the protocol requires of it.
//!
//! For programs that put a cache on a store of their own, or that inspect the store of a cache.
//!
//! [`Redis`](crate::backend::redis::Redis) and [`Memory`](crate::backend::memory::Memory) are such
//! stores. A cache works on any other that keeps the promises of [`Store`]: see
//! [`Backend::new`](crate::Backend::new).
//!
//! `lua/README.md` explains each step of the protocol, and the reason for it.
//!
//! # Stability
//!
//! Semantic versioning does not cover this module yet: while the crate is at 0.x, any release may
//! change it. A program that uses it should require one exact version.

pub(crate) mod batch;
pub(crate) mod failure;
pub(crate) mod keys;
pub(crate) mod memory;
pub(crate) mod reply;
pub(crate) mod tagged;
pub(crate) mod tags;
pub(crate) mod token;
pub(crate) mod tracking;
pub(crate) mod versioned;

use std::{sync::Arc, time::Duration};

pub use self::batch::{AcquireRequest, BatchResult, Completion, CompletionKind, Cursor};
pub use self::batch::{GuardRequest, KeyKind, RefreshRequest, ScanPage, UnguardRequest};
pub use self::failure::{Failure, FailureKind};
pub use self::keys::{FloorKey, Keys};
pub use self::reply::{Acquire, Change, Diff, Entry, NewTtl, Recheck, Refresh, TtlRemaining};
pub use self::tags::{TAG_CLOCK_FIELD, TAG_LIST_FIELD, TagBounds, TagClock, TagKeys, TagValues};
pub use self::token::{InvalidToken, Token};
pub use self::tracking::{ChangeListener, Subscription};
pub use self::versioned::{Floor, VersionedStore, WriteThrough};
pub use self::{reply::Update, tagged::TaggedStore};
pub use crate::record::fields::Fields;

/// The steps of the protocol.
///
/// Each step is **atomic** for everybody who uses the store, in this process or another. A request
/// that starts after a step returned sees what the step did. Each step costs one round trip unless
/// its documentation says otherwise. The store's clock measures all times. If it is set back,
/// leases and guards must still end in their time. Durations are from 1 ms to ten years.
///
/// Two keys belong to a record ([`Keys`]). `data` holds the record, with its TTL. `lease` holds the
/// right to fill the record, or the guard of its writers. Both always have a TTL.
///
/// # Errors
///
/// Each step returns a [`Failure`] if the store could not do it, or if nobody knows whether it did.
/// A step must end within a bound of time, with a failure if necessary. The batches (`…_all`)
/// report a failure for each record: see [`BatchResult`].
///
/// # Panics
///
/// A step should not panic. On a thread of the cache, a panic counts as a failure. On a caller's
/// thread, the caller gets the panic. If the step should have ended a record, it counts as not
/// done: the cache remembers it and repeats it.
#[expect(
    clippy::missing_errors_doc,
    reason = "all steps fail for the same reasons: see the trait"
)]
pub trait Store: Send + Sync {
    /// Reads the entry at a data key. It is the first read of every lookup.
    fn read(&self, data: &str) -> Result<Entry, Failure>;

    /// Reads the entry, and the remaining TTL of the record. Two round trips if the store cannot do
    /// it in one. Then the TTL may be too short, but never too long.
    fn read_with_ttl(&self, data: &str) -> Result<(Entry, TtlRemaining), Failure> {
        let ttl = self.ttl(data)?;
        Ok((self.read(data)?, ttl))
    }

    /// Reads these fields of the entry, and the remaining TTL of the record, in one atomic step. A
    /// record that has none of them is a [`Record`](Entry::Record) without fields.
    fn read_fields(&self, data: &str, names: &[&[u8]]) -> Result<(Entry, TtlRemaining), Failure> {
        let (entry, left) = self.read_with_ttl(data)?;
        Ok((entry.with_fields(names), left))
    }

    /// Asks for the lease. `recheck`: return a record if there is one by now.
    ///
    /// The cache asks only **once** with each token. If the reply is lost, the request may still be
    /// on its way, and would set the lease again after an invalidation has ended it. So an
    /// implementation must not repeat the request either.
    ///
    /// Ignores a [back-off](Store::back_off): this caller has no record to fall back on.
    ///
    /// If there is a guard, this removes the writers whose place in it has lapsed. If it removed
    /// one, the guard's nonce becomes `token`. If no writer is left, the caller gets the lease.
    fn acquire(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        recheck: Recheck,
    ) -> Result<Acquire, Failure>;

    /// Asks for the lease of a record in order to load it again. The caller has read the record,
    /// with `left` as its remaining TTL. If the TTL is longer than that by now, another caller has
    /// filled the record, and this returns it. No caller waits for another here, so any holder of
    /// the lease key [refuses the refresh](Refresh::Taken).
    ///
    /// As with [`acquire`](Store::acquire), the cache asks once with a token.
    fn refresh(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        left: Duration,
    ) -> Result<Refresh, Failure>;

    /// Replaces the value at the data key by the whole record with its TTL, and ends the lease.
    /// False: refused, because `token` no longer held the lease. If there are no fields, there is
    /// no record, and the data key is deleted.
    fn fill(
        &self,
        keys: &Keys,
        token: Token,
        ttl: Duration,
        record: &Fields,
    ) -> Result<bool, Failure>;

    /// Gives the record this TTL and ends the lease, for a load that found the record unchanged. If
    /// the keys have [`tags`](Keys::tags), the record also gets their clock.
    /// False: refused, because `token` no longer held the lease, or because there is no record.
    /// The default only gives the lease back.
    fn keep(&self, keys: &Keys, token: Token, _ttl: Duration) -> Result<bool, Failure> {
        self.release(keys, token).map(|_| false)
    }

    /// Gives the lease back. False: `token` no longer held it.
    fn release(&self, keys: &Keys, token: Token) -> Result<bool, Failure>;

    /// Gives the lease back after a failed refresh. For the time `pause`, or until a write,
    /// [`refresh`](Store::refresh) then returns [`Refresh::Taken`]. False: `token` no longer held
    /// the lease.
    fn back_off(&self, keys: &Keys, token: Token, pause: Duration) -> Result<bool, Failure>;

    /// Extends a lease, or a writer's place in a guard, to `lease_ttl` from now. False: `token` no
    /// longer held it.
    ///
    /// A lapsed lease cannot be extended. A lapsed place can, until a lookup asks for the lease.
    fn renew(&self, keys: &Keys, token: Token, lease_ttl: Duration) -> Result<bool, Failure>;

    /// Does [`renew`](Store::renew) for each, as separate steps, in one round trip if it can.
    fn renew_all(
        &self,
        leases: &[(Keys, Token)],
        lease_ttl: Duration,
    ) -> Result<Vec<bool>, Failure> {
        let renew = |(keys, token): &(Keys, Token)| self.renew(keys, *token, lease_ttl);
        leases.iter().map(renew).collect()
    }

    /// Ends the record and the lease. True: there was a record. A guard stays, under a new nonce.
    fn invalidate(&self, keys: &Keys) -> Result<bool, Failure>;

    /// Does [`invalidate`](Store::invalidate) for each, as [`renew_all`](Store::renew_all) does.
    fn invalidate_all(&self, all: &[&Keys]) -> BatchResult<bool> {
        batch::one_by_one(all, |keys| self.invalidate(keys))
    }

    /// Does [`read`](Store::read) for each, in one round trip if the store can.
    fn read_all(&self, all: &[&str]) -> BatchResult<Entry> {
        batch::one_by_one(all, |data| self.read(data))
    }

    /// Does [`read_with_ttl`](Store::read_with_ttl) for each, in one round trip if the store can.
    fn read_all_with_ttl(&self, all: &[&str]) -> BatchResult<(Entry, TtlRemaining)> {
        batch::one_by_one(all, |data| self.read_with_ttl(data))
    }

    /// Does [`acquire`](Store::acquire) for each, in one round trip if the store can. An
    /// implementation must not repeat these requests either.
    fn acquire_all(
        &self,
        requests: &[AcquireRequest<'_>],
        lease_ttl: Duration,
    ) -> BatchResult<Acquire> {
        batch::one_by_one(requests, |request| {
            self.acquire(request.keys, request.token, lease_ttl, request.recheck)
        })
    }

    /// Does [`refresh`](Store::refresh) for each, as [`acquire_all`](Store::acquire_all) does.
    fn refresh_all(&self, all: &[RefreshRequest<'_>], lease_ttl: Duration) -> BatchResult<Refresh> {
        batch::one_by_one(all, |due| {
            self.refresh(due.keys, due.token, lease_ttl, due.left)
        })
    }

    /// [Ends](Completion::end) each of these loads, in one round trip if the store can.
    fn finish_all(&self, loads: &[Completion<'_>]) -> BatchResult<bool> {
        batch::one_by_one(loads, |load| load.finish(self))
    }

    /// Does one step of a scan through all records, or all leases, whose data key has this prefix.
    /// It takes a bounded time. `cursor` is `Cursor::default()` at first, then the previous `next`.
    ///
    /// A scan has an end, and no cursor occurs in it twice. The cache ends any other scan.
    /// A key that exists from before the first step until after the last is returned at least once.
    /// A key that is added or removed during the scan may be returned. If another server takes the
    /// store's place, the scan cannot guarantee this any more, and the step is refused.
    ///
    /// A store that cannot scan refuses every step. [`Cache::clear`](crate::Cache::clear) is then
    /// refused too.
    fn scan(&self, prefix: &str, kind: KeyKind, cursor: Cursor) -> Result<ScanPage, Failure> {
        let _ = (prefix, kind, cursor);
        let cannot = "this store cannot scan its records";
        Err(Failure::new(FailureKind::Rejected, cannot))
    }

    /// Shortens the TTL of a record to `max_ttl` if it is longer, and ends the lease as
    /// [`invalidate`](Store::invalidate) does. Deletes an entry that says that there is no record.
    /// True: there was an entry.
    fn expire(&self, keys: &Keys, max_ttl: Duration) -> Result<bool, Failure>;

    /// Does [`expire`](Store::expire) for each, as [`invalidate_all`](Store::invalidate_all) does.
    fn expire_all(&self, all: &[&Keys], max_ttl: Duration) -> BatchResult<bool> {
        batch::one_by_one(all, |keys| self.expire(keys, max_ttl))
    }

    /// Begins a write: ends the record and the lease, and gives the writer a place in the guard,
    /// under a new nonce. Nobody may fill until [`unguard`](Store::unguard) removes the writer, or
    /// its place lapses because it was not renewed. True: there was a record.
    fn guard(&self, keys: &Keys, writer: Token, guard_ttl: Duration) -> Result<bool, Failure>;

    /// Ends a write: ends the record, the lease, and this writer's place in the guard. If other
    /// writers have a place in it, the guard stays, under a new nonce. True: there was a record.
    fn unguard(&self, keys: &Keys, writer: Token) -> Result<bool, Failure>;

    /// Does [`guard`](Store::guard) for each, as [`invalidate_all`](Store::invalidate_all) does.
    fn guard_all(&self, all: &[GuardRequest<'_>]) -> BatchResult<bool> {
        batch::one_by_one(all, |one| self.guard(one.keys, one.writer, one.guard_ttl))
    }

    /// Does [`unguard`](Store::unguard) for each, as [`guard_all`](Store::guard_all) does.
    fn unguard_all(&self, all: &[UnguardRequest<'_>]) -> BatchResult<bool> {
        batch::one_by_one(all, |one| self.unguard(one.keys, one.writer))
    }

    /// Tries to change a cached record by a user closure, which must not be called under a lock.
    /// Ends the lease in any case; a guard stays, under a new nonce. `ttl`: the record's new TTL;
    /// `None` keeps the old one. Two round trips.
    ///
    /// The change happens before this returns, or never. A later one would set an old value: by
    /// then, another caller may have loaded the record again.
    fn update(
        &self,
        keys: &Keys,
        ttl: Option<NewTtl>,
        change: Change<'_>,
    ) -> Result<Update, Failure>;

    /// The remaining TTL of the record.
    fn ttl(&self, data: &str) -> Result<TtlRemaining, Failure>;

    /// Notifies `listener` of changes of entries whose data key has this prefix, and of their lease
    /// keys, until the returned subscription is dropped. Each change is reported within `bound`
    /// after it was acknowledged. `None`: this store cannot report changes.
    ///
    /// Returns at once: nothing relies on the listener before it is first
    /// [confirmed](ChangeListener::on_confirmed). A report too many costs a read. A missing one
    /// leaves stale data.
    ///
    /// The expiry of an entry need not be reported. An eviction for lack of memory must be, or else
    /// every later invalidation of the evicted entry.
    fn track(
        &self,
        prefix: &str,
        bound: Duration,
        listener: Arc<dyn ChangeListener>,
    ) -> Option<Subscription> {
        let _ = (prefix, bound, listener);
        None
    }

    /// Checks whether the store answers. Asked while it counts as unavailable.
    fn ping(&self) -> Result<(), Failure>;

    /// The steps for records with [`versions`](crate::CacheBuilder::versions), if it has them.
    fn versioned(&self) -> Option<&dyn VersionedStore> {
        None
    }

    /// The steps for entries under tags, if it has them.
    fn tagged(&self) -> Option<&dyn TaggedStore> {
        None
    }

    /// Whether both keys of a step must be in one slot of a Redis Cluster. If so, a cache refuses
    /// ids whose keys would be in different slots.
    fn is_cluster(&self) -> bool {
        false
    }
}
