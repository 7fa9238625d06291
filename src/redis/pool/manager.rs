//! How r2d2 opens the connections of a pool, and which connections it lends again.
//!
//! Called by r2d2. Guarantees that a connection to a former server, one that is known to be dead,
//! or one that may still receive a late reply, is not lent again.
//!
//! No user code runs under its lock: it guards a failure of this crate, which is copied out.

use std::sync::Arc;

use super::suspects::{Generation, Suspects};
use crate::redis::{
    connection::Connection,
    endpoint::Endpoint,
    server::{identity::Role, other_server::Moved},
    timeouts::Timeouts,
};
use crate::store::{Failure, FailureKind};
use parking_lot::Mutex;
use r2d2::ManageConnection;

/// Opens the connections of a pool, and decides which ones are lent again.
#[derive(Debug)]
pub(super) struct Manager {
    pub(super) endpoint: Endpoint,
    pub(super) timeouts: Timeouts,
    pub(super) state: Arc<ServerState>,
}

/// Facts about the server that its pooled connections have found.
#[derive(Debug, Default)]
pub(super) struct ServerState {
    /// Which connections may be dead, because another one failed.
    pub(super) suspects: Suspects,
    /// Why the latest attempt to connect failed; `None` after a success. r2d2 would keep only the
    /// text of the failure.
    pub(super) refusal: Mutex<Option<Failure>>,
}

/// A connection, and whether it may be lent again.
pub(super) struct PooledConnection {
    pub(super) connection: Connection,
    /// Its age: see [`Suspects`].
    pub(super) generation: Generation,
    /// The epoch in which it was opened. If it is no longer current, the connection leads to a
    /// former server.
    pub(super) epoch: u64,
    /// The role that the server reported.
    pub(super) role: Option<Role>,
    /// The value of `ServerEpoch::role_checks` when the server was last asked for its role.
    pub(super) role_checks: u64,
    /// True from before a request is sent until its reply has been read completely.
    pub(super) must_close: bool,
}

impl ManageConnection for Manager {
    type Connection = PooledConnection;
    type Error = Failure;

    fn connect(&self) -> Result<PooledConnection, Failure> {
        let generation = self.state.suspects.current();
        let opened = self.endpoint.open(self.timeouts, None);
        *self.state.refusal.lock() = opened.as_ref().err().cloned();
        opened.map(|opened| PooledConnection {
            connection: opened.connection,
            generation,
            epoch: opened.epoch,
            role: opened.role,
            role_checks: opened.role_checks,
            must_close: false,
        })
    }

    /// Called at every checkout, so it sends nothing. Costs one system call.
    fn is_valid(&self, pooled: &mut PooledConnection) -> Result<(), Failure> {
        let is_dead = self.state.suspects.is_dead(pooled.generation);
        let is_current = pooled.epoch == self.endpoint.epoch().current();
        if !is_dead && is_current && pooled.connection.is_at_rest() {
            return Ok(());
        }
        Err(Failure::new(FailureKind::Unavailable, Moved))
    }

    fn has_broken(&self, wire: &mut PooledConnection) -> bool {
        wire.must_close
    }
}
