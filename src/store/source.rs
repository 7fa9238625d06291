//! Where connections come from, and how one is opened.
//!
//! Guarantees that what is opened can be asked, and that each step of that ends with `connect_timeout`: redis-rs leaves the
//! handshake of TLS to the first request.

use redis::{Client, Connection, ConnectionAddr, RedisResult, cmd};

use super::connection::Timeouts;

/// Opens a connection to a server.
pub(super) fn open(client: &Client, timeouts: Timeouts) -> RedisResult<Connection> {
    let mut connection = client.get_connection_with_timeout(timeouts.connect)?;
    let info = client.get_connection_info();
    if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        connection.set_read_timeout(Some(timeouts.connect))?;
        connection.set_write_timeout(Some(timeouts.connect))?;
        shake_hands(&mut connection)?;
    }
    connection.set_read_timeout(Some(timeouts.io))?;
    connection.set_write_timeout(Some(timeouts.io))?;
    Ok(connection)
}

/// Has both sides agree on keys, and the server on our certificate, of which it tells behind the handshake.
fn shake_hands(connection: &mut Connection) -> RedisResult<()> {
    match cmd("PING").exec(connection) {
        // Whatever it says, it has come through.
        Err(error) if error.code().is_some() => Ok(()),
        done => done,
    }
}
