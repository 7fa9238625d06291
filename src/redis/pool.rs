//! Connections to one server and the pool that lends them.
//!
//! Guarantees that no request waits for a silent server without a bound. A connection on which a
//! request timed out, failed or was cut short by a panic is closed and not lent again: late bytes of
//! its reply, or a command of which the server has read only a part, would end up in the next
//! request. redis-rs still calls such a connection open, so r2d2's stock manager would lend it.
//!
//! Nothing is sent to test a connection, not at checkout and not when idle. Where the address is checked by the
//! [role](super::moved_address), the first request after each check is preceded by that question.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use r2d2::Pool;
use redis::{Connection, ErrorKind, RedisError, RedisResult};

use super::{
    connect::role_now,
    connect_threads::workers,
    endpoint::Endpoint,
    error::{PoolExhausted, Timeout, failure, is_lost, is_refusal},
    manager::{Manager, ServerState},
    other_server::is_read_only,
    server_identity::Role,
    timeouts::Timeouts,
};
use crate::{
    store::{Failure, FailureKind},
    util::backoff::Backoff,
};

/// A refused connection shows within this time: a hundred round trips of a near server.
const REFUSED_WITHIN: Duration = Duration::from_millis(10);

/// How long r2d2 pauses between attempts to connect: from 200 ms, doubled up to half of this. So a server that
/// comes back is found within half a second.
const RECONNECT: Duration = Duration::from_secs(1);

/// What a request leaves behind when its reply is lost. It may have been done, or be done later still, when
/// something on the way lets go of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetryPolicy {
    /// Done twice, and late, it does no harm: it only looks, only deletes, or is fenced by a token.
    Idempotent,
    /// Done late it may do harm, which a second one would make likelier.
    Never,
    /// The same, and until it has ended well the connection is in a state that others must not meet.
    Transaction,
}

/// A connection that goes back to its pool when it is dropped.
pub(crate) struct ConnectionGuard(r2d2::PooledConnection<Manager>);

/// A pool of connections to one server.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    pool: Pool<Manager>,
    endpoint: Endpoint,
    timeouts: Timeouts,
    state: Arc<ServerState>,
}

impl Connections {
    /// A pool of at most `size` connections. Opens none.
    pub(crate) fn new(endpoint: Endpoint, size: u32, timeouts: Timeouts) -> Connections {
        let state = Arc::new(ServerState::default());
        let manager = Manager {
            endpoint: endpoint.clone(),
            timeouts,
            state: Arc::clone(&state),
        };
        let pool = Pool::builder()
            .max_size(size)
            .thread_pool(Arc::new(workers()))
            // None is opened ahead of need: a tool that asks once should connect once.
            .min_idle(Some(0))
            .connection_timeout(RECONNECT)
            // `is_valid` is a comparison here.
            .test_on_check_out(true)
            // A failed connect reaches the caller who waits for it; r2d2 would also log each retry.
            .error_handler(Box::new(r2d2::NopErrorHandler))
            .build_unchecked(manager);
        Connections {
            pool,
            endpoint,
            timeouts,
            state,
        }
    }

    pub(crate) fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// What a connection outside the pool is made of.
    pub(crate) fn config(&self) -> (&Endpoint, Timeouts) {
        (&self.endpoint, self.timeouts)
    }

    /// Runs a request on a pooled connection; a repeatable one once more, on a new connection, where the server
    /// had dropped the first, or something interrupted the wait for its reply.
    ///
    /// A request that timed out is not repeated: the caller would wait twice as long as was promised.
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
        wire: ConnectionGuard,
        retry_policy: RetryPolicy,
        mut run: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, Failure> {
        self.run_in_epoch(wire, retry_policy, |connection, _| run(connection))
    }

    /// The same for a request that is told the epoch of its connection: what was done in one epoch
    /// was done by one server.
    pub(crate) fn run_in_epoch<T>(
        &self,
        wire: ConnectionGuard,
        retry_policy: RetryPolicy,
        mut run: impl FnMut(&mut Connection, u64) -> RedisResult<T>,
    ) -> Result<T, Failure> {
        let mut wire = self.checked(wire)?;
        let (mut outcome, is_lost) = self.run_once(&mut wire, retry_policy, &mut run);
        drop(wire);
        if retry_policy == RetryPolicy::Idempotent && is_lost {
            let mut wire = self.checked(self.checkout(self.timeouts.checkout)?)?;
            (outcome, _) = self.run_once(&mut wire, retry_policy, &mut run);
        }
        outcome.map_err(|error| self.failure(error))
    }

    /// This connection, or another in its place if its server is a master no more. Nothing else was
    /// sent on it, so any request may be sent on the other.
    fn checked(&self, mut wire: ConnectionGuard) -> Result<ConnectionGuard, Failure> {
        loop {
            if let Some(wire) = self.check_role(wire)? {
                return Ok(wire);
            }
            wire = self.checkout(self.timeouts.checkout)?;
        }
    }

