//! How the connections of a pool are opened, and which ones are lent again.
//!
//! Called by `lending.rs`. Guarantees that a connection to a former server, or one that may still receive a
//! late reply, is not lent again.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use redis::Connection;

use super::{
    endpoint::Endpoint, lending::ManageConnection, server_identity::Role, timeouts::Timeouts,
};
use crate::store::Failure;
use crate::util::sync::Mutex;

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
    /// How often the server dropped a connection. A connection that was opened before the latest
    /// drop counts as dropped too. So after a restart of the server only one request fails, and not
    /// one for each pooled connection.
    pub(super) losses: AtomicU64,
    /// Why the latest attempt to connect failed; `None` after a success.
    pub(super) refusal: Mutex<Option<Failure>>,
}

/// A connection, and whether it may be lent again.
pub(super) struct PooledConnection {
    pub(super) connection: Connection,
    /// The value of `ServerState::losses` before the connection was opened.
    pub(super) losses_before: u64,
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

    fn connect(&self) -> Option<PooledConnection> {
        let losses_before = self.state.losses.load(Ordering::Acquire);
        let opened = self.endpoint.open(self.timeouts, None);
        *self.state.refusal.lock() = opened.as_ref().err().cloned();
        opened.ok().map(|opened| PooledConnection {
            connection: opened.connection,
            losses_before,
            epoch: opened.epoch,
            role: opened.role,
            role_checks: opened.role_checks,
            must_close: false,
        })
    }

    fn is_valid(&self, pooled: &PooledConnection) -> bool {
        let is_of_now = pooled.losses_before == self.state.losses.load(Ordering::Acquire);
        is_of_now && pooled.epoch == self.endpoint.epoch().current()
    }

    fn has_broken(&self, pooled: &PooledConnection) -> bool {
        pooled.must_close
    }
}
