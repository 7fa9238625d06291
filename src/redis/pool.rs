//! Connections to one server, and the pool that lends them.
//!
//! Guarantees that no request waits for a silent server without a bound. A connection on which a
//! request timed out, failed or panicked is closed and not lent again. Otherwise late bytes of the
//! reply, or the rest of an incomplete command, would mix with the next request. redis-rs still
//! calls such a connection open, so the standard manager of r2d2 would lend it.
//!
//! No request is sent to test a connection, neither at checkout nor while it is idle. There are two
//! exceptions: if the address is checked by [role](super::moved_address), each connection asks for
//! the role before its next request. So does a [suspect](super::suspects).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use r2d2::Pool;
use redis::{ErrorKind, RedisError, RedisResult};

use super::{
    broken::Broken,
    connection::Connection,
    endpoint::Endpoint,
    error::{failure, is_broken_off, is_refusal},
    lazy_pool::LazyPool,
    manager::{Manager, ServerState},
    other_server::is_read_only,
    probe::probe,
    server_identity::Role,
    timeouts::Timeouts,
};
use crate::{
    store::{Failure, FailureKind},
    util::{
        backoff::Backoff,
        process::{OfProcess, OtherProcess},
    },
};

/// A server refuses a connection within this time: a hundred round trips to a near server.
const REFUSED_WITHIN: Duration = Duration::from_millis(10);

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

/// A connection that returns to its pool when it is dropped.
pub(crate) struct ConnectionGuard(pub(super) r2d2::PooledConnection<Manager>);

/// A pool of connections to one server.
#[derive(Clone)]
pub(crate) struct Connections {
    /// Not for a process that was forked from the one that made it: the two would read each other's
    /// replies. A cache makes a new pool there.
    pool: OfProcess<Arc<LazyPool>>,
    pub(super) size: u32,
    pub(super) endpoint: Endpoint,
    pub(super) timeouts: Timeouts,
    pub(super) state: Arc<ServerState>,
}

impl Connections {
    /// Creates a pool of at most `size` connections. Opens none, and starts no thread.
    pub(crate) fn new(endpoint: Endpoint, size: u32, timeouts: Timeouts) -> Connections {
        Connections {
            pool: OfProcess::new(Arc::default()),
            size,
            endpoint,
            timeouts,
            state: Arc::default(),
        }
    }

    /// The same, not yet used, with this pool.
    #[cfg(feature = "cluster")]
    pub(super) fn on(self, pool: LazyPool) -> Connections {
        Connections {
            pool: OfProcess::new(Arc::new(pool)),
            ..self
        }
    }

    /// The pool. The first call starts its threads. Fails if the system has none; a later call
    /// tries again. Otherwise it costs one atomic load.
    pub(super) fn pool(&self) -> Result<&Pool<Manager>, Failure> {
        let Some(pool) = self.pool.get(Instant::now()) else {
            return Err(self.at_server(Failure::new(FailureKind::Rejected, OtherProcess)));
        };
        let manager = || Manager {
            endpoint: self.endpoint.clone(),
            timeouts: self.timeouts,
            state: Arc::clone(&self.state),
        };
        let created = pool.get_or_create(self.size, self.timeouts.idle, manager);
        created.map_err(|failure| self.at_server(failure))
    }

    fn lazy(&self) -> Option<&LazyPool> {
        self.pool.get(Instant::now()).map(|pool| &**pool)
    }

    pub(crate) fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// The endpoint and the timeouts for a connection outside the pool.
    pub(crate) fn config(&self) -> (&Endpoint, Timeouts) {
        (&self.endpoint, self.timeouts)
    }

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
        let broken = match self.run_once_on(guard, retry_policy, &mut run) {
            Ok(done) => return Ok(done),
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
            let done = self.run_once_on(guard, retry_policy, &mut run);
            return done.map_err(|broken| self.repeated(broken));
        }
        Err(broken.failure)
    }

    /// The same, without a repetition.
    pub(crate) fn run_once_on<T>(
        &self,
        guard: ConnectionGuard,
        retry_policy: RetryPolicy,
        run: &mut impl FnMut(&mut Connection, u64) -> RedisResult<T>,
    ) -> Result<T, Broken> {
        self.run_checked(self.checked(guard)?, retry_policy, run)
    }

    /// The same on a connection that has been checked.
    pub(super) fn run_checked<T>(
        &self,
        mut guard: ConnectionGuard,
        retry_policy: RetryPolicy,
        run: &mut impl FnMut(&mut Connection, u64) -> RedisResult<T>,
    ) -> Result<T, Broken> {
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
    pub(super) fn run_once<T>(
        &self,
        ConnectionGuard(guard): &mut ConnectionGuard,
        retry_policy: RetryPolicy,
        run: &mut impl FnMut(&mut Connection, u64) -> RedisResult<T>,
    ) -> (RedisResult<T>, bool) {
        // Set until the reply has arrived, so that a panic in between leaves it set.
        guard.must_close = true;
        let epoch = guard.epoch;
        let done = run(&mut guard.connection, epoch);
        let done = done.and_then(|done| guard.connection.end_request().map(|()| done));
        let outcome = done.and_then(|done| self.still_in(epoch).map(|()| done));
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

    /// A free connection, without a wait.
    pub(crate) fn try_checkout(&self) -> Option<ConnectionGuard> {
        self.lazy()?.get()?.try_get().map(ConnectionGuard)
    }

    /// A free connection, or a new one. Waits no longer than `wait`.
    pub(crate) fn checkout(&self, wait: Duration) -> Result<ConnectionGuard, Failure> {
        let pool = self.pool()?;
        // Waits in steps that double, because r2d2 opens a connection only when a wait begins. With
        // one long wait, a waiter whose connection broke would notice only at its deadline.
        let (mut left, mut steps) = (wait, Backoff::new(REFUSED_WITHIN, wait));
        loop {
            let step = steps.next().min(left);
            if let Ok(guard) = pool.get_timeout(step) {
                return Ok(ConnectionGuard(guard));
            }
            left = left.saturating_sub(step);
            // r2d2 continues to wait even if every attempt to connect is refused.
            if pool.state().connections == 0 || left.is_zero() {
                self.refusal()?;
            }
            if left.is_zero() {
                return Err(self.late());
            }
        }
    }

    /// How many connections are open, and how many of them are free.
    pub(crate) fn count(&self) -> (u32, u32) {
        let state = self.lazy().and_then(LazyPool::get).map(Pool::state);
        state.map_or((0, 0), |state| (state.connections, state.idle_connections))
    }

    /// Converts the error of a request to this server. Batches call it for each request that was
    /// refused, because [`run`](Connections::run) sees only an error that fails all of them.
    pub(crate) fn failure(&self, error: RedisError) -> Failure {
        self.at_server(failure(error, self.timeouts.io))
    }

    /// A failure with the address of this server.
    pub(crate) fn at_server(&self, failure: Failure) -> Failure {
        failure.at_server(|| self.endpoint.name())
    }
}
