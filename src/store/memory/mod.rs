//! The embedded store: the same steps with the same meaning in this process, and no network.
//!
//! Guarantees what [`Store`](super::Store) requires. A *stripe* is a lock for a share of the keys.
//! Every change of a record or of its lease is made under the lock of its stripe, so each step is
//! atomic. A read takes no stripe. It finds the record as it was before a change, or as it is after
//! it. When a step returns, every listener has been called; without listeners, that costs one
//! atomic load.
//!
//! # Lock order
//!
//! First a stripe, then the locks inside `Records`. The lock of the tags is taken alone. No user
//! code and no listener runs under any of them.

pub(crate) mod clock;
pub(crate) mod control;
pub(crate) mod floors;
pub(crate) mod hash;
pub(crate) mod leases;
pub(crate) mod listeners;
pub(crate) mod outage;
pub(crate) mod records;
pub(crate) mod scan;
pub(crate) mod steps;
mod tags;
mod versioned;

use std::{
    hash::{BuildHasher, RandomState},
    panic::{RefUnwindSafe, UnwindSafe},
    sync::Arc,
};

use parking_lot::{Mutex, MutexGuard};

pub(crate) use self::records::Bound;
use self::{
    clock::StoreClock,
    leases::Leases,
    listeners::{Changed, Listeners},
    outage::Outage,
    records::{Records, StoredRecord},
    tags::Tags,
};
use super::{Diff, NewTtl, keys::Keys};

/// It is rare that more threads than this miss in the same microsecond.
const STRIPES: usize = 16;

pub(crate) struct MemoryStore {
    /// Changed only under the lock of the key's stripe.
    records: Records,
    stripes: [Mutex<Leases>; STRIPES],
    tags: Tags,
    hasher: RandomState,
    listeners: Arc<Listeners>,
    clock: StoreClock,
    outage: Outage,
}

// No user code runs under its locks, and they do not poison.
impl UnwindSafe for MemoryStore {}
impl RefUnwindSafe for MemoryStore {}

impl MemoryStore {
    pub(crate) fn new(bound: Bound) -> MemoryStore {
        let clock = StoreClock::default();
        MemoryStore {
            records: Records::new(bound, &clock),
            stripes: std::array::from_fn(|_| Mutex::new(Leases::new(&clock))),
            tags: Tags::new(&clock),
            hasher: RandomState::new(),
            listeners: Arc::default(),
            clock,
            outage: Outage::default(),
        }
    }

    /// Locks the lease and the record of these keys.
    fn lock(&self, keys: &Keys) -> MutexGuard<'_, Leases> {
        let hash = self.hasher.hash_one(&keys.lease);
        self.stripes[usize::from(hash.to_be_bytes()[0]) % STRIPES].lock()
    }

    /// Changes the lease under its lock. Calls the listeners afterwards if there was a change.
    fn change_lease(&self, keys: &Keys, change: impl FnOnce(&mut Leases) -> bool) -> bool {
        let is_done = change(&mut self.lock(keys));
        if is_done {
            self.listeners.tell(keys, Changed::Lease);
        }
        is_done
    }

    /// Removes the record after `end` has ended the lease. True: there was a record.
    fn remove(&self, keys: &Keys, end: impl FnOnce(&mut Leases)) -> bool {
        let was_there = {
            let mut leases = self.lock(keys);
            end(&mut leases);
            self.records.take(&keys.data)
        };
        // Reported even without a record: it may have been evicted for lack of room, and evictions
        // are not reported.
        self.listeners.tell(keys, Changed::RecordAndLease);
        was_there
    }

    /// Changes a record. Called under the lock of its leases.
    fn change(&self, keys: &Keys, old: &StoredRecord, diff: &Diff, ttl: Option<NewTtl>) {
        let mut fields = old.fields.clone();
        hash::set(&mut fields, &diff.set);
        hash::remove(&mut fields, &diff.removed);
        let now = self.clock.now();
        let until = match ttl {
            Some(NewTtl { ttl, if_over }) if old.left(now) > if_over => now + ttl,
            _ => old.until,
        };
        self.records.put(&keys.data, fields, until);
    }
}
