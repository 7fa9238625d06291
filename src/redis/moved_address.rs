//! The thread that notices that a fixed address leads to another server by now: a name or a virtual
//! IP that was moved.
//!
//! Connections to the former server stay open, and who only reads on them is never told `READONLY`.
//! So while a pool has connections, or a listener is there, this thread opens a connection every
//! [`PERIOD`], name lookup included, and greets the server: [opening](super::endpoint::Endpoint::open)
//! one has the [epoch](super::server_epoch) end where that is another server. Where no connection
//! can be opened, or the server doesn't tell its `run_id`, idle connections of the pool are asked
//! for the role of theirs.
//!
//! It costs a lookup nothing: it neither waits for this thread nor tells it anything.

use std::time::{Duration, Instant};

use redis::Connection;

use super::{
    pool::{ConnectionGuard, Connections, RetryPolicy},
    server_identity::Role,
    server_info::{ServerInfo, hello},
};
use crate::{
    store::Failure,
    telemetry::trace,
    util::{
        random::shortened,
        worker::{StopSignal, WorkerThread},
    },
};

/// A tenth less than the second that the documentation promises, which is left for opening the
/// connection.
const PERIOD: Duration = Duration::from_millis(900);

/// Goes on until what this returns is dropped.
pub(crate) fn watch(connections: Connections) -> Option<WorkerThread> {
    let run = move |stop: &StopSignal| {
        // At another moment in each process of a fleet.
        let mut next = Instant::now() + shortened(PERIOD);
        while !stop.is_near_by(next) {
            next = Instant::now() + PERIOD;
            if are_in_use(&connections) {
                look(&connections);
            }
        }
    };
    WorkerThread::start("cache-aside-address", run)
        .inspect_err(|error| {
            trace::error!("there is no thread to notice with that an address was moved: {error}");
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
    let (source, timeouts) = connections.config();
    let opened = source.open(timeouts, None);
    if opened.is_ok() && source.epoch().asks_for_run_id() {
        return;
    }
    drop(opened);
    // The one that has been idle for longest comes first, and goes behind the others.
    let (_, idle) = connections.count();
    for _ in 0..idle {
        let Some(wire) = connections.try_checkout() else {
            return;
        };
        if ask_for_role(connections, wire).is_err() {
            return;
        }
    }
}

/// Ends the epoch of a connection to a master that has become a replica.
fn ask_for_role(connections: &Connections, wire: ConnectionGuard) -> Result<(), Failure> {
    let was = wire.role();
    let (source, _) = connections.config();
    let protocol = source.info().redis_settings().protocol();
    let ask = |connection: &mut Connection, epoch| Ok((epoch, hello(protocol).query(connection)?));
    // Once: on a new connection it would be the role of another server.
    let (epoch, said) = connections.run_in_epoch(wire, RetryPolicy::Never, ask)?;
    let role = ServerInfo::of_hello(&said).and_then(|said| said.identity().role);
    if (was, role) == (Some(Role::Master), Some(Role::Replica)) {
        source.epoch().retire(epoch);
    }
    Ok(())
}
