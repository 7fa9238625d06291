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
    /// Whether a user may be told the `run_id`. A denial is on record at the server: one is enough.
    denies_run_id: AtomicBool,
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
}

impl Default for ServerEpoch {
    fn default() -> ServerEpoch {
        ServerEpoch {
            epoch: AtomicU64::new(NEVER + 1),
            state: Mutex::default(),
            denies_run_id: AtomicBool::new(false),
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
        let changes = self.state.lock().changes;
        Opening { changes }
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
            state.learn(server);
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
    fn learn(&mut self, said: ServerIdentity) {
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
mod tests {
    use super::*;

    fn server(role: Role, run_id: Option<&str>) -> ServerIdentity {
        let (role, run_id) = (Some(role), run_id.map(str::to_owned));
        ServerIdentity { role, run_id }
    }

    fn master(run_id: &str) -> ServerIdentity {
        server(Role::Master, Some(run_id))
    }

    fn replica(run_id: &str) -> ServerIdentity {
        server(Role::Replica, Some(run_id))
    }

    /// Opens a connection, with nothing else meanwhile.
    fn open(servers: &ServerEpoch, server: ServerIdentity) -> u64 {
        servers.admit(servers.opening(), server).unwrap()
    }

    #[test]
    fn a_connection_to_another_server_ends_the_epoch_of_those_before_it() {
        let servers = ServerEpoch::default();
        let first = open(&servers, master("a"));
        assert_eq!(first, servers.current());
        assert_eq!(open(&servers, master("a")), first);
        let second = open(&servers, master("b"));
        assert_ne!(second, first);
        assert_eq!(second, servers.current());
    }

    #[test]
    fn of_connections_opened_at_the_same_time_one_server_is_used() {
        let servers = ServerEpoch::default();
        let openings = [(); 3].map(|()| servers.opening());
        let used = servers.admit(openings[0], master("a")).unwrap();
        assert_eq!(servers.admit(openings[1], master("b")).unwrap(), NEVER);
        assert_eq!(servers.admit(openings[2], master("a")).unwrap(), used);
        assert_eq!(used, servers.current());
        let openings = [(); 2].map(|()| servers.opening());
        let used = servers.admit(openings[1], master("b")).unwrap();
        assert_eq!(servers.admit(openings[0], master("a")).unwrap(), NEVER);
        assert_eq!(used, servers.current());
    }

    #[test]
    fn an_epoch_is_retired_once_and_what_was_opened_before_is_not_used() {
        let servers = ServerEpoch::default();
        let first = open(&servers, master("a"));
        let opening = servers.opening();
        servers.retire(first);
        servers.retire(first);
        assert_eq!(servers.current(), first + 1);
        assert_eq!(servers.admit(opening, master("a")).unwrap(), NEVER);
        assert_eq!(open(&servers, replica("a")), first + 1);
    }

    #[test]
    fn a_master_that_has_become_a_replica_is_another_server() {
        let servers = ServerEpoch::default();
        let first = open(&servers, master("a"));
        // The next one shows whether the address still leads there.
        assert_eq!(open(&servers, replica("a")), NEVER);
        assert_eq!(servers.current(), first + 1);
        assert!(!servers.is_replica());
        assert_eq!(open(&servers, replica("a")), first + 1);
        assert!(servers.is_replica());
    }

    #[test]
    fn replicas_are_not_told_apart() {
        let servers = ServerEpoch::default();
        let first = open(&servers, replica("a"));
        assert_eq!(open(&servers, replica("b")), first);
    }

    #[test]
    fn who_does_not_tell_its_run_id_is_known_by_its_role() {
        let servers = ServerEpoch::default();
        let first = open(&servers, server(Role::Master, None));
        assert_eq!(open(&servers, ServerIdentity::default()), first);
        assert_eq!(open(&servers, master("a")), first);
        assert_eq!(open(&servers, server(Role::Master, None)), first);
        let second = open(&servers, master("b"));
        assert_ne!(second, first);
        assert_eq!(open(&servers, server(Role::Replica, None)), NEVER);
        assert_eq!(servers.current(), second + 1);
    }

    #[test]
    fn servers_in_turn_are_changed_once_a_second_each() {
        let servers = ServerEpoch::default();
        open(&servers, master("a"));
        open(&servers, master("b"));
        let third = open(&servers, master("c"));
        for back in ["a", "b"] {
            servers.admit(servers.opening(), master(back)).unwrap_err();
        }
        assert_eq!(open(&servers, master("c")), third);
    }
}
