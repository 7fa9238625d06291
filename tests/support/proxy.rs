//! A proxy between a cache and its server. It harms the requests and replies that the test names.
//!
//! It forwards whole requests, one at a time on a connection, each with its whole reply, however
//! they are split. So a harm hits exactly what it names. A request is all that the client sends
//! before it waits: one command or a pipeline. The first request of a new connection (HELLO) is
//! harmed only where that is named: connections are also opened beside the calls of a test, to
//! check whether the address leads to another server.

#![allow(dead_code, reason = "each user takes its own part")]

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

/// What happens to a request or to its reply.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Harm {
    /// The client is cut off, and the server never gets the request.
    CutBefore,
    /// The server gets the first half of the request, then both are cut off.
    CutInRequest,
    /// The server does the request, and the client is cut off before the reply.
    CutBeforeReply,
    /// The client gets the first half of the reply and is cut off.
    CutInReply,
    /// The client gets the reply without its last byte and is cut off.
    CutAtLastByte,
    /// The client gets the first half of the reply, and then nothing more.
    StallInReply,
    /// The client is cut off, and the server gets the request when it is let through.
    CutAndHold,
    /// The client gets nothing, and the server gets the request when it is let through.
    Hold,
    /// The server does the request, and the client gets this for each reply.
    Replace(&'static [u8]),
    /// The request and the reply are each delayed by this time.
    Delay(Duration),
    /// Request and reply come in single bytes.
    Split,
    /// The reply comes in pieces of this many bytes, with this much time after each.
    Dribble(usize, Duration),
}

/// Which requests are harmed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which {
    /// All but those that open a connection, until the proxy is told to stop.
    Each,
    /// One: the first, the second, and so on, from now on, without those that open a connection.
    Nth(usize),
    /// As `Each`, from the first, the second, and so on.
    From(usize),
    /// One: the next that contains these bytes.
    With(&'static [u8]),
    /// All that contain these bytes, until the proxy is told to stop.
    EachWith(&'static [u8]),
}

/// Listens for as long as the test runs.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// The port that new connections lead to.
    server: AtomicU16,
    orders: Mutex<Option<(Which, Harm)>>,
    /// In the order in which they came.
    held: Mutex<Vec<Held>>,
    /// How many connections have been opened.
    opened: AtomicUsize,
    /// On the connections with a smaller number, everything vanishes.
    forgotten: AtomicUsize,
    /// Clients that get nothing more. They are kept, because a dropped stream closes the
    /// connection.
    stalled: Mutex<Vec<TcpStream>>,
}

/// A request that the server has not got yet.
struct Held {
    client: TcpStream,
    server: TcpStream,
    request: Vec<u8>,
}

impl Proxy {
    pub(crate) fn before(server: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if crate::support::alone::is_on() {
            crate::support::alone::announce(server, port).unwrap();
        }
        let shared = Arc::new(Shared {
            server: AtomicU16::new(server),
            ..Shared::default()
        });
        let for_all = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&for_all);
                let server = shared.server.load(SeqCst);
                // Where the server is away, the client is cut off.
                if let Ok(server) = TcpStream::connect(("127.0.0.1", server)) {
                    thread::spawn(move || carry(client, server, &shared));
                }
            }
        });
        Proxy { port, shared }
    }

    pub(crate) fn url(&self) -> String {
        crate::support::acl::url_at(self.port)
    }

    /// New connections lead to this server. Open ones stay with theirs.
    pub(crate) fn move_to(&self, server: u16) {
        self.shared.server.store(server, SeqCst);
    }

    /// From now on harms these requests, and no others.
    pub(crate) fn harm(&self, which: Which, harm: Harm) {
        *self.shared.orders.lock().unwrap() = Some((which, harm));
    }

    /// From now on, everything on the open connections vanishes, as if a NAT had forgotten them.
    pub(crate) fn forget_connections(&self) {
        let opened = self.shared.opened.load(SeqCst);
        self.shared.forgotten.store(opened, SeqCst);
    }

    /// From now on harms none. A held request stays held.
    pub(crate) fn spare(&self) {
        *self.shared.orders.lock().unwrap() = None;
    }

    /// Whether the one request that was to be harmed has come.
    pub(crate) fn has_harmed(&self) -> bool {
        self.shared.orders.lock().unwrap().is_none()
    }

    /// Lets the held requests through, in the order of their arrival, and returns when the server
    /// has done them. Returns their number.
    pub(crate) fn let_through(&self) -> usize {
        let held = std::mem::take(&mut *self.shared.held.lock().unwrap());
        let count = held.len();
        for mut held in held {
            held.server.write_all(&held.request).unwrap();
            let reply = whole(&mut held.server, commands(&held.request)).unwrap();
            // The client has most likely gone.
            let _ = held.client.write_all(&reply);
        }
        count
    }
}

