//! Connections to one server, and the pool that lends them.
//!
//! Guarantees that no caller waits for a connection without a bound. Knows no requests: see
//! [`run_request`](self::run_request).
//!
//! No request is sent to test a connection, with two exceptions. If the address is checked by
//! [role](super::single::moved_address), each connection asks its server for the role, an idle one
//! at once. A [suspect](self::suspects) asks before its next request.

mod availability;
pub(crate) mod broken;
mod checks;
pub(crate) mod concurrency_limit;
pub(crate) mod connect_threads;
pub(crate) mod lazy_pool;
mod manager;
mod probe;
pub(crate) mod run_request;
#[cfg_attr(
    not(feature = "cluster"),
    expect(dead_code, reason = "only a cluster sends ahead")
)]
pub(crate) mod send_ahead;
mod suspects;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use r2d2::Pool;
use redis::RedisError;

use self::{
    lazy_pool::LazyPool,
    manager::{Manager, ServerState},
};
use super::{endpoint::Endpoint, error::failure, timeouts::Timeouts};
use crate::{
    store::{Failure, FailureKind},
    util::{
        backoff::Backoff,
        process::{OfProcess, OtherProcess},
    },
};

/// A server refuses a connection within this time: a hundred round trips to a near server.
const REFUSED_WITHIN: Duration = Duration::from_millis(10);

/// A connection that returns to its pool when it is dropped.
pub(crate) struct ConnectionGuard(r2d2::PooledConnection<Manager>);

/// A pool of connections to one server.
#[derive(Clone)]
pub(crate) struct Connections {
    /// Not for a process that was forked from the one that made it: the two would read each other's
    /// replies. A cache makes a new pool there.
    pool: OfProcess<Arc<LazyPool>>,
    pub(super) size: u32,
    pub(super) endpoint: Endpoint,
    pub(super) timeouts: Timeouts,
    state: Arc<ServerState>,
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
    fn pool(&self) -> Result<&Pool<Manager>, Failure> {
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

    pub(super) fn lazy(&self) -> Option<&LazyPool> {
        self.pool.get(Instant::now()).map(|pool| &**pool)
    }

    pub(crate) fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// The endpoint and the timeouts for a connection outside the pool.
    pub(crate) fn config(&self) -> (&Endpoint, Timeouts) {
        (&self.endpoint, self.timeouts)
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
