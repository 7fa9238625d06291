//! The thread that notices when a fixed address leads to another server. A name or a virtual IP may
//! have been moved.
//!
//! Connections to the former server stay open, and a client that only reads never gets the reply
//! `READONLY`. So while a pool has connections, or a listener exists, this thread opens a
//! connection every [`PERIOD`], including the name lookup, and asks the server for its identity. If
//! it is another server, [opening](crate::redis::endpoint::Endpoint::open) ends the
//! [epoch](crate::redis::server::epoch).
//!
//! If no connection can be opened, or the server does not report its `run_id`, each connection asks
//! its server for the role. An idle connection asks at once. A connection in use asks before its
//! next request, and a listener asks with its next heartbeat.
//!
//! This costs a lookup one atomic load. If the role is asked for, it also costs one round trip for
//! each connection in each period.

use std::time::{Duration, Instant};

use crate::redis::pool::Connections;
use crate::util::{
    random::shortened,
    worker::{Worker, WorkerContext},
};

/// A tenth less than the second that the documentation promises. The tenth is left for opening the
/// connection.
const PERIOD: Duration = Duration::from_millis(900);

/// Creates the thread, which is not started yet. It ends when the returned worker is dropped.
pub(crate) fn watch(connections: Connections) -> Worker {
    let run = move |context: &WorkerContext| {
        // The first pause is random, so that many processes do not ask at the same moment.
        let mut next = Instant::now() + shortened(PERIOD);
        while !context.pause_until(next) {
            next = Instant::now() + PERIOD;
            if are_in_use(&connections) {
                check_server(&connections);
            }
        }
    };
    Worker::new("cache-aside-address", run)
}

/// Whether any connection exists that may lead to a former server.
fn are_in_use(connections: &Connections) -> bool {
    let (open, _) = connections.count();
    open > 0 || connections.config().0.epoch().has_listeners()
}

/// Checks which server the address leads to.
fn check_server(connections: &Connections) {
    let (endpoint, timeouts) = connections.config();
    let opened = endpoint.open(timeouts, None);
    if opened.is_ok() && endpoint.epoch().asks_for_run_id() {
        return;
    }
    drop(opened);
    endpoint.epoch().require_role_checks();
    // Idle connections are checked here, so that fewer callers wait for a check. The pool first
    // lends the connection that was idle longest, and puts a returned connection last.
    let (_, idle) = connections.count();
    for _ in 0..idle {
        let checked = connections.try_checkout();
        let checked = checked.map(|guard| connections.check(guard));
        if !matches!(checked, Some(Ok(Some(_)))) {
            return;
        }
    }
}
