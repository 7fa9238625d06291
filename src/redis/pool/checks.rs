//! The checks of a connection before its next request, if one is due.
//!
//! A check is one request, which asks the server for its role. So it also shows that the connection
//! works. A connection that is neither a [suspect](super::suspects) nor due for a check of its
//! [role](crate::redis::single::moved_address) costs two atomic loads.
//!
//! Called before each request, and by the thread that notices a moved address.

use super::{
    ConnectionGuard, Connections, manager::PooledConnection, run_request::RetryPolicy,
    suspects::Verdict,
};
use crate::redis::{
    connect::role_now, connection::Connection, error::Timeout, server::identity::Role,
};
use crate::store::{Failure, FailureKind};

impl Connections {
    /// Returns this connection. If its server is no longer a master, or it is dead, returns another
    /// one. No other request was sent on the first, so any request may be sent on the second.
    pub(super) fn checked(&self, mut guard: ConnectionGuard) -> Result<ConnectionGuard, Failure> {
        loop {
            if let Some(guard) = self.check(guard)? {
                return Ok(guard);
            }
            guard = self.checkout(self.timeouts.checkout)?;
        }
    }

    /// Checks a connection if a check is due: of the role of a master, or of a suspect. `None`: the
    /// connection was closed, or leads to a former master.
    pub(crate) fn check(&self, guard: ConnectionGuard) -> Result<Option<ConnectionGuard>, Failure> {
        let PooledConnection {
            generation,
            role,
            role_checks,
            ..
        } = *guard.0;
        let is_role_due =
            role_checks != self.endpoint.epoch().role_checks() && role == Some(Role::Master);
        let is_suspect = generation != self.state.suspects.current();
        if !is_role_due && !is_suspect {
            return Ok(Some(guard));
        }
        self.ask(guard, is_suspect)
    }

    /// Asks the server of a connection for its role. A suspect that answers is no suspect any more.
    fn ask(
        &self,
        mut guard: ConnectionGuard,
        is_suspect: bool,
    ) -> Result<Option<ConnectionGuard>, Failure> {
        let within = self.timeouts.io;
        if is_suspect {
            match self.state.suspects.verdict(guard.0.generation, within) {
                Verdict::Unknown => {}
                Verdict::Dead => {
                    guard.0.must_close = true;
                    return Ok(None);
                }
                Verdict::Silent => {
                    let silent = Failure::new(FailureKind::Unavailable, Timeout { within });
                    return Err(self.at_server(silent));
                }
            }
        }
        let servers = self.endpoint.epoch();
        let (role_checks, was) = (servers.role_checks(), guard.0.role);
        let generation = self.state.suspects.current();
        let protocol = self.endpoint.info().redis_settings().protocol();
        let mut role = None;
        let mut ask = |connection: &mut Connection, _| {
            role = role_now(connection, protocol)?;
            Ok(())
        };
        match self.run_once(&mut guard, RetryPolicy::Idempotent, &mut ask) {
            (Ok(()), _) if servers.report_role(guard.0.epoch, was, role) => Ok(None),
            (Ok(()), _) => {
                guard.0.role_checks = role_checks;
                guard.0.generation = generation;
                Ok(Some(guard))
            }
            (Err(_), true) => {
                if is_suspect && guard.0.must_close {
                    self.state.suspects.close_before(generation);
                }
                Ok(None)
            }
            (Err(error), false) => Err(self.failure(error)),
        }
    }
}