    /// Asks a master for its role where that is due. `None`: the connection was closed, or leads to
    /// a former master.
    pub(crate) fn check_role(
        &self,
        mut wire: ConnectionGuard,
    ) -> Result<Option<ConnectionGuard>, Failure> {
        let servers = self.endpoint.epoch();
        let (due, was) = (servers.role_checks(), wire.0.role);
        if wire.0.role_checks == due || was != Some(Role::Master) {
            return Ok(Some(wire));
        }
        let protocol = self.endpoint.info().redis_settings().protocol();
        let mut ask = |connection: &mut Connection, _| role_now(connection, protocol);
        match self.run_once(&mut wire, RetryPolicy::Idempotent, &mut ask) {
            (Ok(role), _) if servers.report_role(wire.0.epoch, was, role) => Ok(None),
            (Ok(_), _) => {
                wire.0.role_checks = due;
                Ok(Some(wire))
            }
            (Err(_), true) => Ok(None),
            (Err(error), false) => Err(self.failure(error)),
        }
    }

    /// Fails where another server has taken over since this epoch. Then what was read may be old,
    /// and nobody may be told it.
    pub(crate) fn still_in(&self, epoch: u64) -> RedisResult<()> {
        if epoch == self.endpoint.epoch().current() {
            return Ok(());
        }
        Err((ErrorKind::Io, "another server took over during the request").into())
    }

    /// And whether that may go better on a new connection.
    fn run_once<T>(
        &self,
        ConnectionGuard(wire): &mut ConnectionGuard,
        retry_policy: RetryPolicy,
        run: &mut impl FnMut(&mut Connection, u64) -> RedisResult<T>,
    ) -> (RedisResult<T>, bool) {
        // Unfit until the reply is there, so that a panic in between leaves it unfit.
        wire.unfit = true;
        let epoch = wire.epoch;
        let done = run(&mut wire.connection, epoch);
        let outcome = done.and_then(|done| self.still_in(epoch).map(|()| done));
        wire.unfit = false;
        let Err(error) = &outcome else {
            return (outcome, false);
        };
        // A refusal is a whole reply. After anything else, a late reply may still come.
        wire.unfit = retry_policy == RetryPolicy::Transaction || !is_refusal(error);
        let is_demoted = wire.role == Some(Role::Master) && is_read_only(error);
        if is_demoted {
            self.endpoint.epoch().retire(epoch);
        } else if error.is_connection_dropped() {
            self.state.losses.fetch_add(1, Ordering::AcqRel);
        }
        // What a former server refuses, the present one may do.
        let is_former = is_refusal(error) && self.still_in(epoch).is_err();
        let may_repeat = is_demoted || is_former || is_lost(error);
        (outcome, may_repeat)
    }

    /// A free connection.
    pub(crate) fn try_checkout(&self) -> Option<ConnectionGuard> {
        self.pool.try_get().map(ConnectionGuard)
    }

    /// A free connection, or a new one, for a caller that waits no longer than this.
    pub(crate) fn checkout(&self, wait: Duration) -> Result<ConnectionGuard, Failure> {
        // In steps that double: r2d2 opens a connection only when a wait begins. A waiter whose turn
        // was lost with a broken connection would otherwise find that out only at its deadline.
        let (mut left, mut steps) = (wait, Backoff::new(REFUSED_WITHIN, wait));
        loop {
            let step = steps.next().min(left);
            if let Ok(wire) = self.pool.get_timeout(step) {
                return Ok(ConnectionGuard(wire));
            }
            left = left.saturating_sub(step);
            // r2d2 goes on waiting where every attempt to connect is refused.
            if self.pool.state().connections == 0 || left.is_zero() {
                self.refusal()?;
            }
            if left.is_zero() {
                return Err(self.late());
            }
        }
    }

    /// How many connections are open, and how many of them are free.
    pub(crate) fn count(&self) -> (u32, u32) {
        let state = self.pool.state();
        (state.connections, state.idle_connections)
    }

    /// Why nobody had a connection to lend in time.
    pub(crate) fn late(&self) -> Failure {
        if self.pool.state().connections == 0 {
            // Nobody has one, so nobody is in the way: it is the server that is waited for.
            let within = self.timeouts.checkout;
            return self.at_server(Failure::new(FailureKind::Unavailable, Timeout { within }));
        }
        let connections = self.pool.max_size();
        self.at_server(Failure::new(
            FailureKind::Saturated,
            PoolExhausted { connections },
        ))
    }

    /// Fails where the latest attempt to connect did.
    fn refusal(&self) -> Result<(), Failure> {
        match self.state.refusal.lock().clone() {
            Some(refusal) => Err(self.at_server(refusal)),
            None => Ok(()),
        }
    }

    fn failure(&self, error: RedisError) -> Failure {
        self.at_server(failure(error, self.timeouts.io))
    }

    /// A failure with the address of this server.
    pub(crate) fn at_server(&self, failure: Failure) -> Failure {
        failure.at_server(|| self.endpoint.name())
    }
}
