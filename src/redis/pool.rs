//! Connections to one server, and the pool that lends them.
//!
//! Guarantees that no request waits for a silent server without a bound. A connection on which a
//! request timed out, failed or panicked is closed and not lent again. Otherwise late bytes of the
//! reply, or the rest of an incomplete command, would mix with the next request. redis-rs still
//! calls such a connection open.
//!
//! No request is sent to test a connection, neither at checkout nor while it is idle. There is one
//! exception: if the address is checked by [role](super::moved_address), each connection asks for
//! the role before its next request.
//!
//! No connection is lent to a process that was forked from the one that made the pool: the two
//! would read each other's replies. A cache makes a new pool there; see `util/per_process.rs`.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use redis::{Connection, ErrorKind, RedisError, RedisResult};

use super::{
    connect::role_now,
    endpoint::Endpoint,
    error::{PoolExhausted, Timeout, failure, is_lost, is_refusal},
    lending::{Lent, Pool},
    manager::{Manager, ServerState},
    other_server::is_read_only,
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

/// After this time without use, a connection is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

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
pub(crate) struct ConnectionGuard(Lent<Manager>);

/// A pool of connections to one server.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    pool: OfProcess<Pool<Manager>>,
    endpoint: Endpoint,
    timeouts: Timeouts,
    state: Arc<ServerState>,
}

impl Connections {
    /// Creates a pool of at most `size` connections. Opens none.
    pub(crate) fn new(endpoint: Endpoint, size: u32, timeouts: Timeouts) -> Connections {
        let state = Arc::new(ServerState::default());
        let manager = Manager {
            endpoint: endpoint.clone(),
            timeouts,
            state: Arc::clone(&state),
        };
        let pool = Pool::new(manager, size, IDLE_TIMEOUT);
        Connections {
            pool: OfProcess::new(pool),
            endpoint,
            timeouts,
            state,
        }
    }

    pub(crate) fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// The endpoint and the timeouts for a connection outside the pool.
    pub(crate) fn config(&self) -> (&Endpoint, Timeouts) {
        (&self.endpoint, self.timeouts)
    }

    /// Runs a request on a pooled connection. A repeatable request runs once more on a new
    /// connection in two cases: the server had dropped the first one, or the wait for its reply was
    /// interrupted.
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
        let mut guard = self.checked(guard)?;
        let (mut outcome, is_lost) = self.run_once(&mut guard, retry_policy, &mut run);
        drop(guard);
        if retry_policy == RetryPolicy::Idempotent && is_lost {
            let mut guard = self.checked(self.checkout(self.timeouts.checkout)?)?;
            (outcome, _) = self.run_once(&mut guard, retry_policy, &mut run);
        }
        outcome.map_err(|error| self.failure(error))
    }

    /// Returns this connection. If its server is no longer a master, returns another one. No other
    /// request was sent on the first, so any request may be sent on the second.
    fn checked(&self, mut guard: ConnectionGuard) -> Result<ConnectionGuard, Failure> {
        loop {
            if let Some(guard) = self.check_role(guard)? {
                return Ok(guard);
            }
            guard = self.checkout(self.timeouts.checkout)?;
        }
    }

    /// Asks a master for its role if a check is due. `None`: the connection was closed, or leads to
    /// a former master.
    pub(crate) fn check_role(
        &self,
        mut guard: ConnectionGuard,
    ) -> Result<Option<ConnectionGuard>, Failure> {
        let servers = self.endpoint.epoch();
        let (due, was) = (servers.role_checks(), guard.0.role);
        if guard.0.role_checks == due || was != Some(Role::Master) {
            return Ok(Some(guard));
        }
        let protocol = self.endpoint.info().redis_settings().protocol();
        let mut ask = |connection: &mut Connection, _| role_now(connection, protocol);
        match self.run_once(&mut guard, RetryPolicy::Idempotent, &mut ask) {
            (Ok(role), _) if servers.report_role(guard.0.epoch, was, role) => Ok(None),
            (Ok(_), _) => {
                guard.0.role_checks = due;
                Ok(Some(guard))
            }
            (Err(_), true) => Ok(None),
            (Err(error), false) => Err(self.failure(error)),
        }
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
    fn run_once<T>(
        &self,
        ConnectionGuard(guard): &mut ConnectionGuard,
        retry_policy: RetryPolicy,
        run: &mut impl FnMut(&mut Connection, u64) -> RedisResult<T>,
    ) -> (RedisResult<T>, bool) {
        // Set until the reply has arrived, so that a panic in between leaves it set.
        guard.must_close = true;
        let epoch = guard.epoch;
        let done = run(&mut guard.connection, epoch);
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
        } else if error.is_connection_dropped() {
            self.state.losses.fetch_add(1, Ordering::AcqRel);
        }
        // A request that a former server refuses may succeed on the present one.
        let is_former = is_refusal(error) && self.still_in(epoch).is_err();
        let may_repeat = is_demoted || is_former || is_lost(error);
        (outcome, may_repeat)
    }

    /// A free connection, without a wait.
    pub(crate) fn try_checkout(&self) -> Option<ConnectionGuard> {
        self.pool
            .get(Instant::now())?
            .try_get()
            .map(ConnectionGuard)
    }

    /// A free connection, or a new one. Waits no longer than `wait`.
    pub(crate) fn checkout(&self, wait: Duration) -> Result<ConnectionGuard, Failure> {
        let Some(pool) = self.pool.get(Instant::now()) else {
            return Err(self.at_server(Failure::new(FailureKind::Rejected, OtherProcess)));
        };
        // Waits in steps that double, because a connection is opened only when a wait begins. With
        // one long wait, a waiter whose connection broke would notice only at its deadline.
        let (mut left, mut steps) = (wait, Backoff::new(REFUSED_WITHIN, wait));
        loop {
            let step = steps.next().min(left);
            if let Some(guard) = pool.get_timeout(step) {
                return Ok(ConnectionGuard(guard));
            }
            left = left.saturating_sub(step);
            if pool.count().0 == 0 || left.is_zero() {
                self.refusal()?;
            }
            if left.is_zero() {
                return Err(self.late());
            }
        }
    }

    /// How many connections are open, and how many of them are free.
    pub(crate) fn count(&self) -> (u32, u32) {
        self.pool.peek().count()
    }

    /// The failure that a caller gets if no connection is free in time.
    pub(crate) fn late(&self) -> Failure {
        if self.pool.peek().count().0 == 0 {
            // No connection is open, so other callers are not the reason: the server does not
            // respond.
            let within = self.timeouts.checkout;
            return self.at_server(Failure::new(FailureKind::Unavailable, Timeout { within }));
        }
        let connections = self.pool.peek().max_size();
        self.at_server(Failure::new(
            FailureKind::Saturated,
            PoolExhausted { connections },
        ))
    }

    /// Fails if the latest attempt to connect failed.
    fn refusal(&self) -> Result<(), Failure> {
        match self.state.refusal.lock().clone() {
            Some(refusal) => Err(self.at_server(refusal)),
            None => Ok(()),
        }
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
