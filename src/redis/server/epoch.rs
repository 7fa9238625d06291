//! Which server the connections of one pool lead to, and which connections lead to a former one.
//!
//! Guarantees that all connections with the current epoch lead to the same server. Pools and
//! listeners compare epochs. A connection with another epoch is closed, and the reply to a request
//! on it counts as lost. An epoch ends when
//!
//! - a connection that was opened after the current server became known leads to another server.
//!   The server at the address becomes the current one;
//! - a server that was a master reports that it no longer is one (by `READONLY`, or by its role);
//! - sentinels name another master.
//!
//! Replicas are not distinguished. They take no writes, so no acknowledged write can be missing on
//! another replica. Addresses that lead to several replicas in turn are common.
//!
//! Opens no connection. No request is sent while its lock is held.
//!
//! Used by pools, listeners and endpoints.
//!
//! No user code runs under its lock: nothing is logged there.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{
    identity::{Role, ServerIdentity},
    other_server::ServersInTurn,
};

/// The minimum time before the pool returns to a server that it has left. So an address that leads
/// to several masters in turn changes servers only once in this time, and not once for each
/// connection.
const RETURNS_AFTER: Duration = Duration::from_secs(1);

/// The epoch of a connection that must not be used.
const NEVER: u64 = 0;

/// The server that the connections of one pool lead to.
#[derive(Debug)]
pub(crate) struct ServerEpoch {
    /// Changed under the lock of `state`.
    epoch: AtomicU64,
    state: Mutex<EpochState>,
    /// Whether a server has denied its `run_id`. Each denial is logged on the server, so it is
    /// asked only once.
    denies_run_id: AtomicBool,
    /// How often connections were told to ask their server for its role.
    role_checks: AtomicU64,
    /// The number of listeners, which have a connection outside the pool.
    listeners: AtomicUsize,
}

#[derive(Debug, Default)]
struct EpochState {
    known: Option<ServerIdentity>,
    /// Counts the changes of `known`.
    changes: u64,
    /// Servers that were recently left for another one.
    left: Vec<(ServerIdentity, Instant)>,
}

/// The state before a connection was opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opening {
    changes: u64,
    /// The number of role checks that the first reply on the new connection makes unnecessary.
    pub(crate) role_checks: u64,
}

impl Default for ServerEpoch {
    fn default() -> ServerEpoch {
        ServerEpoch {
            epoch: AtomicU64::new(NEVER + 1),
            state: Mutex::default(),
            denies_run_id: AtomicBool::new(false),
            role_checks: AtomicU64::new(0),
            listeners: AtomicUsize::new(0),
        }
    }
}

impl ServerEpoch {
    /// The current epoch, which is never 0. A connection with another epoch leads to a former
    /// server.
    pub(crate) fn current(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Call this before the address is looked up.
    pub(crate) fn opening(&self) -> Opening {
        let role_checks = self.role_checks();
        let changes = self.state.lock().changes;
        Opening {
            changes,
            role_checks,
        }
    }

    /// Returns the epoch of a new connection that leads to `server`. Fails if the address leads to
    /// several servers in turn.
    ///
    /// Two connections that were opened at the same time may lead to different servers. It is not
    /// known which one looked up the address later. So only a connection that was opened after the
    /// current server became known can end the epoch. An earlier one that leads elsewhere gets an
    /// epoch that is never current.
    pub(crate) fn admit(
        &self,
        opening: Opening,
        server: ServerIdentity,
    ) -> Result<u64, ServersInTurn> {
        let mut state = self.state.lock();
        let is_other = state.known.as_ref().map(|known| server.is_other(known));
        if is_other == Some(false) {
            state.learn(&server);
            return Ok(self.current());
        }
        if opening.changes != state.changes {
            return Ok(NEVER);
        }
        state.check_return(&server)?;
        let former = state.forget();
        let was_master = former
            .as_ref()
            .is_some_and(|former| former.role == Some(Role::Master));
        if let Some(former) = former {
            state.left.push((former, Instant::now()));
            self.end_epoch();
        }
        if was_master && server.role == Some(Role::Replica) {
            // A failover is under way. Only the next connection shows whether the address already
            // leads to the new master.
            return Ok(NEVER);
        }
        state.known = Some(server);
        Ok(self.current())
    }

    /// Ends this epoch, unless it has already ended: its server is no longer the master.
    pub(crate) fn retire(&self, epoch: u64) {
        let mut state = self.state.lock();
        if epoch == self.current() {
            state.forget();
            self.end_epoch();
        }
    }

    /// Makes each open connection to a master ask for the role before its next request.
    pub(crate) fn require_role_checks(&self) {
        self.role_checks.fetch_add(1, Ordering::AcqRel);
    }

    /// The number of role checks. A connection that was checked at another number must be checked
    /// again.
    pub(crate) fn role_checks(&self) -> u64 {
        self.role_checks.load(Ordering::Acquire)
    }

    /// Ends the epoch of a connection if its server was a master and is now a replica. Returns
    /// whether that is so.
    pub(crate) fn report_role(&self, epoch: u64, was: Option<Role>, now: Option<Role>) -> bool {
        let is_demoted = (was, now) == (Some(Role::Master), Some(Role::Replica));
        if is_demoted {
            self.retire(epoch);
        }
        is_demoted
    }

    /// Whether the current server is a replica. Such a server has always answered `READONLY`, so
    /// that is no sign of a failover.
    pub(crate) fn is_replica(&self) -> bool {
        let state = self.state.lock();
        (state.known.as_ref()).is_some_and(|known| known.role == Some(Role::Replica))
    }

    /// Call this with the lock of `state` held.
    fn end_epoch(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn asks_for_run_id(&self) -> bool {
        !self.denies_run_id.load(Ordering::Relaxed)
    }

    pub(crate) fn run_id_is_denied(&self) {
        self.denies_run_id.store(true, Ordering::Relaxed);
    }

    /// Counts a listener until the returned guard is dropped.
    pub(crate) fn listen(&self) -> CountedListener<'_> {
        self.listeners.fetch_add(1, Ordering::Relaxed);
        CountedListener(self)
    }

    pub(crate) fn has_listeners(&self) -> bool {
        self.listeners.load(Ordering::Relaxed) > 0
    }
}

impl EpochState {
    /// Adds facts that the same server did not report before.
    fn learn(&mut self, said: &ServerIdentity) {
        if let Some(known) = &mut self.known {
            known.learn(said);
        }
    }

    /// Fails if the pool left this server a short time ago.
    fn check_return(&mut self, server: &ServerIdentity) -> Result<(), ServersInTurn> {
        self.left.retain(|(_, at)| at.elapsed() < RETURNS_AFTER);
        if self.left.iter().any(|(left, _)| !server.is_other(left)) {
            return Err(ServersInTurn);
        }
        Ok(())
    }

    /// Forgets the current server. Connections whose opening began before this do not decide which
    /// server is the next one.
    fn forget(&mut self) -> Option<ServerIdentity> {
        self.changes += 1;
        self.known.take()
    }
}

/// Counts its listener until it is dropped.
pub(crate) struct CountedListener<'a>(&'a ServerEpoch);

impl Drop for CountedListener<'_> {
    fn drop(&mut self) {
        self.0.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
