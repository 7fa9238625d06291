//! How r2d2 opens the connections of a pool, and which ones it lends again.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use r2d2::ManageConnection;
use redis::Connection;

use super::{endpoint::Endpoint, other_server::Moved, server_identity::Role, timeouts::Timeouts};
use crate::store::{Failure, FailureKind};

/// Opens connections, and knows which ones not to lend again.
#[derive(Debug)]
pub(super) struct Manager {
    pub(super) endpoint: Endpoint,
    pub(super) timeouts: Timeouts,
    pub(super) state: Arc<ServerState>,
}

/// What is known about the server.
#[derive(Debug, Default)]
pub(super) struct ServerState {
    /// How often it dropped a connection. Connections that were opened before the latest time count
    /// as dropped as well. So after a restart of the server one request fails, and not one for each
    /// pooled connection.
    pub(super) losses: AtomicU64,
    /// Why the latest attempt to connect failed; `None` after a success. r2d2 keeps only the text.
    pub(super) refusal: Mutex<Option<Failure>>,
}

/// A connection, and whether it may be lent again.
pub(super) struct PooledConnection {
    pub(super) connection: Connection,
    /// `ServerState::losses` before it was opened.
    pub(super) born: u64,
    /// The epoch of the endpoint when it was opened. In another epoch it leads to a former server.
    pub(super) epoch: u64,
    /// The role that the server named.
    pub(super) role: Option<Role>,
    /// `ServerEpoch::role_checks` when the server was asked for its role.
    pub(super) role_checks: u64,
    /// True from before a request is sent until its whole reply has been read.
    pub(super) unfit: bool,
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
            role_checks: opened.role_checks,
            unfit: false,
        })
    }

    /// Called at every checkout, so it only compares and sends nothing.
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
