//! How a connection is opened.
//!
//! Guarantees that what is opened can be asked, and that each step of that ends with `connect_timeout`: redis-rs leaves the
//! handshake of TLS to the first request.

use redis::{
    Client, Connection, ConnectionAddr, ConnectionInfo, ProtocolVersion, RedisResult, cmd,
};

use super::timeouts::Timeouts;

/// Opens a connection to a server.
pub(super) fn open(
    info: &ConnectionInfo,
    timeouts: Timeouts,
    protocol: Option<ProtocolVersion>,
) -> RedisResult<Connection> {
    let mut info = info.clone();
    if let Some(protocol) = protocol {
        let login = info.redis_settings().clone();
        info = info.set_redis_settings(login.set_protocol(protocol));
    }
    let is_tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
    let client = Client::open(info)?;
    let mut connection = client.get_connection_with_timeout(timeouts.connect)?;
    if is_tls {
        connection.set_read_timeout(Some(timeouts.connect))?;
        connection.set_write_timeout(Some(timeouts.connect))?;
        shake_hands(&mut connection)?;
    }
    connection.set_read_timeout(Some(timeouts.io))?;
    connection.set_write_timeout(Some(timeouts.io))?;
    Ok(connection)
}

/// The address of another host, which is spoken to like this one.
#[cfg(any(feature = "cluster", feature = "sentinel"))]
pub(super) fn elsewhere(address: &ConnectionAddr, host: String, port: u16) -> ConnectionAddr {
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

/// Has both sides agree on keys, and the server on our certificate, of which it tells behind the handshake.
fn shake_hands(connection: &mut Connection) -> RedisResult<()> {
    match cmd("PING").exec(connection) {
        // Whatever it says, it has come through.
        Err(error) if error.code().is_some() => Ok(()),
        done => done,
    }
}
