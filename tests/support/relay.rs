//! A fixed address that is moved to another server, as a DNS name or a virtual IP is after a
//! failover. Also a network that forgets connections, or breaks replies.
//!
//! It forwards bytes of any protocol. A connection stays with the server to which it was opened.

#![allow(dead_code, reason = "each user takes its own part")]

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use parking_lot::Mutex;

pub(crate) struct Relay {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// New connections are opened to these, in turn. None: they are closed at once.
    servers: Mutex<Vec<u16>>,
    opened: AtomicUsize,
    /// The bytes on the connections with a smaller number vanish.
    forgotten: AtomicUsize,
    /// The client's ends of all connections.
    clients: Mutex<Vec<TcpStream>>,
    broken: Mutex<Option<BrokenReplies>>,
}

/// How a reply breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    /// It ends in the middle of the named bytes, and the connection is closed.
    Cut,
    /// The named bytes are longer than the reply says.
    Garble,
}

/// The replies that break: those that contain these bytes.
struct BrokenReplies {
    with: &'static [u8],
    how: Break,
    /// Only the next one.
    once: bool,
}

impl Relay {
    pub(crate) fn to(server: u16) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            servers: Mutex::new(vec![server]),
            ..Shared::default()
        });
        let for_all = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let number = for_all.opened.fetch_add(1, SeqCst);
                let server = {
                    let servers = for_all.servers.lock();
                    (!servers.is_empty()).then(|| servers[number % servers.len()])
                };
                let Some(server) = server else { continue };
                if let Ok(server) = TcpStream::connect(("127.0.0.1", server)) {
                    pass_on_both_ways(&client, &server, number, &for_all);
                }
            }
        });
        Relay { port, shared }
    }

    /// The same for a server that may be a cluster of its own. It then announces this address.
    pub(crate) fn before(server: u16) -> Relay {
        let relay = Relay::to(server);
        if crate::support::alone::is_on() {
            crate::support::alone::announce(server, relay.port).unwrap();
        }
        relay
    }

    /// From now on, all bytes on the open connections vanish, and nobody sees the connections
    /// closed. New connections work.
    pub(crate) fn forget_connections(&self) {
        self.shared.forgotten.store(self.opened(), SeqCst);
    }

    /// Closes all open connections. New connections work.
    pub(crate) fn cut_connections(&self) {
        for client in self.shared.clients.lock().drain(..) {
            let _ = client.shutdown(Shutdown::Both);
        }
    }

    /// Breaks each reply that contains these bytes.
    pub(crate) fn break_replies(&self, with: &'static [u8], how: Break) {
        let once = false;
        *self.shared.broken.lock() = Some(BrokenReplies { with, how, once });
    }

    /// Breaks the next reply that contains these bytes.
    pub(crate) fn break_reply(&self, with: &'static [u8], how: Break) {
        let once = true;
        *self.shared.broken.lock() = Some(BrokenReplies { with, how, once });
    }

    /// From now on, breaks no reply.
    pub(crate) fn spare(&self) {
        *self.shared.broken.lock() = None;
    }

    /// New connections lead to this server. Open ones stay with theirs.
    pub(crate) fn move_to(&self, server: u16) {
        *self.shared.servers.lock() = vec![server];
    }

    /// New connections lead to these servers in turn; with none of them, nowhere.
    pub(crate) fn move_to_each(&self, servers: &[u16]) {
        *self.shared.servers.lock() = servers.to_vec();
    }

    /// How many connections have been opened.
    pub(crate) fn opened(&self) -> usize {
        self.shared.opened.load(SeqCst)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        crate::support::acl::url_at(self.port)
    }
}

fn pass_on_both_ways(client: &TcpStream, server: &TcpStream, number: usize, shared: &Arc<Shared>) {
    shared.clients.lock().push(client.try_clone().unwrap());
    for (from, to, replies) in [(client, server, false), (server, client, true)] {
        from.set_nodelay(true).unwrap();
        let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        let shared = Arc::clone(shared);
        thread::spawn(move || delegate(from, to, number, replies, &shared));
    }
}

/// Runs until either side closes. The other side then sees it.
fn delegate(mut from: TcpStream, mut to: TcpStream, number: usize, replies: bool, shared: &Shared) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if number < shared.forgotten.load(SeqCst) {
            continue;
        }
        let bytes = &buffer[..length];
        let broken = if replies { shared.broken(bytes) } else { None };
        let sent = match broken {
            None => to.write_all(bytes).is_ok(),
            Some((at, Break::Cut)) => {
                let _ = to.write_all(&bytes[..at]);
                false
            }
            Some((at, Break::Garble)) => to
                .write_all(&[&bytes[..at], b"!!", &bytes[at..]].concat())
                .is_ok(),
        };
        if !sent {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

impl Shared {
    /// Where these bytes of a reply break, and how: in the middle of the named bytes.
    fn broken(&self, bytes: &[u8]) -> Option<(usize, Break)> {
        let mut broken = self.broken.lock();
        let BrokenReplies { with, how, once } = broken.as_ref()?;
        let at = bytes.windows(with.len()).position(|at| at == *with)?;
        let found = (at + with.len() / 2, *how);
        if *once {
            *broken = None;
        }
        Some(found)
    }
}
