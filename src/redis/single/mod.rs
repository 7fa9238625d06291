//! The store on a Redis server.
//!
//! Called through [`Store`]. Sends each step of the protocol as one request, and converts the
//! replies. Knows nothing of single flight, loaders or record types.

pub(crate) mod check;
pub(crate) mod large_records;
pub(crate) mod many;
mod moved_address;
mod parts;
mod read_batches;
pub(crate) mod refused_length;
pub(crate) mod requests;
pub(crate) mod scan;
pub(crate) mod shared_requests;
pub(crate) mod store;
mod tagged;
mod update;
mod versioned;
pub(crate) mod wait_for_replicas;

use std::{sync::Arc, time::Duration};

use redis::cmd;

use self::requests::{LeaseRequest, ReadRequest};
pub(crate) use self::store::RedisStore;
use super::{
    command,
    connection::Connection,
    pool::run_request::RetryPolicy,
    script::{args, reply},
    tracking::{self, TrackedPrefix},
};
use crate::{
    record::fields::Fields,
    store::{
        Acquire, AcquireRequest, BatchResult, Change, ChangeListener, Completion, Cursor, Entry,
        Failure, GuardRequest, KeyKind, NewTtl, Recheck, Refresh, RefreshRequest, ScanPage, Store,
        Subscription, TaggedStore, TtlRemaining, UnguardRequest, Update, VersionedStore,
        keys::Keys, token::Token,
    },
    util::limits::millis,
};

impl Store for RedisStore {
    fn read(&self, data: &str) -> Result<Entry, Failure> {
        let with_ttl = false;
        let seen = self.ask(
            |connection| Ok((command::read(connection, data)?, TtlRemaining::NoTtl)),
            || ReadRequest {
                data: data.to_owned(),
                with_ttl,
            },
        );
        seen.map(|(entry, _)| entry)
            .map_err(|failure| self.or_cut(failure))
    }

    fn read_with_ttl(&self, data: &str) -> Result<(Entry, TtlRemaining), Failure> {
        let with_ttl = true;
        let seen = self.ask(
            |connection| command::read_with_ttl(connection, data),
            || ReadRequest {
                data: data.to_owned(),
                with_ttl,
            },
        );
        seen.map_err(|failure| self.or_cut(failure))
    }

    fn read_fields(&self, data: &str, names: &[&[u8]]) -> Result<(Entry, TtlRemaining), Failure> {
        let read = self.run(RetryPolicy::Idempotent, |connection| {
            command::read_fields(connection, data, names)
        });
        read.map_err(|failure| self.or_cut(failure))
    }

    fn acquire(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        recheck: Recheck,
    ) -> Result<Acquire, Failure> {
        let ask = |connection: &mut Connection| {
            let reply = self.scripts.acquire.call(connection, keys, |request| {
                args::write_acquire(request, keys, token, lease_ttl, recheck);
            })?;
            reply::acquired(reply, keys.floor.is_some())
        };
        let alone = |connection: &mut Connection| ask(connection).map(Some);
        let acquired = self.ask(alone, || LeaseRequest {
            keys: keys.clone(),
            token,
            ttl: lease_ttl,
            recheck,
        });
        match acquired? {
            Some(acquired) => Ok(acquired),
            // The server did not know the script, so it has done nothing yet.
            None => self.run(RetryPolicy::Never, ask),
        }
    }

    fn refresh(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        left: Duration,
    ) -> Result<Refresh, Failure> {
        self.run(RetryPolicy::Never, |connection| {
            let reply = self.scripts.refresh.call(connection, keys, |request| {
                args::write_refresh(request, keys, token, lease_ttl, left);
            })?;
            reply::refreshed(reply, keys.floor.is_some())
        })
    }

    fn fill(
        &self,
        keys: &Keys,
        token: Token,
        ttl: Duration,
        record: &Fields,
    ) -> Result<bool, Failure> {
        self.fill_record(keys, token, (ttl, record), None)
    }

    fn keep(&self, keys: &Keys, token: Token, ttl: Duration) -> Result<bool, Failure> {
        self.run(RetryPolicy::Idempotent, |connection| {
            self.scripts
                .keep
                .call_for_truth(connection, keys, |request| {
                    request.arg(token.as_bytes());
                    args::write_keep(request, keys, ttl);
                })
        })
    }

    fn release(&self, keys: &Keys, token: Token) -> Result<bool, Failure> {
        self.run(RetryPolicy::Idempotent, |connection| {
            self.scripts
                .release
                .call_for_truth(connection, keys, |request| {
                    request.arg(token.as_bytes());
                })
        })
    }

