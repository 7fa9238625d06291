//! Runs a request on a pooled connection.
//!
//! Guarantees that no request waits for a silent server without a bound. A connection on which a
//! request timed out, was cut off or panicked is closed and not lent again. Otherwise late bytes of
//! the reply, or the rest of an incomplete command, would mix with the next request. redis-rs still
//! calls such a connection open, so the standard manager of r2d2 would lend it. After a refusal,
//! which is a complete reply, the connection is lent again.
//!
//! The generic functions only keep the value of a request. The rest is compiled once.

use std::sync::Arc;

use redis::{ErrorKind, RedisResult};

use super::{ConnectionGuard, Connections, broken::Broken, lazy_pool::LazyPool, probe::probe};
use crate::redis::{
    connection::Connection,
    error::{is_broken_off, is_refusal},
    server::{identity::Role, other_server::is_read_only},
};
use crate::store::{Failure, FailureKind};

/// Whether a request may be repeated if its reply is lost. The server may have done the request, or
/// may do it later, when the network delivers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetryPolicy {
    /// Doing it twice, or late, is harmless: it only reads, only deletes, or is fenced by a token.
    Idempotent,
    /// A request that arrives late may do harm, and repeating it would make that more probable.
    Never,
    /// Not repeated either. Also, until it succeeds, the connection is in a state that other
    /// requests must not see.
    Transaction,
}

/// A request that keeps its value itself. It gets the epoch of its connection.
type DynRequest<'a> = dyn FnMut(&mut Connection, u64) -> RedisResult<()> + 'a;

impl Connections {
    /// Runs a request on a pooled connection. A repeatable request runs once more on another
    /// connection if the first one was lost, its reply was invalid, or the wait for the reply was
    /// interrupted. A request that a former master refused runs once more on the present one.
    ///
    /// A request that timed out is not repeated: the caller would wait twice as long as promised.
    pub(crate) fn run<T>(
        &self,
        retry_policy: RetryPolicy,
        run: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, Failure> {
        self.run_on(self.checkout(self.timeouts.checkout)?, retry_policy, run)
    }

    /// The same on a connection that has been checked out.
    pub(crate) fn run_on<T>(
        &self,
        guard: ConnectionGuard,
        retry_policy: RetryPolicy,
        mut run: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, Failure> {
        self.run_in_epoch(guard, retry_policy, |connection, _| run(connection))
    }

    /// The same for a request that gets the epoch of its connection. Everything that is done in one
    /// epoch is done by one server.
    pub(crate) fn run_in_epoch<T>(
        &self,
        guard: ConnectionGuard,
        retry_policy: RetryPolicy,
        mut run: impl FnMut(&mut Connection, u64) -> RedisResult<T>,
    ) -> Result<T, Failure> {
        with_value(&mut run, |run| self.run_or_repeat(guard, retry_policy, run))
    }

    /// The same, without a repetition.
    pub(crate) fn run_once_on<T>(
        &self,
        guard: ConnectionGuard,
        retry_policy: RetryPolicy,
        run: &mut impl FnMut(&mut Connection, u64) -> RedisResult<T>,
    ) -> Result<T, Broken> {
        with_value(run, |run| self.check_and_run(guard, retry_policy, run))
    }

    fn run_or_repeat(
        &self,
        guard: ConnectionGuard,
        retry_policy: RetryPolicy,
        run: &mut DynRequest<'_>,
    ) -> Result<(), Failure> {
        let broken = match self.check_and_run(guard, retry_policy, run) {
            Ok(()) => return Ok(()),
            Err(broken) => broken,
        };
        // A server that has refused a request did not do it.
        let is_refused = broken.failure.kind == FailureKind::Rejected;
        let may_repeat = match retry_policy {
            RetryPolicy::Idempotent => broken.may_repeat,
            RetryPolicy::Never => broken.may_repeat && is_refused,
            RetryPolicy::Transaction => false,
        };
        if may_repeat {
            let guard = self.checkout(self.timeouts.checkout)?;
            let done = self.check_and_run(guard, retry_policy, run);
            return done.map_err(|broken| self.repeated(broken));
        }
        Err(broken.failure)
    }

    fn check_and_run(
        &self,
        guard: ConnectionGuard,
        retry_policy: RetryPolicy,
        run: &mut DynRequest<'_>,
    ) -> Result<(), Broken> {
        self.run_checked(self.checked(guard)?, retry_policy, run)
    }

    /// Runs a request once, on a connection that has been checked.
    pub(super) fn run_checked(
        &self,
        mut guard: ConnectionGuard,
        retry_policy: RetryPolicy,
        run: &mut DynRequest<'_>,
    ) -> Result<(), Broken> {
        let (outcome, may_repeat) = self.run_once(&mut guard, retry_policy, run);
        outcome.map_err(|error| {
            let mut failure = self.failure(error);
            // A younger connection works, so this failure says nothing about the server.
            if failure.kind == FailureKind::Unavailable
                && self.state.suspects.is_dead(guard.0.generation)
            {
                failure.kind = FailureKind::Saturated;
            }
            Broken {
                failure,
                may_repeat,
            }
        })
    }

    /// Fails if another server has taken over since this epoch. A reply may then be outdated, so no
    /// caller may get it.
    pub(crate) fn still_in(&self, epoch: u64) -> RedisResult<()> {
        if epoch == self.endpoint.epoch().current() {
            return Ok(());
        }
        Err((ErrorKind::Io, "another server took over during the request").into())
    }

    /// Runs a request once. Also returns whether it may succeed on a new connection.
    pub(super) fn run_once(
        &self,
        ConnectionGuard(guard): &mut ConnectionGuard,
        retry_policy: RetryPolicy,
        run: &mut DynRequest<'_>,
    ) -> (RedisResult<()>, bool) {
        // Set until the reply has arrived, so that a panic in between leaves it set.
        guard.must_close = true;
        let epoch = guard.epoch;
        let done = run(&mut guard.connection, epoch);
        let done = done.and_then(|()| guard.connection.end_request());
        let outcome = done.and_then(|()| self.still_in(epoch));
        guard.must_close = false;
        let Err(error) = &outcome else {
            return (outcome, false);
        };
        // A refusal is a complete reply. After any other failure, a late reply may still arrive.
        guard.must_close = retry_policy == RetryPolicy::Transaction || !is_refusal(error);
        let is_demoted = guard.role == Some(Role::Master) && is_read_only(error);
        if is_demoted {
            self.endpoint.epoch().retire(epoch);
        } else if error.is_timeout() {
            // The connection came from the pool, so there are threads.
            if let Some(workers) = self.lazy().and_then(LazyPool::workers)
                && self.state.suspects.silent(guard.generation)
            {
                let opened = (self.endpoint.clone(), self.timeouts);
                probe(workers, opened, Arc::clone(&self.state));
            }
        } else if error.is_connection_dropped() {
            self.state.suspects.lost(guard.generation);
        }
        // A request that a former server refuses may succeed on the present one.
        let is_former = is_refusal(error) && self.still_in(epoch).is_err();
        let may_repeat = is_demoted || is_former || is_broken_off(error);
        (outcome, may_repeat)
    }
}

/// Keeps the value of a request for the caller.
fn with_value<T, E>(
    run: &mut impl FnMut(&mut Connection, u64) -> RedisResult<T>,
    go: impl FnOnce(&mut DynRequest<'_>) -> Result<(), E>,
) -> Result<T, E> {
    let mut value = None;
    go(&mut |connection, epoch| {
        value = Some(run(connection, epoch)?);
        Ok(())
    })?;
    Ok(value.expect("a request that succeeded has a value"))
}
