//! Opens a new connection after a silence, to see whether the server or only the old connections
//! are dead.
//!
//! Called after a request that timed out. Runs on the threads that open connections, so no caller
//! waits for a name lookup.

use std::sync::Arc;

use scheduled_thread_pool::ScheduledThreadPool;

use super::{
    manager::ServerState,
    suspects::{Generation, Suspects},
};
use crate::redis::{endpoint::Endpoint, error::Timeout, timeouts::Timeouts};

/// A probe that runs. Its drop records the result, even if opening panics.
struct Running<'a> {
    suspects: &'a Suspects,
    alive: Option<Generation>,
    is_silent: bool,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.suspects.end_probe(self.alive, self.is_silent);
    }
}

/// Opens a connection, and tells the suspects whether it answers.
pub(super) fn probe(
    workers: &ScheduledThreadPool,
    (endpoint, timeouts): (Endpoint, Timeouts),
    state: Arc<ServerState>,
) {
    workers.execute(move || {
        let mut running = Running {
            suspects: &state.suspects,
            alive: None,
            is_silent: false,
        };
        // Read before the connection is opened, as for each connection of the pool.
        let generation = state.suspects.current();
        match endpoint.open(timeouts, None) {
            Ok(_) => running.alive = Some(generation),
            Err(failure) => running.is_silent = failure.cause::<Timeout>().is_some(),
        }
    });
}