    fn back_off(&self, keys: &Keys, token: Token, pause: Duration) -> Result<bool, Failure> {
        self.run(RetryPolicy::Idempotent, |connection| {
            self.scripts
                .back_off
                .call_for_truth(connection, keys, |request| {
                    request.arg(token.as_bytes()).arg(millis(pause));
                })
        })
    }

    fn renew(&self, keys: &Keys, token: Token, lease_ttl: Duration) -> Result<bool, Failure> {
        self.run(RetryPolicy::Idempotent, |connection| {
            self.scripts
                .renew
                .call_for_truth(connection, keys, |request| {
                    args::write_renew(request, keys, token, lease_ttl);
                })
        })
    }

    fn renew_all(
        &self,
        leases: &[(Keys, Token)],
        lease_ttl: Duration,
    ) -> Result<Vec<bool>, Failure> {
        self.renew_many(leases, lease_ttl)
    }

    fn invalidate(&self, keys: &Keys) -> Result<bool, Failure> {
        self.invalidate_to(keys, None)
    }

    fn invalidate_all(&self, all: &[&Keys]) -> BatchResult<bool> {
        self.invalidate_many(all)
    }

    fn read_all(&self, all: &[&str]) -> BatchResult<Entry> {
        self.read_many(all)
    }

    fn read_all_with_ttl(&self, all: &[&str]) -> BatchResult<(Entry, TtlRemaining)> {
        self.read_each(all, true)
    }

    fn acquire_all(
        &self,
        requests: &[AcquireRequest<'_>],
        lease_ttl: Duration,
    ) -> BatchResult<Acquire> {
        self.acquire_many(requests, lease_ttl)
    }

    fn refresh_all(&self, all: &[RefreshRequest<'_>], lease_ttl: Duration) -> BatchResult<Refresh> {
        self.refresh_many(all, lease_ttl)
    }

    fn finish_all(&self, loads: &[Completion<'_>]) -> BatchResult<bool> {
        self.finish_many(loads)
    }

    fn scan(&self, prefix: &str, kind: KeyKind, cursor: Cursor) -> Result<ScanPage, Failure> {
        self.scan_step(prefix, kind, cursor)
    }

    fn expire(&self, keys: &Keys, max_ttl: Duration) -> Result<bool, Failure> {
        self.run_replicated(RetryPolicy::Idempotent, |connection| {
            self.scripts
                .expire
                .call_for_truth(connection, keys, |request| {
                    args::write_expire(request, keys, max_ttl, self.forces_change());
                })
        })
    }

    fn expire_all(&self, all: &[&Keys], max_ttl: Duration) -> BatchResult<bool> {
        self.expire_many(all, max_ttl)
    }

    fn guard(&self, keys: &Keys, writer: Token, guard_ttl: Duration) -> Result<bool, Failure> {
        let guarded = self.set_guard(keys, writer, guard_ttl);
        guarded.map(|(was_there, _)| was_there)
    }

    fn guard_all(&self, all: &[GuardRequest<'_>]) -> BatchResult<bool> {
        self.guard_many(all)
    }

    fn unguard(&self, keys: &Keys, writer: Token) -> Result<bool, Failure> {
        self.run_replicated(RetryPolicy::Idempotent, |connection| {
            self.scripts
                .unguard
                .call_for_truth(connection, keys, |request| {
                    let forces_change = self.forces_change();
                    args::write_unguard(request, keys, writer, forces_change, None, None);
                })
        })
    }

    fn unguard_all(&self, all: &[UnguardRequest<'_>]) -> BatchResult<bool> {
        self.unguard_many(all)
    }

    fn update(
        &self,
        keys: &Keys,
        ttl: Option<NewTtl>,
        change: Change<'_>,
    ) -> Result<Update, Failure> {
        self.run_replicated(RetryPolicy::Transaction, |connection| {
            update::update(connection, keys, ttl, self.replicas > 0, change)
        })
    }

    fn ttl(&self, data: &str) -> Result<TtlRemaining, Failure> {
        self.run(RetryPolicy::Idempotent, |connection| {
            command::ttl(connection, data)
        })
    }

    fn track(
        &self,
        prefix: &str,
        bound: Duration,
        listener: Arc<dyn ChangeListener>,
    ) -> Option<Subscription> {
        let (endpoint, timeouts) = self.config();
        let task = TrackedPrefix {
            prefix: prefix.to_owned(),
            bound,
            probe_key: None,
        };
        Some(tracking::track(endpoint, timeouts, task, listener))
    }

    fn ping(&self) -> Result<(), Failure> {
        self.run(RetryPolicy::Idempotent, |connection| {
            cmd("PING").exec(connection)
        })
    }

    fn versioned(&self) -> Option<&dyn VersionedStore> {
        Some(self)
    }

    fn tagged(&self) -> Option<&dyn TaggedStore> {
        Some(self)
    }
}
