//! A proxy before a Redis server that knows which reply answers which command, and gives an
//! [`Interceptor`] the choice of what the client gets instead.
//!
//! It takes one command at a time to the server, also those of a pipeline, and waits for the reply.
//! What it answers itself, because the server behind it is no cluster and no Sentinel, is in
//! `roles.rs`. No user code runs under its locks.

use std::{
    collections::HashMap,
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use crate::{
    roles::{Conversation, Roles},
    scanner::{self, Malformed},
    steps::{self, Step},
};

/// How long the connection of a listener waits for a command before it looks for pushes.
const GLANCE: Duration = Duration::from_millis(3);

/// A client that reads nothing for this long is cut off.
const PATIENCE: Duration = Duration::from_secs(30);

/// A reply that is on its way to the client.
pub(crate) struct Asked<'a> {
    pub(crate) connection: u64,
    /// The point of the protocol: see [`Conversation::point`].
    pub(crate) point: &'a str,
    /// The command. Empty for a push.
    pub(crate) words: &'a [Vec<u8>],
    /// The right reply.
    pub(crate) right: &'a [u8],
    /// Whether no further command of the same pipeline waits for its reply.
    pub(crate) is_last: bool,
    /// Where the client has reached the server.
    pub(crate) port: u16,
}

/// Decides what clients get.
pub(crate) trait Interceptor: Send + Sync + 'static {
    /// What the client gets instead. `None`: the right reply.
    fn instead(&self, asked: &Asked<'_>) -> Option<Vec<Step>>;

    /// The client has sent a request on this connection, after it got the replies to the former.
    fn asked(&self, _connection: u64, _words: &[Vec<u8>]) {}

    /// This connection has ended.
    fn ended(&self, _connection: u64) {}
}

/// Listens for as long as the process runs.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    pub(crate) port: u16,
    #[cfg_attr(
        not(feature = "sentinel"),
        allow(dead_code, reason = "nobody asks a Sentinel")
    )]
    pub(crate) sentinel_port: u16,
}

struct Shared {
    server: u16,
    roles: Mutex<Roles>,
    interceptor: Arc<dyn Interceptor>,
    opened: AtomicU64,
    clients: Mutex<HashMap<u64, TcpStream>>,
    /// How many replies with a pause are being sent.
    pausing: Mutex<usize>,
    paused: Condvar,
}

impl Proxy {
    /// Starts a proxy before the server at this port. It has two ports, which lead to the same
    /// server: a Sentinel names the other one.
    pub(crate) fn before(server: u16, interceptor: Arc<dyn Interceptor>) -> io::Result<Proxy> {
        let listeners = [0, 0].map(|_| TcpListener::bind("127.0.0.1:0"));
        let [main, sentinel] = listeners;
        let (main, sentinel) = (main?, sentinel?);
        let (port, sentinel_port) = (main.local_addr()?.port(), sentinel.local_addr()?.port());
        let shared = Arc::new(Shared {
            server,
            roles: Mutex::default(),
            interceptor,
            opened: AtomicU64::new(0),
            clients: Mutex::default(),
            pausing: Mutex::new(0),
            paused: Condvar::new(),
        });
        for listener in [main, sentinel] {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                for client in listener.incoming().map_while(Result::ok) {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || {
                        let number = shared.opened.fetch_add(1, SeqCst);
                        // Either side may end it. Nobody needs to know.
                        let _ = carry(client, &shared, number, port);
                        shared.clients.lock().remove(&number);
                        shared.interceptor.ended(number);
                    });
                }
            });
        }
        Ok(Proxy {
            shared,
            port,
            sentinel_port,
        })
    }

    /// From now on the server plays these roles.
    pub(crate) fn play(&self, roles: Roles) {
        *self.shared.roles.lock() = roles;
    }

    /// Ends all connections.
    pub(crate) fn cut_all(&self) {
        for client in self.shared.clients.lock().values() {
            let _ = client.shutdown(Shutdown::Both);
        }
    }

    /// Waits until no reply with a pause is being sent, but not for ever.
    pub(crate) fn settle(&self, within: Duration) {
        let mut pausing = self.shared.pausing.lock();
        let _ = self
            .shared
            .paused
            .wait_while_for(&mut pausing, |pausing| *pausing > 0, within);
    }
}

