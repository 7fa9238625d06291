//! The socket of a connection, over TCP or in the file system.
//!
//! Guarantees that a request takes no longer than its limit, even if the other side sends or
//! accepts one byte now and then. Knows neither TLS nor replies.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

use redis::io::tcp::socket2::{SockRef, TcpKeepalive};

use super::limits::{Limits, too_slow};

#[derive(Debug)]
pub(super) struct Socket {
    kind: Kind,
    /// The longest time of a request.
    request: Duration,
    progress: Progress,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixStream),
}

/// What a request has done with the socket. The clock is read only from the third call on: a
/// request that is written in one piece and answered in one piece needs no clock, because each
/// call ends with the timeout of the socket.
#[derive(Debug, Clone, Copy)]
enum Progress {
    Begun,
    Continued,
    Since(Instant),
}

impl Socket {
    pub(super) fn tcp(
        address: SocketAddr,
        keepalive: &TcpKeepalive,
        connect: Duration,
    ) -> io::Result<Socket> {
        let tcp = TcpStream::connect_timeout(&address, connect)?;
        // Otherwise a request larger than a packet would wait for the server's delayed
        // acknowledgement.
        tcp.set_nodelay(true)?;
        SockRef::from(&tcp).set_tcp_keepalive(keepalive)?;
        Ok(Socket::new(Kind::Tcp(tcp)))
    }

    #[cfg(unix)]
    pub(super) fn unix(path: &Path, connect: Duration) -> io::Result<Socket> {
        use redis::io::tcp::socket2::{Domain, SockAddr, Socket as Socket2, Type};
        let socket = Socket2::new(Domain::UNIX, Type::STREAM, None)?;
        // It also limits the wait for a server that accepts no connections.
        socket.set_write_timeout(Some(connect))?;
        socket.connect(&SockAddr::unix(path)?)?;
        Ok(Socket::new(Kind::Unix(socket.into())))
    }

    #[cfg(not(unix))]
    pub(super) fn unix(_: &Path, _: Duration) -> io::Result<Socket> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn new(kind: Kind) -> Socket {
        Socket {
            kind,
            request: Duration::MAX,
            progress: Progress::Begun,
        }
    }

    pub(super) fn set_limits(&mut self, limits: Limits) -> io::Result<()> {
        self.request = limits.request;
        let io = Some(limits.io);
        match &self.kind {
            Kind::Tcp(tcp) => {
                tcp.set_read_timeout(io)?;
                tcp.set_write_timeout(io)
            }
            #[cfg(unix)]
            Kind::Unix(unix) => {
                unix.set_read_timeout(io)?;
                unix.set_write_timeout(io)
            }
        }
    }

    /// Begins a request.
    pub(super) fn begin(&mut self) {
        self.progress = Progress::Begun;
    }

    /// Fails if the request takes too long.
    fn check(&mut self) -> io::Result<()> {
        self.progress = match self.progress {
            Progress::Begun => Progress::Continued,
            Progress::Continued => Progress::Since(Instant::now()),
            Progress::Since(since) if since.elapsed() >= self.request => {
                return Err(too_slow(self.request));
            }
            since @ Progress::Since(_) => since,
        };
        Ok(())
    }

    /// Whether something can be read without a wait: bytes, or the end of the connection. Costs one
    /// system call.
    #[cfg(unix)]
    pub(super) fn is_readable(&self) -> bool {
        let socket = match &self.kind {
            Kind::Tcp(tcp) => SockRef::from(tcp),
            Kind::Unix(unix) => SockRef::from(unix),
        };
        let mut byte = [std::mem::MaybeUninit::uninit()];
        let peeked = socket.recv_with_flags(&mut byte, libc::MSG_PEEK | libc::MSG_DONTWAIT);
        !peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Elsewhere, one call cannot tell.
    #[cfg(not(unix))]
    pub(super) fn is_readable(&self) -> bool {
        false
    }
}

impl Read for Socket {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        match &mut self.kind {
            Kind::Tcp(tcp) => tcp.read(bytes),
            #[cfg(unix)]
            Kind::Unix(unix) => unix.read(bytes),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check()?;
        match &mut self.kind {
            Kind::Tcp(tcp) => tcp.write(bytes),
            #[cfg(unix)]
            Kind::Unix(unix) => unix.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const LIMITS: Limits = Limits {
        io: Duration::from_secs(10),
        request: Duration::from_secs(10),
        reply: 0,
    };

    /// A socket, and the other side.
    fn connected() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let keepalive = TcpKeepalive::new().with_time(LIMITS.io);
        let address = listener.local_addr().unwrap();
        let mut socket = Socket::tcp(address, &keepalive, LIMITS.io).unwrap();
        socket.set_limits(LIMITS).unwrap();
        (socket, listener.accept().unwrap().0)
    }

    #[cfg(unix)]
    #[test]
    fn a_socket_is_readable_when_bytes_or_the_end_have_arrived() {
        let (mut socket, mut other) = connected();
        assert!(!socket.is_readable());
        other.write_all(b"x").unwrap();
        assert!(socket.is_readable());
        assert!(socket.is_readable(), "the byte is still there");
        assert_eq!(socket.read(&mut [0; 8]).unwrap(), 1);
        assert!(!socket.is_readable());
        drop(other);
        assert!(socket.is_readable());
    }
}
