//! The steps for records with versions, on a cluster: each goes to the node that has the slot.
//!
//! Called through [`VersionedStore`]. While the slot is being moved, `migrating.rs` does the steps
//! that end a record.

use std::time::Duration;

use super::{ClusterStore, redirect::SlotMigrating};
use crate::{
    record::fields::Fields,
    store::{Failure, VersionedStore, WriteThrough, keys::Keys, token::Token},
};

impl VersionedStore for ClusterStore {
    fn fill_at(
        &self,
        keys: &Keys,
        token: Token,
        ttl: Duration,
        record: &Fields,
        version: u64,
    ) -> Result<bool, Failure> {
        self.with(keys, |store| {
            store.fill_at(keys, token, ttl, record, version)
        })
    }

    fn invalidate_at(&self, keys: &Keys, version: u64) -> Result<bool, Failure> {
        match self.with(keys, |store| store.invalidate_at(keys, version)) {
            Err(failure) if SlotMigrating::is(&failure) => {
                self.invalidate_migrating(keys, Some(version))
            }
            done => done,
        }
    }

    fn guard_with_nonce(
        &self,
        keys: &Keys,
        writer: Token,
        guard_ttl: Duration,
    ) -> Result<Token, Failure> {
        self.with(keys, |store| {
            store.guard_with_nonce(keys, writer, guard_ttl)
        })
    }

    /// While the record's slot is being moved, this only invalidates the record.
    fn write_through(
        &self,
        keys: &Keys,
        writer: Token,
        through: Option<WriteThrough<'_>>,
        version: Option<u64>,
    ) -> Result<bool, Failure> {
        match self.with(keys, |store| {
            store.write_through(keys, writer, through, version)
        }) {
            Err(failure) if SlotMigrating::is(&failure) => {
                self.invalidate_migrating(keys, version).map(|_| false)
            }
            done => done,
        }
    }
}