impl Shared {
    fn send(&self, client: &mut TcpStream, steps: Vec<Step>) -> io::Result<()> {
        let pauses = steps.iter().any(|step| matches!(step, Step::Pause(_)));
        *self.pausing.lock() += usize::from(pauses);
        let sent = steps::play(client, steps);
        *self.pausing.lock() -= usize::from(pauses);
        self.paused.notify_all();
        sent
    }
}

struct Lane<'a> {
    client: TcpStream,
    server: TcpStream,
    shared: &'a Shared,
    number: u64,
    port: u16,
    talk: Conversation,
    /// What has arrived from each side and is not used yet.
    requests: Vec<u8>,
    replies: Vec<u8>,
}

fn carry(client: TcpStream, shared: &Shared, number: u64, port: u16) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", shared.server))?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    client.set_write_timeout(Some(PATIENCE))?;
    shared.clients.lock().insert(number, client.try_clone()?);
    let mut lane = Lane {
        client,
        server,
        shared,
        number,
        port,
        talk: Conversation::default(),
        requests: Vec::new(),
        replies: Vec::new(),
    };
    while let Some(words) = lane.next_command()? {
        lane.answer(&words)?;
    }
    Ok(())
}

impl Lane<'_> {
    fn next_command(&mut self) -> io::Result<Option<Vec<Vec<u8>>>> {
        // The later commands of a pipeline are no new request.
        let is_new = self.requests.is_empty();
        loop {
            if let Some((words, length)) = scanner::command(&self.requests).map_err(wrong)? {
                self.requests.drain(..length);
                if is_new {
                    self.shared.interceptor.asked(self.number, &words);
                }
                return Ok(Some(words));
            }
            let glance = self.talk.is_tracking.then_some(GLANCE);
            self.client.set_read_timeout(glance)?;
            match read(&mut self.client, &mut self.requests) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if is_late(&error) => self.pass_pushes()?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends what the server has pushed meanwhile.
    fn pass_pushes(&mut self) -> io::Result<()> {
        self.server
            .set_read_timeout(Some(Duration::from_millis(1)))?;
        match read(&mut self.server, &mut self.replies) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if is_late(&error) => {}
            Err(error) => return Err(error),
        }
        self.server.set_read_timeout(None)?;
        while self.replies.first() == Some(&b'>')
            && let Some(end) = scanner::reply_end(&self.replies).map_err(wrong)?
        {
            let push: Vec<_> = self.replies.drain(..end).collect();
            self.pass("push", &[], &push)?;
        }
        Ok(())
    }

    fn answer(&mut self, words: &[Vec<u8>]) -> io::Result<()> {
        let roles = *self.shared.roles.lock();
        let point = self.talk.point(words);
        let own = roles.answer(&self.talk, words, self.port);
        let right = if let Some(own) = own {
            own
        } else {
            steps::send_command(&mut self.server, words)?;
            let reply = self.server_reply()?;
            roles.rewritten(&point, reply)
        };
        self.talk.answered(&point);
        self.pass(&point, words, &right)
    }

    fn server_reply(&mut self) -> io::Result<Vec<u8>> {
        loop {
            while let Some(end) = scanner::reply_end(&self.replies).map_err(wrong)? {
                let reply: Vec<_> = self.replies.drain(..end).collect();
                if reply.first() != Some(&b'>') {
                    return Ok(reply);
                }
                self.pass("push", &[], &reply)?;
            }
            if read(&mut self.server, &mut self.replies)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn pass(&mut self, point: &str, words: &[Vec<u8>], right: &[u8]) -> io::Result<()> {
        let asked = Asked {
            connection: self.number,
            point,
            words,
            right,
            is_last: self.requests.is_empty(),
            port: self.port,
        };
        match self.shared.interceptor.instead(&asked) {
            None => self.client.write_all(right),
            Some(steps) => self.shared.send(&mut self.client, steps),
        }
    }
}

/// Reads behind what is there. Returns how much.
fn read(from: &mut impl Read, into: &mut Vec<u8>) -> io::Result<usize> {
    let mut buffer = [0; 1 << 14];
    let length = from.read(&mut buffer)?;
    into.extend_from_slice(&buffer[..length]);
    Ok(length)
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn wrong(_: Malformed) -> io::Error {
    ErrorKind::InvalidData.into()
}
