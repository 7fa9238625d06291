//! The bytes of a connection, with or without TLS.
//!
//! Knows no replies. With TLS, the handshake is done within the first request.

use std::io::{self, Read, Write};
#[cfg(feature = "tls")]
use std::sync::Arc;

#[cfg(feature = "tls")]
use rustls::{ClientConnection, StreamOwned};

use super::socket::Socket;
use crate::redis::address::server_address::ServerAddress;

#[derive(Debug)]
pub(super) enum Stream {
    Plain(Socket),
    #[cfg(feature = "tls")]
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

impl Stream {
    #[cfg_attr(
        not(feature = "tls"),
        expect(clippy::unnecessary_wraps, reason = "with TLS it can fail")
    )]
    pub(super) fn new(socket: Socket, to: &ServerAddress) -> io::Result<Stream> {
        #[cfg(feature = "tls")]
        if let Some((config, host)) = to.tls() {
            let name = host.to_owned().try_into().map_err(io::Error::other)?;
            let tls = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
            return Ok(Stream::Tls(Box::new(StreamOwned::new(tls, socket))));
        }
        #[cfg(not(feature = "tls"))]
        let _ = to;
        Ok(Stream::Plain(socket))
    }

    pub(super) fn socket(&mut self) -> &mut Socket {
        match self {
            Stream::Plain(socket) => socket,
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => &mut stream.sock,
        }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.write_all(bytes),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => {
                stream.write_all(bytes)?;
                // A failure to send the last piece shows only here.
                stream.flush()
            }
        }
    }

    /// Reads what has arrived, or waits for the next bytes. 0: the connection was closed.
    pub(super) fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(bytes),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.read(bytes),
        }
    }

    /// Whether bytes have been decrypted and not read yet. Costs no system call.
    pub(super) fn holds_bytes(&mut self) -> bool {
        match self {
            Stream::Plain(_) => false,
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => {
                let state = stream.conn.process_new_packets();
                state.is_ok_and(|state| state.plaintext_bytes_to_read() > 0)
            }
        }
    }

    /// Whether [`read`](Stream::read) would not wait: there are bytes, or the connection was
    /// closed.
    pub(super) fn is_readable(&mut self) -> bool {
        match self {
            Stream::Plain(socket) => socket.is_readable(),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => {
                // What can be read may be a message of TLS itself.
                while stream.sock.is_readable() {
                    let StreamOwned { conn, sock } = &mut **stream;
                    if !matches!(conn.read_tls(sock), Ok(1..)) {
                        return true;
                    }
                    let Ok(state) = conn.process_new_packets() else {
                        return true;
                    };
                    if state.plaintext_bytes_to_read() > 0 || state.peer_has_closed() {
                        return true;
                    }
                }
                false
            }
        }
    }
}
