//! A new connection to a server, and what is known of that server.
//!
//! Used by `endpoint.rs` and `sentinel/`, which both open connections: the first to a fixed
//! address, the second to the address that the sentinels name.

use redis::ProtocolVersion;

use super::{
    address::{resolver::Resolver, server_address::ServerAddress},
    connect::{HelloOptions, Identified, open_and_identify},
    connection::Connection,
    error::unopened,
    server::{
        epoch::{Opening, ServerEpoch},
        identity::Role,
        info::ServerInfo,
    },
    timeouts::Timeouts,
};
use crate::{
    store::{Failure, FailureKind},
    telemetry::trace,
};

/// A new connection.
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    /// The epoch in which the connection was opened. If the connection already leads to a former
    /// server, this is not the current epoch.
    pub(crate) epoch: u64,
    /// The role that the server reported.
    pub(crate) role: Option<Role>,
    /// The value of `ServerEpoch::role_checks` before the connection was opened.
    pub(crate) role_checks: u64,
    pub(crate) server_info: Option<ServerInfo>,
}

/// The address that a connection leads to, and the name of the connection.
#[derive(Clone, Copy)]
pub(crate) struct Destination<'a> {
    pub(crate) address: &'a ServerAddress,
    pub(crate) client_name: &'a str,
    pub(crate) epoch: &'a ServerEpoch,
    pub(crate) opening: Opening,
    /// `None`: the address contains no host name.
    pub(crate) resolver: Option<&'a Resolver<Opening>>,
}

/// Opens a connection to the server at an address and asks for its identity. If `take` accepts its
/// role, the answer decides which server is the current one.
pub(crate) fn open_at(
    to: Destination<'_>,
    timeouts: Timeouts,
    protocol: Option<ProtocolVersion>,
    take: impl FnOnce(Option<Role>) -> Result<(), Failure>,
) -> Result<Opened, Failure> {
    let Destination {
        address,
        client_name,
        epoch,
        opening,
        resolver,
    } = to;
    let info = address.info();
    let failed = |error| unopened(error, info.redis_settings(), timeouts.connect);
    // A lookup that another caller began may be from before a move of the address. The stamp tells
    // what was known then.
    let (addresses, opening) = match resolver {
        Some(resolver) => {
            let found = resolver.look_up(opening, timeouts.connect);
            let (addresses, opening) = found.map_err(failed)?;
            (Some(addresses), opening)
        }
        None => (None, opening),
    };
    let options = HelloOptions {
        client_name,
        protocol: protocol.unwrap_or_else(|| info.redis_settings().protocol()),
        asks_for_run_id: epoch.asks_for_run_id(),
    };
    let opened = open_and_identify(address, addresses.as_deref(), timeouts, options);
    let (connection, greeted) = opened.map_err(failed)?;
    let Identified {
        server_info,
        identity,
        denies_run_id,
    } = greeted;
    if denies_run_id {
        epoch.run_id_is_denied();
    }
    let role = identity.role;
    take(role)?;
    let in_turn = |error| Failure::new(FailureKind::Unavailable, error);
    let before = epoch.current();
    let epoch = epoch.admit(opening, identity).map_err(in_turn)?;
    if epoch > before {
        let address = info.addr();
        trace::info!(
            "{address} leads to another server now; connections to the former one are closed"
        );
    }
    Ok(Opened {
        connection,
        epoch,
        role,
        role_checks: opening.role_checks,
        server_info,
    })
}
