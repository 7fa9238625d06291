//! Opens a connection, and asks its server for its identity.
//!
//! Guarantees that the returned connection can send requests, and that each step of opening it ends
//! within `connect_timeout`. The steps include the lookup of the host name, which `resolver.rs`
//! limits, and the TLS handshake, which redis-rs leaves to the first request. Called by whatever
//! opens connections to servers and sentinels.

use std::{
    io,
    net::SocketAddr,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
};

use redis::{
    Client, Connection, ConnectionAddr, ConnectionInfo, ProtocolVersion, RedisConnectionInfo,
    RedisError, RedisResult, Value, cmd,
};

use super::{
    error,
    login::log_in,
    pipeline::{self, LARGE_REPLIES},
    resolver::too_late,
    server_identity::{Role, ServerIdentity},
    server_info::{ServerInfo, hello, hello_as, info},
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
    info: &ConnectionInfo,
    addresses: Option<&[SocketAddr]>,
    timeouts: Timeouts,
    options: HelloOptions<'_>,
) -> RedisResult<(Connection, Identified)> {
    let login = info.redis_settings().clone();
    let login = login.set_protocol(options.protocol);
    let info = info.clone().set_redis_settings(login);
    let mut connection = connect(&info, addresses, timeouts)?;
    let identified = identify(&mut connection, options)?;
    connection.set_read_timeout(Some(timeouts.io))?;
    connection.set_write_timeout(Some(timeouts.io))?;
    Ok((connection, identified))
}

/// Opens a connection on which each request ends with `connect_timeout`. With TLS the first request
/// ends the handshake. `addresses`: those of the host, if its name was looked up.
pub(crate) fn connect(
    info: &ConnectionInfo,
    addresses: Option<&[SocketAddr]>,
    timeouts: Timeouts,
) -> RedisResult<Connection> {
    match (info.addr(), addresses) {
        (ConnectionAddr::Tcp(_, port), Some(addresses)) => {
            connect_to_any(info, addresses, *port, timeouts)
        }
        (ConnectionAddr::TcpTls { .. }, Some(addresses)) => {
            connect_by_name(info, addresses.len(), timeouts)
        }
        _ => connect_to(info, timeouts),
    }
}

/// Connects to the address in `info`. Without a limit, if it contains a host name.
fn connect_to(info: &ConnectionInfo, timeouts: Timeouts) -> RedisResult<Connection> {
    let login = info.redis_settings();
    // With RESP3, the login is a part of the `HELLO` that redis-rs sends.
    let logs_in_here = login.protocol() == ProtocolVersion::RESP2;
    let mut info = info.clone().set_tcp_settings(timeouts.tcp_settings());
    if logs_in_here {
        let none = RedisConnectionInfo::default().set_skip_set_lib_name();
        info = info.set_redis_settings(none);
    }
    let mut connection = Client::open(info)?.get_connection_with_timeout(timeouts.connect)?;
    connection.set_read_timeout(Some(timeouts.connect))?;
    connection.set_write_timeout(Some(timeouts.connect))?;
    if logs_in_here {
        log_in(&mut connection, login)?;
    }
    Ok(connection)
}

/// Connects to the first of these addresses that accepts a connection.
fn connect_to_any(
    info: &ConnectionInfo,
    addresses: &[SocketAddr],
    port: u16,
    timeouts: Timeouts,
) -> RedisResult<Connection> {
    let mut refused = None;
    for address in addresses {
        let host = match address {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
            address => address.ip().to_string(),
        };
        let info = info.clone().set_addr(ConnectionAddr::Tcp(host, port));
        match connect_to(&info, timeouts) {
            Err(error) if is_unconnected(&error) => refused = Some(error),
            connected => return connected,
        }
    }
    // There is at least one address.
    Err(refused.unwrap_or_else(|| io::Error::from(io::ErrorKind::NotFound).into()))
}

/// Whether no connection was established. Once it is, another address of the same host is not
/// tried: a silent server would cost the same time again. A read that times out is `WouldBlock`.
fn is_unconnected(error: &RedisError) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof, WouldBlock};
    let kind = error::io_error(error).map(io::Error::kind);
    kind.is_some_and(|kind| {
        !matches!(
            kind,
            WouldBlock | UnexpectedEof | ConnectionReset | BrokenPipe
        )
    })
}

/// Connects to a host whose certificate must be for its name. redis-rs then looks the name up
/// itself, without a limit, so it does that on a separate thread. The lookup before this one ended
/// in time, so this one is expected to. If it does not, the thread ends with the lookup.
fn connect_by_name(
    info: &ConnectionInfo,
    addresses: usize,
    timeouts: Timeouts,
) -> RedisResult<Connection> {
    let (sender, opened) = mpsc::sync_channel(1);
    let to = info.clone();
    let thread = thread::Builder::new().name("cache-aside-connect".to_owned());
    let started = thread.spawn(move || {
        // Fails if the caller no longer waits. The connection is closed then.
        let _ = sender.send(connect_to(&to, timeouts));
    });
    if started.is_err() {
        // The system has no threads. The lookup has just been fast, so it is now.
        return connect_to(info, timeouts);
    }
    // One for the lookup, one for each address, one for the first answer.
    let steps = u32::try_from(addresses)
        .unwrap_or(u32::MAX)
        .saturating_add(2);
    match opened.recv_timeout(timeouts.connect.saturating_mul(steps)) {
        Ok(opened) => opened,
        Err(RecvTimeoutError::Timeout) => Err(too_late(timeouts.connect)),
        Err(RecvTimeoutError::Disconnected) => {
            Err(io::Error::other("the client library panicked").into())
        }
    }
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
    let mut replies = pipeline::stream(connection, LARGE_REPLIES, requests.into_iter().flatten())?;
    if replies.first().is_some_and(refuses_name) {
        // A proxy may know `HELLO`, but not `SETNAME`. The identity of the server matters more than
        // the name.
        let plain = std::iter::once(hello(protocol));
        let again = pipeline::stream(connection, LARGE_REPLIES, plain)?;
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

/// The address of another host, with the same protocol as this one.
#[cfg(any(feature = "cluster", feature = "sentinel"))]
pub(crate) fn elsewhere(address: &ConnectionAddr, host: String, port: u16) -> ConnectionAddr {
    match address.clone() {
        ConnectionAddr::TcpTls {
            insecure,
            tls_params,
            ..
        } => ConnectionAddr::TcpTls {
            host,
            port,
            insecure,
            tls_params,
        },
        _ => ConnectionAddr::Tcp(host, port),
    }
}
