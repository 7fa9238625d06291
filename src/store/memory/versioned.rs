//! The steps for records with versions on the embedded store, and what they share with the others.
//!
//! Called through [`VersionedStore`], and by the steps without a version. Each step takes the lock
//! of one stripe.

use std::time::Duration;

use super::{MemoryStore, hash, listeners::Changed};
use crate::{
    record::fields::Fields,
    store::{Failure, Floor, VersionedStore, WriteThrough, keys::Keys, token::Token},
};

impl VersionedStore for MemoryStore {
    fn fill_at(
        &self,
        keys: &Keys,
        token: Token,
        ttl: Duration,
        record: &Fields,
        version: u64,
    ) -> Result<bool, Failure> {
        self.outage.check()?;
        let is_below = |floor| matches!(floor, Floor::At(least) if version < least);
        Ok(self.fill_if(keys, token, (ttl, record), |floor| !is_below(floor)))
    }

    fn invalidate_at(&self, keys: &Keys, version: u64) -> Result<bool, Failure> {
        self.outage.check()?;
        Ok(self.invalidate_to(keys, Some(version)))
    }

    fn guard_with_nonce(
        &self,
        keys: &Keys,
        writer: Token,
        guard_ttl: Duration,
    ) -> Result<Token, Failure> {
        self.outage.check()?;
        let nonce = Token::random();
        self.set_guard(keys, writer, nonce, guard_ttl);
        Ok(nonce)
    }

    fn write_through(
        &self,
        keys: &Keys,
        writer: Token,
        through: Option<WriteThrough<'_>>,
        version: Option<u64>,
    ) -> Result<bool, Failure> {
        self.outage.check()?;
        let through = {
            let mut leases = self.lock(keys);
            let lease = &keys.lease;
            let through = through.filter(|it| leases.is_alone(lease, writer, it.nonce));
            leases.unguard(lease, writer);
            leases.floors.raise_by(keys, writer, version);
            self.records.take(&keys.data);
            if let Some(WriteThrough { ttl, record, .. }) = through {
                self.put(keys, ttl, record);
            }
            through
        };
        self.listeners.tell(keys, Changed::RecordAndLease);
        Ok(through.is_some())
    }
}

impl MemoryStore {
    /// Fills a record with its TTL, if the lease is held under this token, and the floor admits it.
    pub(super) fn fill_if(
        &self,
        keys: &Keys,
        token: Token,
        (ttl, record): (Duration, &Fields),
        admits: impl FnOnce(Floor) -> bool,
    ) -> bool {
        let is_admitted = {
            let mut leases = self.lock(keys);
            if !leases.release(&keys.lease, token) {
                return false;
            }
            let is_admitted = admits(leases.floors.of(keys));
            if is_admitted {
                self.put(keys, ttl, record);
            }
            is_admitted
        };
        self.listeners.tell(keys, Changed::RecordAndLease);
        is_admitted
    }

    /// Stores a record. Called under the lock of its leases.
    fn put(&self, keys: &Keys, ttl: Duration, record: &Fields) {
        let mut fields = Fields::with_capacity(record.len());
        hash::set(&mut fields, record);
        self.records.put(&keys.data, fields, self.clock.now() + ttl);
    }

    /// Invalidates a record, and raises its floor to this version. `None`: to an unknown one.
    pub(super) fn invalidate_to(&self, keys: &Keys, version: Option<u64>) -> bool {
        self.remove(keys, |leases| {
            leases.end(&keys.lease);
            leases.floors.raise(keys, version);
        })
    }

    /// Sets the guard, under this nonce.
    pub(super) fn set_guard(
        &self,
        keys: &Keys,
        writer: Token,
        nonce: Token,
        guard_ttl: Duration,
    ) -> bool {
        self.remove(keys, |leases| {
            leases.guard(&keys.lease, writer, nonce, guard_ttl);
            leases.floors.guard(keys, writer, guard_ttl);
        })
    }
}
