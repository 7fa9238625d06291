//! The steps for records with versions, on one server, and what they share with the other steps.
//!
//! Called through [`VersionedStore`], and by the steps without a version. Knows no loaders.

use std::time::Duration;

use super::store::RedisStore;
use crate::{
    record::fields::Fields,
    redis::{
        pool::run_request::RetryPolicy,
        script::{args, reply},
    },
    store::{Failure, VersionedStore, WriteThrough, keys::Keys, token::Token},
};

impl VersionedStore for RedisStore {
    fn fill_at(
        &self,
        keys: &Keys,
        token: Token,
        ttl: Duration,
        record: &Fields,
        version: u64,
    ) -> Result<bool, Failure> {
        self.fill_record(keys, token, (ttl, record), Some(version))
    }

    fn invalidate_at(&self, keys: &Keys, version: u64) -> Result<bool, Failure> {
        self.invalidate_to(keys, Some(version))
    }

    fn guard_with_nonce(
        &self,
        keys: &Keys,
        writer: Token,
        guard_ttl: Duration,
    ) -> Result<Token, Failure> {
        let guarded = self.set_guard(keys, writer, guard_ttl);
        guarded.map(|(_, nonce)| nonce)
    }

    /// A large record is not cached: if the server closes the connection because of it, the record
    /// would not be invalidated.
    fn write_through(
        &self,
        keys: &Keys,
        writer: Token,
        through: Option<WriteThrough<'_>>,
        version: Option<u64>,
    ) -> Result<bool, Failure> {
        let through = through.filter(|it| !self.is_large_record(it.record));
        self.run_replicated(RetryPolicy::Idempotent, |connection| {
            let reply = self.scripts.unguard.call(connection, keys, |request| {
                let forces_change = self.forces_change();
                args::write_unguard(request, keys, writer, forces_change, through, version);
            })?;
            match through {
                Some(_) => reply::written_through(&reply),
                None => reply::truth(&reply).map(|_| false),
            }
        })
    }
}

impl RedisStore {
    /// Fills a record, with its TTL.
    pub(super) fn fill_record(
        &self,
        keys: &Keys,
        token: Token,
        (ttl, record): (Duration, &Fields),
        version: Option<u64>,
    ) -> Result<bool, Failure> {
        self.send_fill(record, |connection| {
            self.scripts
                .fill
                .call_for_truth(connection, keys, |request| {
                    request.arg(token.as_bytes());
                    args::write_fill(request, keys, ttl, record, version);
                })
        })
    }

    /// Invalidates a record, and raises its floor to this version. `None`: to an unknown one.
    pub(super) fn invalidate_to(&self, keys: &Keys, version: Option<u64>) -> Result<bool, Failure> {
        self.run_replicated(RetryPolicy::Idempotent, |connection| {
            self.scripts
                .invalidate
                .call_for_truth(connection, keys, |request| {
                    args::write_invalidate(request, keys, self.forces_change(), version);
                })
        })
    }

    /// Sets the guard. Returns whether there was a record, and the nonce of the guard: that of the
    /// latest attempt.
    pub(super) fn set_guard(
        &self,
        keys: &Keys,
        writer: Token,
        guard_ttl: Duration,
    ) -> Result<(bool, Token), Failure> {
        self.run(RetryPolicy::Idempotent, |connection| {
            let nonce = Token::random();
            let guard = &self.scripts.guard;
            let was_there = guard.call_for_truth(connection, keys, |request| {
                args::write_guard(request, keys, writer, nonce, guard_ttl);
            })?;
            Ok((was_there, nonce))
        })
    }
}
