//! Which server the connections of one pool lead to: the rule that a connection leads to a former
//! one.
//!
//! Guarantees that all connections with the current epoch lead to the same server. Pools and
//! listeners compare epochs: what has another one is closed, and what a request on it answered
//! counts as lost. An epoch ends when
//!
//! - a connection that was opened after the current server became known leads to another: the
//!   address decides;
//! - a server that was a master says that it is none (`READONLY`, or its role);
//! - sentinels name another master.
//!
//! Replicas are not told apart. They take no writes, so no acknowledged write can be missing from
//! the next one, and addresses that lead to replicas in turn are common.
//!
//! Opens no connection. Its lock is held while nothing is sent.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{
    other_server::ServersInTurn,
    server_identity::{Role, ServerIdentity},
};

/// A server that was left becomes the current one again after this time at the earliest. So an
/// address that leads to several masters in turn has each of them used once in this time, and not
/// once for each connection.
const RETURNS_AFTER: Duration = Duration::from_secs(1);

/// The epoch of a connection that must not be used.
const NEVER: u64 = 0;

/// The server that the connections of one pool lead to.
#[derive(Debug)]
pub(crate) struct ServerEpoch {
    /// Changed under the lock of `state`.
    epoch: AtomicU64,
    state: Mutex<State>,
    /// Whether a server denied its `run_id`. Each denial is logged there, so one is enough.
    denies_run_id: AtomicBool,
    /// How often connections were told to ask for the role of their server.
    role_checks: AtomicU64,
    /// Those that have a connection outside the pool.
    listeners: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    known: Option<ServerIdentity>,
    /// Counts the changes of `known`.
    changes: u64,
    /// Servers that were left for another one a short time ago.
    left: Vec<(ServerIdentity, Instant)>,
}

/// Taken before a connection is opened: what was known then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opening {
    changes: u64,
    /// Those that the greeting makes unnecessary.
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
    /// A connection with another epoch leads to a former server. Never 0.
    pub(crate) fn current(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// To be called before the address is looked up.
    pub(crate) fn opening(&self) -> Opening {
        let role_checks = self.role_checks();
        let changes = self.state.lock().changes;
        Opening {
            changes,
            role_checks,
        }
    }

    /// The epoch of a connection that has been opened and leads to this server; fails where the
    /// address leads to several servers in turn.
    ///
    /// Of two connections that were opened at the same time and lead to different servers, nobody
    /// can say which one looked up the address later. So only one that began after the current
    /// server became known can end the epoch. An earlier one that leads elsewhere gets an epoch
    /// that is never current.
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
            // A failover is under way. The address may lead to the new master by now, which only
            // the next connection shows.
            return Ok(NEVER);
        }
        state.known = Some(server);
        Ok(self.current())
    }

    /// Ends this epoch, unless it has ended before: its server is not what it was.
    pub(crate) fn retire(&self, epoch: u64) {
        let mut state = self.state.lock();
        if epoch == self.current() {
            state.forget();
            self.end_epoch();
        }
    }

    /// Has each open connection to a master ask for the role before its next request.
    pub(crate) fn require_role_checks(&self) {
        self.role_checks.fetch_add(1, Ordering::AcqRel);
    }

    /// A connection that was checked when this had another value is to be checked again.
    pub(crate) fn role_checks(&self) -> u64 {
        self.role_checks.load(Ordering::Acquire)
    }

    /// Ends the epoch of a connection to a master that is none now. Returns whether that is so.
    pub(crate) fn report_role(&self, epoch: u64, was: Option<Role>, now: Option<Role>) -> bool {
        let is_demoted = (was, now) == (Some(Role::Master), Some(Role::Replica));
        if is_demoted {
            self.retire(epoch);
        }
        is_demoted
    }

    /// Whether the current server is a replica, which therefore has always answered `READONLY`.
    pub(crate) fn is_replica(&self) -> bool {
        let state = self.state.lock();
        (state.known.as_ref()).is_some_and(|known| known.role == Some(Role::Replica))
    }

    /// With the lock of `state` held.
    fn end_epoch(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn asks_for_run_id(&self) -> bool {
        !self.denies_run_id.load(Ordering::Relaxed)
    }

    pub(crate) fn run_id_is_denied(&self) {
        self.denies_run_id.store(true, Ordering::Relaxed);
    }

    /// Counts a listener until what this returns is dropped.
    pub(crate) fn listen(&self) -> StreamLiveness<'_> {
        self.listeners.fetch_add(1, Ordering::Relaxed);
        StreamLiveness(self)
    }

    pub(crate) fn has_listeners(&self) -> bool {
        self.listeners.load(Ordering::Relaxed) > 0
    }
}

impl State {
    /// Adds what the same server did not say before.
    fn learn(&mut self, said: &ServerIdentity) {
        if let Some(known) = &mut self.known {
            known.learn(said);
        }
    }

    /// Fails where this server was left a moment ago.
    fn check_return(&mut self, server: &ServerIdentity) -> Result<(), ServersInTurn> {
        self.left.retain(|(_, at)| at.elapsed() < RETURNS_AFTER);
        if self.left.iter().any(|(left, _)| !server.is_other(left)) {
            return Err(ServersInTurn);
        }
        Ok(())
    }

    /// Openings from before this one do not decide which server is the current one.
    fn forget(&mut self) -> Option<ServerIdentity> {
        self.changes += 1;
        self.known.take()
    }
}

pub(crate) struct StreamLiveness<'a>(&'a ServerEpoch);

impl Drop for StreamLiveness<'_> {
    fn drop(&mut self) {
        self.0.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
