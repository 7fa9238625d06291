//! The thread that notices that a fixed address leads to another server by now: a name or a virtual
//! IP that was moved.
//!
//! Connections to the former server stay open, and a client that only reads on them never gets the
//! reply `READONLY`. So while a pool has connections, or a listener exists, this thread opens a
//! connection every [`PERIOD`], name lookup included, and greets the server. If that is another
//! server, [opening](super::endpoint::Endpoint::open) ends the [epoch](super::server_epoch). Where
//! no connection can be opened, or the server does not report its `run_id`, the thread asks idle
//! connections of the pool for the role of their server.
//!
//! It costs a lookup nothing: lookups and this thread share no state but the pool.

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
    // The pool lends the longest idle one first, and takes it back as the last.
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
    // Never repeated: a new connection would report the role of another server.
    let (epoch, said) = connections.run_in_epoch(wire, RetryPolicy::Never, ask)?;
    let role = ServerInfo::of_hello(&said).and_then(|said| said.identity().role);
    if (was, role) == (Some(Role::Master), Some(Role::Replica)) {
        source.epoch().retire(epoch);
    }
    Ok(())
}