impl Shared {
    /// What is to happen to this request.
    fn harm_to(&self, request: &[u8]) -> Option<Harm> {
        let mut orders = self.orders.lock().unwrap();
        let (which, harm) = (*orders)?;
        // `*4\r\n$5\r\nHELLO\r\n…`. A user logs in before that.
        let first = request.splitn(3, |byte| *byte == b'\n').nth(2);
        let is_greeting = first
            .is_some_and(|name| name.starts_with(b"HELLO\r\n") || name.starts_with(b"AUTH\r\n"));
        let (hit, next) = match which {
            Which::Each | Which::Nth(_) | Which::From(_) if is_greeting => return None,
            Which::Each => (true, Some(which)),
            Which::Nth(1) => (true, None),
            Which::Nth(n) => (false, Some(Which::Nth(n - 1))),
            Which::From(1) => (true, Some(Which::Each)),
            Which::From(n) => (false, Some(Which::From(n - 1))),
            Which::With(bytes) => {
                let hit = contains(request, bytes);
                (hit, (!hit).then_some(which))
            }
            Which::EachWith(bytes) => (contains(request, bytes), Some(which)),
        };
        *orders = next.map(|which| (which, harm));
        hit.then_some(harm)
    }
}

fn contains(request: &[u8], bytes: &[u8]) -> bool {
    request.windows(bytes.len()).any(|at| at == bytes)
}

/// Forwards one client's requests until either side closes. Then both connections are closed,
/// except those that are held or stalled.
fn carry(mut client: TcpStream, mut server: TcpStream, shared: &Shared) {
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
    }
    let number = shared.opened.fetch_add(1, SeqCst);
    while let Some(request) = whole(&mut client, 1) {
        if number < shared.forgotten.load(SeqCst) {
            shared.stalled.lock().unwrap().push(client);
            return;
        }
        let harm = shared.harm_to(&request);
        match harm {
            Some(Harm::CutBefore) => return,
            Some(Harm::CutInRequest) => {
                let _ = server.write_all(&request[..request.len() / 2]);
                return;
            }
            Some(Harm::CutAndHold | Harm::Hold) => {
                // Under the lock, so that a test that has seen the cut finds the request held.
                let mut held = shared.held.lock().unwrap();
                if matches!(harm, Some(Harm::CutAndHold)) {
                    let _ = client.shutdown(Shutdown::Both);
                }
                held.push(Held {
                    client,
                    server,
                    request,
                });
                return;
            }
            _ => {}
        }
        let sent = send(&mut server, &request, harm);
        let Some(reply) = sent.and_then(|()| whole(&mut server, commands(&request))) else {
            return;
        };
        let half = reply.len() / 2;
        let sent = match harm {
            Some(Harm::CutBeforeReply) => return,
            Some(Harm::CutInReply) => {
                let _ = client.write_all(&reply[..half]);
                return;
            }
            Some(Harm::CutAtLastByte) => {
                let _ = client.write_all(&reply[..reply.len() - 1]);
                return;
            }
            Some(Harm::StallInReply) => {
                let _ = client.write_all(&reply[..half]);
                shared.stalled.lock().unwrap().push(client);
                return;
            }
            Some(Harm::Replace(nonsense)) => {
                let replies = nonsense.repeat(commands(&request));
                client.write_all(&replies).ok()
            }
            Some(Harm::Dribble(piece, pause)) => {
                let mut pieces = reply.chunks(piece);
                let sent = pieces.try_for_each(|piece| {
                    let sent = client.write_all(piece);
                    thread::sleep(pause);
                    sent
                });
                sent.ok()
            }
            harm => send(&mut client, &reply, harm),
        };
        if sent.is_none() {
            return;
        }
    }
}

fn send(to: &mut TcpStream, bytes: &[u8], harm: Option<Harm>) -> Option<()> {
    let pieces = match harm {
        Some(Harm::Split) => 1,
        Some(Harm::Delay(by)) => {
            thread::sleep(by);
            bytes.len()
        }
        _ => bytes.len(),
    };
    let mut pieces = bytes.chunks(pieces);
    pieces.try_for_each(|piece| to.write_all(piece)).ok()
}

/// Reads at least this many whole commands or replies; `None` if the other side closes before.
fn whole(from: &mut TcpStream, least: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match from.read(&mut buffer) {
            Ok(length @ 1..) => bytes.extend_from_slice(&buffer[..length]),
            _ => return None,
        }
        if count(&bytes).is_some_and(|count| count >= least) {
            return Some(bytes);
        }
    }
}

/// How many replies a request gets.
fn commands(request: &[u8]) -> usize {
    count(request).expect("a whole request")
}

/// The number of commands or replies in these bytes of RESP2; `None` if the last one is incomplete.
fn count(bytes: &[u8]) -> Option<usize> {
    let (mut rest, mut count, mut inner) = (bytes, 0, 0);
    while !rest.is_empty() {
        if inner == 0 {
            count += 1;
            inner = 1;
        }
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let line = &rest[1..end];
        // -1 means null.
        let number = || std::str::from_utf8(line).ok()?.parse::<usize>().ok();
        let mut length = end + 2;
        inner -= 1;
        match rest[0] {
            b'*' => inner += number().unwrap_or(0),
            b'$' => length += number().map_or(0, |bytes| bytes + 2),
            _ => {}
        }
        rest = rest.get(length..)?;
    }
    (inner == 0).then_some(count)
}
