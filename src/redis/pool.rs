//! Connections to one server and the pool that lends them.
//!
//! Guarantees that no request waits for a silent server without a bound, and that a connection on which a
//! request timed out, failed on the wire or was cut short by a panic is closed instead of lent again: late
//! bytes of its reply, or a command of which the server has state only a part, would end up in somebody else's
//! request. (What redis-rs itself calls open is still open then, so r2d2's stock manager would lend it.)
//!
//! Nothing is sent to test a connection, not at checkout and not when idle.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use r2d2::{ManageConnection, Pool};
use redis::{Connection, ErrorKind, RedisResult};

use super::{
    connect_threads::workers,
    endpoint::Endpoint,
    error::{PoolExhausted, Timeout, failure, is_lost, is_refusal},
    other_server::{Moved, is_read_only},
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

/// Opens connections, and knows which ones not to lend again.
#[derive(Debug)]
struct Manager {
    endpoint: Endpoint,
    timeouts: Timeouts,
    state: Arc<ServerState>,
}

/// What has been state of the server.
#[derive(Debug, Default)]
struct ServerState {
    /// How often it dropped a connection. A connection that was opened before the latest time is taken for
    /// dropped as well, so that after a restart of the server one request fails and not one for each
    /// pooled connection.
    losses: AtomicU64,
    /// Why the latest attempt to connect failed; `None` after a success. r2d2 would keep only its text.
    refusal: Mutex<Option<Failure>>,
}

/// A connection, and whether it may be lent again.
struct PooledConnection {
    connection: Connection,
    /// `ServerState::losses` before it was opened.
    born: u64,
    /// Of the source, when it was opened. With another one it leads to a former server.
    epoch: u64,
    /// What that called itself.
    role: Option<Role>,
    /// True from before a request is sent until its reply has been read whole.
    unfit: bool,
}

/// A connection that goes back to its pool when it is dropped.
pub(crate) struct ConnectionGuard(r2d2::PooledConnection<Manager>);

impl ConnectionGuard {
    /// What the server called itself when it was opened.
    pub(crate) fn role(&self) -> Option<Role> {
        self.0.role
    }
}

impl ManageConnection for Manager {
    type Connection = PooledConnection;
    type Error = Failure;

    fn connect(&self) -> Result<PooledConnection, Failure> {
        let born = self.state.losses.load(Ordering::Acquire);
        let opened = self.endpoint.open(self.timeouts, None);
        *self.state.refusal.lock() = opened.as_ref().err().cloned();
        opened.map(|opened| PooledConnection {
            connection: opened.connection,
            born,
            epoch: opened.epoch,
            role: opened.role,
            unfit: false,
        })
    }

    /// Asked at every checkout, so it looks and sends nothing.
    fn is_valid(&self, wire: &mut PooledConnection) -> Result<(), Failure> {
        let is_of_now = wire.born == self.state.losses.load(Ordering::Acquire);
        if is_of_now && wire.epoch == self.endpoint.epoch().current() {
            return Ok(());
        }
        Err(Failure::new(FailureKind::Unavailable, Moved))
    }

    fn has_broken(&self, wire: &mut PooledConnection) -> bool {
        wire.unfit
    }
}

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
        let (mut outcome, is_lost) = self.run_once(wire, retry_policy, &mut run);
        if retry_policy == RetryPolicy::Idempotent && is_lost {
            let wire = self.checkout(self.timeouts.checkout)?;
            (outcome, _) = self.run_once(wire, retry_policy, &mut run);
        }
        outcome.map_err(|error| failure(error, self.timeouts.io))
    }

    /// Fails where another server has taken over since this epoch. Then what was read may be old,
    /// and nobody may be told it.
    pub(crate) fn still_in(&self, epoch: u64) -> RedisResult<()> {
        if epoch == self.endpoint.epoch().current() {
            return Ok(());
        }
        Err((ErrorKind::Io, "another server has taken over meanwhile").into())
    }

    /// And whether that may go better on a new connection.
    fn run_once<T>(
        &self,
        ConnectionGuard(mut wire): ConnectionGuard,
        retry_policy: RetryPolicy,
        run: &mut impl FnMut(&mut Connection, u64) -> RedisResult<T>,
    ) -> (RedisResult<T>, bool) {
        // UnsupportedServer until the reply is there, so that a panic in between leaves it unfit.
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
            let (within, cause) = (self.timeouts.checkout, None);
            return Failure::new(FailureKind::Unavailable, Timeout { within, cause });
        }
        let connections = self.pool.max_size();
        Failure::new(FailureKind::Saturated, PoolExhausted { connections })
    }

    /// Fails where the latest attempt to connect did.
    fn refusal(&self) -> Result<(), Failure> {
        match self.state.refusal.lock().clone() {
            Some(refusal) => Err(refusal),
            None => Ok(()),
        }
    }
}
