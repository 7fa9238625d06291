//! Opens a connection, and asks its server for its identity.
//!
//! Guarantees that the returned connection can send requests, and that each step of opening it ends
//! within `connect_timeout`. The steps include the lookup of the host name, which `resolver.rs`
//! limits, and the TLS handshake, which is a part of the first request. Called by whatever opens
//! connections to servers and sentinels.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use redis::{ConnectionAddr, ProtocolVersion, RedisError, RedisResult, Value, cmd};

use super::{
    address::server_address::ServerAddress,
    connection::Connection,
    error,
    login::log_in,
    pipeline::{self, FIRST_REQUESTS},
    server::{
        identity::{Role, ServerIdentity},
        info::{ServerInfo, hello, hello_as, info},
    },
    timeouts::Timeouts,
};

/// What the first request on a connection contains.
#[derive(Clone, Copy)]
pub(crate) struct HelloOptions<'a> {
    /// The name of the connection.
    pub(crate) client_name: &'a str,
    pub(crate) protocol: ProtocolVersion,
    pub(crate) asks_for_run_id: bool,
}

/// The reply of a server when a connection to it was opened.
pub(crate) struct Identified {
    /// `None`: the reply was not understood.
    pub(crate) server_info: Option<ServerInfo>,
    pub(crate) identity: ServerIdentity,
    /// Whether the server was asked for its `run_id` but did not report it: the user may lack
    /// permission.
    pub(crate) denies_run_id: bool,
}

/// Opens a connection to a server, and asks for its identity in one round trip. The TLS handshake
/// ends with that request. Fails if the server cannot answer `INFO` now: without a `run_id`, one
/// server could not be distinguished from another. If the user has no permission to ask, it still
/// returns a connection. `addresses`: those of the host, if its name was looked up.
pub(crate) fn open_and_identify(
    to: &ServerAddress,
    addresses: Option<&[SocketAddr]>,
    timeouts: Timeouts,
    options: HelloOptions<'_>,
) -> RedisResult<(Connection, Identified)> {
    let mut connection = connect(to, addresses, timeouts, options.protocol)?;
    let identified = identify(&mut connection, options)?;
    connection.set_limits(timeouts.of_requests())?;
    Ok((connection, identified))
}

/// Opens a connection on which each request ends with `connect_timeout`. With TLS the first request
/// ends the handshake. `addresses`: those of the host, if its name was looked up.
pub(crate) fn connect(
    to: &ServerAddress,
    addresses: Option<&[SocketAddr]>,
    timeouts: Timeouts,
    protocol: ProtocolVersion,
) -> RedisResult<Connection> {
    let mut connection = connect_to_any(to, addresses, timeouts)?;
    let login = to.info().redis_settings().clone();
    log_in(&mut connection, &login.set_protocol(protocol))?;
    Ok(connection)
}

/// Connects to the first address of the host that accepts a connection. Once there is one, another
/// address is not tried: a silent server would cost the same time again.
fn connect_to_any(
    to: &ServerAddress,
    addresses: Option<&[SocketAddr]>,
    timeouts: Timeouts,
) -> RedisResult<Connection> {
    let (host, port) = match to.info().addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            (host, *port)
        }
        _ => return Connection::open(to, None, timeouts),
    };
    let number = [host
        .parse::<IpAddr>()
        .map(|number| SocketAddr::new(number, port))];
    let number = number.iter().flatten().copied();
    let addresses = addresses.unwrap_or_default().iter().copied().chain(number);
    let mut refused = None;
    for mut address in addresses {
        address.set_port(port);
        match Connection::open(to, Some(address), timeouts) {
            Ok(connection) => return Ok(connection),
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.unwrap_or_else(|| io::Error::from(io::ErrorKind::NotFound).into()))
}

fn identify(connection: &mut Connection, options: HelloOptions<'_>) -> RedisResult<Identified> {
    let HelloOptions {
        client_name,
        protocol,
        asks_for_run_id,
    } = options;
    // The name is part of this request, because every user may send it. `CLIENT SETNAME` takes a
    // permission.
    let hello_as = hello_as(protocol, client_name);
    let requests = [Some(hello_as), asks_for_run_id.then(info)];
    let mut replies = pipeline::stream(connection, FIRST_REQUESTS, requests.into_iter().flatten())?;
    if replies.first().is_some_and(refuses_name) {
        // A proxy may know `HELLO`, but not `SETNAME`. The identity of the server matters more than
        // the name.
        let plain = std::iter::once(hello(protocol));
        let again = pipeline::stream(connection, FIRST_REQUESTS, plain)?;
        replies.splice(..1, again);
    }
    let (hello_reply, info_reply) = (replies.first(), replies.get(1));
    let server_info = ServerInfo::of_both(
        hello_reply.and_then(ServerInfo::of_hello),
        info_reply.and_then(ServerInfo::of_info),
    );
    let mut identity = server_info
        .as_ref()
        .map(ServerInfo::identity)
        .unwrap_or_default();
    if hello_reply.is_some_and(is_unknown_command) {
        // The server does not know `HELLO`, or the command was renamed. Asking for the role costs
        // one more round trip.
        identity.role = role(connection)?;
    }
    if let Some(error) = info_reply
        .and_then(error::in_reply)
        .filter(|error| !is_denial(error))
    {
        return Err(error);
    }
    Ok(Identified {
        denies_run_id: asks_for_run_id && identity.run_id.is_none(),
        server_info,
        identity,
    })
}

/// Asks the server of an open connection for its present role.
pub(crate) fn role_now(
    connection: &mut Connection,
    protocol: ProtocolVersion,
) -> RedisResult<Option<Role>> {
    match hello(protocol).query(connection) {
        Err(error) if error::is_unknown_command(&error) => role(connection),
        reply => Ok(ServerInfo::of_hello(&reply?).and_then(|info| info.identity().role)),
    }
}

/// Asks for the role by `ROLE`, which a user may be denied.
fn role(connection: &mut Connection) -> RedisResult<Option<Role>> {
    let state: Vec<Value> = match cmd("ROLE").query(connection) {
        Err(error) if error::is_refusal(&error) => return Ok(None),
        state => state?,
    };
    let role = state.into_iter().next().unwrap_or(Value::Nil);
    let role: Option<String> = redis::from_redis_value(role)?;
    Ok(role.and_then(|role| Role::named(&role)))
}

/// Whether the server would refuse again next time. A busy server, in contrast, would answer.
fn is_denial(error: &RedisError) -> bool {
    error.code() == Some("NOPERM") || error::is_unknown_command(error)
}

/// Whether the server refused the name of the connection, as far as the reply tells. A proxy may
/// refuse it with any code.
fn refuses_name(reply: &Value) -> bool {
    error::in_reply(reply).is_some_and(|error| {
        let is_login = matches!(error.code(), Some("NOAUTH" | "WRONGPASS"));
        !is_login && !error::is_unknown_command(&error)
    })
}

fn is_unknown_command(reply: &Value) -> bool {
    error::in_reply(reply).is_some_and(|error| error::is_unknown_command(&error))
}
