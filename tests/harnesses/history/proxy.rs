//! The network between one process and the server of the cache.
//!
//! A request that is held back still arrives after its client has given up and closed. The server's
//! end of the connection stays open until everything has been delivered, and unwanted replies are
//! read.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use crate::{
    random::Random,
    wire::{Rewriter, Swap},
};

/// Decides the fault of each piece that passes.
pub(crate) trait Faults: Send + Sync + 'static {
    /// The fault of this piece, if there is one.
    fn fault(&self, direction: Direction, piece: &[u8], random: &mut Random) -> Option<Fault>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Request,
    Reply,
}

/// What happens to a piece.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It passes after a delay.
    Delay(Duration),
    /// This many bytes pass at once, the others after a delay.
    Split(usize, Duration),
    /// This many bytes pass, then the connection is cut.
    Cut(usize),
}

/// Listens until this process ends.
pub(crate) struct Proxy {
    port: u16,
}

impl Proxy {
    /// Creates a proxy. A new connection leads to the present port of the address. An open one
    /// stays where it is.
    pub(crate) fn before(
        address: &Arc<AtomicU16>,
        faults: &Arc<impl Faults>,
        swaps: &[Swap],
        seed: u64,
    ) -> io::Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let (address, faults, swaps) = (Arc::clone(address), Arc::clone(faults), swaps.to_vec());
        thread::Builder::new().spawn(move || {
            let clients = listener.incoming().map_while(Result::ok);
            for (client, number) in clients.zip(0_u64..) {
                let server = address.load(SeqCst);
                // A connection that cannot be carried is dropped, so the client notices.
                let _ = carry(client, server, &faults, &swaps, seed.wrapping_add(number));
            }
        })?;
        Ok(Proxy { port })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

/// Carries one connection in two threads.
fn carry(
    client: TcpStream,
    server: u16,
    faults: &Arc<impl Faults>,
    swaps: &[Swap],
    seed: u64,
) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", server))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let requests = Lane {
        from: client.try_clone()?,
        to: server.try_clone()?,
        direction: Direction::Request,
        faults: Arc::clone(faults),
        rewriter: Rewriter::new(swaps.to_vec()),
        random: Random::new(seed, 1),
    };
    let replies = Lane {
        from: server,
        to: client,
        direction: Direction::Reply,
        faults: Arc::clone(faults),
        rewriter: Rewriter::new(Vec::new()),
        random: Random::new(seed, 2),
    };
    for mut lane in [requests, replies] {
        thread::Builder::new().spawn(move || {
            // Either side may end it, or a cut. Nobody needs to know.
            let _ = lane.run();
        })?;
    }
    Ok(())
}

/// One direction of a connection.
struct Lane<F> {
    from: TcpStream,
    to: TcpStream,
    direction: Direction,
    faults: Arc<F>,
    rewriter: Rewriter,
    random: Random,
}

impl<F: Faults> Lane<F> {
    fn run(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 14];
        loop {
            let length = self.from.read(&mut buffer)?;
            if length == 0 {
                // The server handles the requests that it got, and then closes. The client gets no
                // more.
                return match self.direction {
                    Direction::Request => self.to.shutdown(Shutdown::Write),
                    Direction::Reply => self.cut(),
                };
            }
            let fault = self
                .faults
                .fault(self.direction, &buffer[..length], &mut self.random);
            let piece = self.rewriter.pass(&buffer[..length]);
            let passed = match fault {
                None => self.to.write_all(&piece),
                Some(fault) => self.suffer(&fault, &piece),
            };
            if let Err(failure) = passed {
                // The server is not disturbed if the client is gone: bytes under way to it still
                // arrive.
                if self.direction == Direction::Request {
                    self.cut()?;
                    return Err(failure);
                }
            }
        }
    }

    fn suffer(&mut self, fault: &Fault, piece: &[u8]) -> io::Result<()> {
        match *fault {
            Fault::Delay(delay) => {
                thread::sleep(delay);
                self.to.write_all(piece)
            }
            Fault::Split(at, delay) => {
                let (now, later) = piece.split_at(at.min(piece.len()));
                self.to.write_all(now)?;
                thread::sleep(delay);
                self.to.write_all(later)
            }
            Fault::Cut(at) => {
                let passed = self.to.write_all(&piece[..at.min(piece.len())]);
                self.cut()?;
                passed
            }
        }
    }

    fn cut(&self) -> io::Result<()> {
        let from = self.from.shutdown(Shutdown::Both);
        self.to.shutdown(Shutdown::Both).and(from)
    }
}
