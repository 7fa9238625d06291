//! The store in this process: the same steps with the same meaning, and no network.
//!
//! Guarantees what [`Store`](super::Store) asks for. Every change of a record or of its lease is
//! made under the lock of the *stripe* of its key, so that each step is atomic. A read takes no
//! stripe, and finds the record from before a change or from after it. When a step has returned,
//! every listener has been told; without a listener that costs one atomic load.
//!
//! # Lock order
//!
//! A stripe, then what the records lock inside. No user code and no listener runs under either.

pub(crate) mod hash;
pub(crate) mod leases;
pub(crate) mod listeners;
pub(crate) mod records;
pub(crate) mod scan;
pub(crate) mod steps;

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Instant,
};

use parking_lot::{Mutex, MutexGuard};

pub(crate) use self::records::Bound;
use self::{
    leases::Leases,
    listeners::{Changed, Listeners},
    records::{Records, StoredRecord},
};
use super::{Diff, NewTtl, keys::Keys};

/// More than any machine has cores that would all miss in the same microsecond.
const STRIPES: usize = 16;

pub(crate) struct MemoryStore {
    /// Changed under the lock of the key's stripe only.
    records: Records,
    stripes: [Mutex<Leases>; STRIPES],
    hasher: RandomState,
    listeners: Arc<Listeners>,
}

impl MemoryStore {
    pub(crate) fn new(bound: Bound) -> MemoryStore {
        MemoryStore {
            records: Records::new(bound),
            stripes: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            listeners: Arc::default(),
        }
    }

    /// Locks the lease and the record of these keys.
    fn lock(&self, keys: &Keys) -> MutexGuard<'_, Leases> {
        let hash = self.hasher.hash_one(&keys.lease);
        self.stripes[usize::from(hash.to_be_bytes()[0]) % STRIPES].lock()
    }

    /// Changes the lease under its lock; tells the listeners afterwards if that was done.
    fn change_lease(&self, keys: &Keys, change: impl FnOnce(&mut Leases) -> bool) -> bool {
        let is_done = change(&mut self.lock(keys));
        if is_done {
            self.listeners.tell(keys, Changed::Lease);
        }
        is_done
    }

    /// Ends the record after `end` has ended the lease. True: there was a record.
    fn remove(&self, keys: &Keys, end: impl FnOnce(&mut Leases)) -> bool {
        let was_there = {
            let mut leases = self.lock(keys);
            end(&mut leases);
            self.records.take(&keys.data)
        };
        // Also without a record: it may have been evicted for want of room, and no listener was
        // told of that.
        self.listeners.tell(keys, Changed::RecordAndLease);
        was_there
    }

    /// Changes a record. Called under the lock of its leases.
    fn change(&self, keys: &Keys, old: &StoredRecord, diff: &Diff, ttl: Option<NewTtl>) {
        let mut fields = old.fields.clone();
        hash::set(&mut fields, &diff.set);
        hash::remove(&mut fields, &diff.gone);
        let now = Instant::now();
        let until = match ttl {
            Some(NewTtl { ttl, if_over }) if old.left(now) > if_over => now + ttl,
            _ => old.until,
        };
        self.records.put(&keys.data, fields, until);
    }
}
