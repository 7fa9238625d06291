//! What the failure of a request, or of the wait for a connection, says about the server.
//!
//! Called by the pool, by what runs requests, and by those who repeat them.

use redis::cmd;

use super::{Connections, broken::Broken, run_request::RetryPolicy};
use crate::redis::{
    connection::Connection,
    error::{PoolExhausted, Timeout},
};
use crate::store::{Failure, FailureKind};

impl Connections {
    /// The failure that a caller gets if no connection is free in time.
    pub(crate) fn late(&self) -> Failure {
        if self.count().0 == 0 {
            // No connection is open, so other callers are not the reason: the server does not
            // respond.
            let within = self.timeouts.checkout;
            return self.at_server(Failure::new(FailureKind::Unavailable, Timeout { within }));
        }
        let connections = self.size;
        self.at_server(Failure::new(
            FailureKind::Saturated,
            PoolExhausted { connections },
        ))
    }

    /// Fails if the latest attempt to connect failed.
    pub(super) fn refusal(&self) -> Result<(), Failure> {
        let refusal = self.state.refusal.lock().clone();
        match refusal {
            Some(refusal) => Err(self.at_server(refusal)),
            None => Ok(()),
        }
    }

    /// The failure of a request that was sent once more, on another connection.
    ///
    /// If both broke off and a third one answers a `PING`, the reason is this request: its reply is
    /// cut or garbled each time. Then the server is available, so that lookups of other records do
    /// not find the breaker open.
    pub(crate) fn repeated(&self, broken: Broken) -> Failure {
        let failure = broken.failure;
        if broken.may_repeat && failure.kind == FailureKind::Unavailable && self.answers_ping() {
            let kind = FailureKind::Partial;
            return Failure { kind, ..failure };
        }
        failure
    }

    fn answers_ping(&self) -> bool {
        let mut ping = |connection: &mut Connection, _| cmd("PING").query::<String>(connection);
        let guard = self
            .checkout(self.config().1.checkout)
            .map_err(Broken::from);
        let reply =
            guard.and_then(|guard| self.run_once_on(guard, RetryPolicy::Idempotent, &mut ping));
        match reply {
            Ok(reply) => reply == "PONG",
            // The user may have no permission.
            Err(broken) => broken.failure.kind == FailureKind::Rejected,
        }
    }
}
