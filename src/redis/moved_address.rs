//! The thread that notices that a fixed address leads to another server by now: a name or a virtual
//! IP that was moved.
//!
//! Connections to the former server stay open, and a client that only reads on them never gets the
//! reply `READONLY`. So while a pool has connections, or a listener exists, this thread opens a
//! connection every [`PERIOD`], name lookup included, and greets the server. If that is another
//! server, [opening](super::endpoint::Endpoint::open) ends the [epoch](super::server_epoch). Where
//! no connection can be opened, or the server does not report its `run_id`, each connection asks for
//! the role of its server: an idle one at once, one in use before its next request, and a listener
//! with its next heartbeat.
//!
//! It costs a lookup one atomic load; where roles are asked, one round trip a connection and period.

use std::time::{Duration, Instant};

use super::pool::Connections;
use crate::{
    telemetry::trace,
    util::{
        random::shortened,
        worker::{Worker, WorkerContext},
    },
};

/// A tenth less than the second that the documentation promises, which is left for opening the
/// connection.
const PERIOD: Duration = Duration::from_millis(900);

/// Goes on until the returned worker is dropped.
pub(crate) fn watch(connections: Connections) -> Option<Worker> {
    let run = move |context: &WorkerContext| {
        // At another moment in each process of a fleet.
        let mut next = Instant::now() + shortened(PERIOD);
        while !context.pause_until(next) {
            next = Instant::now() + PERIOD;
            if are_in_use(&connections) {
                look(&connections);
            }
        }
    };
    Worker::start("cache-aside-address", run)
        .inspect_err(|error| {
            trace::error!("no thread to notice a moved address could be started: {error}");
        })
        .ok()
}

/// Whether there are connections which may lead to a former server.
fn are_in_use(connections: &Connections) -> bool {
    let (open, _) = connections.count();
    open > 0 || connections.config().0.epoch().has_listeners()
}

/// Looks which server the address leads to.
fn look(connections: &Connections) {
    let (endpoint, timeouts) = connections.config();
    let opened = endpoint.open(timeouts, None);
    if opened.is_ok() && endpoint.epoch().asks_for_run_id() {
        return;
    }
    drop(opened);
    endpoint.epoch().require_role_checks();
    // Idle connections are asked here, so that fewer callers wait for that. The pool lends the one
    // that was idle longest first, and takes it back as the last.
    let (_, idle) = connections.count();
    for _ in 0..idle {
        let checked = connections.try_checkout();
        let checked = checked.map(|wire| connections.check_role(wire));
        if !matches!(checked, Some(Ok(Some(_)))) {
            return;
        }
    }
}
