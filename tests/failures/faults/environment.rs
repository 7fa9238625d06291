//! The environment of a row of the table: a private server, and for each call a cache, a record
//! and, if the wire is at fault, a proxy of its own.

use std::{
    convert::Infallible,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{Sender, TryRecvError, channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use cache_aside::{Cache, Error, Lookup, Redis, store::Keys};
use redis::Connection;
use serde::{Deserialize, Serialize};

use crate::{
    clock::leave_a_lease,
    proxy::{Harm, Proxy, Which},
    support::{Server, acl, until_recovered},
};

/// Each timeout of a cache, where a row is about timeouts: short enough for a test, long enough for
/// a working server on a busy machine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(1);

/// How long a fault lasts that cannot be ended early: longer than two requests and a lookup wait.
pub(crate) const LASTING: Duration = Duration::from_secs(8);

/// A timeout, where no call should ever wait for one. A call that does is detected.
pub(crate) const NEVER: Duration = Duration::from_secs(5);

/// Short, because after some faults a lease stays until it lapses.
const LEASE_TTL: Duration = Duration::from_millis(300);

const PREFIX: &str = "test:";

/// Every record contains this, and no message may.
pub(crate) const NAME: &str = "Sourdough";

/// Another record than that of a call. Its reply is cut.
const CUT: &str = "cut";

/// The connection of the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// A connection to the server.
    Direct,
    /// The same, without a login.
    Nameless,
    /// The same, in a pool of one.
    Single,
    /// A connection that logs in with a password.
    Password,
    /// A proxy.
    Proxied,
    /// A connection to a server whose clock can be stepped.
    Stepped,
    /// A connection to a host name, whose lookup may be slow.
    Named,
}

/// The calls of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    GetHit,
    GetMiss,
    Invalidate,
    Write,
    UpdateField,
}

pub(crate) const CALLS: [Call; 5] = [
    Call::GetHit,
    Call::GetMiss,
    Call::Invalidate,
    Call::Write,
    Call::UpdateField,
];

#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Loaf {
    pub(crate) name: String,
    pub(crate) version: u64,
}

pub(crate) struct Environment {
    pub(crate) server: Server,
    /// A connection from before the fault.
    pub(crate) admin: Connection,
    pub(crate) cells: Vec<Cell>,
    /// Another server, for faults that involve two.
    pub(crate) other: Option<Server>,
    /// The user of the caches.
    user: &'static str,
    /// Threads that hold a connection until the sender is dropped.
    held: Vec<(Sender<()>, JoinHandle<()>)>,
}

/// One call, with everything that it uses.
pub(crate) struct Cell {
    pub(crate) call: Call,
    pub(crate) id: String,
    pub(crate) cache: Cache<Loaf>,
    /// The cache of another process: it has its own pool, and no proxy harms it.
    pub(crate) stranger: Cache<Loaf>,
    pub(crate) proxy: Option<Proxy>,
    /// The version of the record in the primary.
    primary: AtomicU64,
}

impl Environment {
    pub(crate) fn new(wire: Wire, timeout: Duration) -> Environment {
        let server = match wire {
            Wire::Stepped => Server::start_with_clock(),
            _ => Server::start_on_port(),
        };
        let mut admin = server.connect();
        let (mut url, mut user) = (server.url(), acl::user());
        if wire == Wire::Nameless {
            (url, user) = (server.admin_url(), "default");
        } else if wire == Wire::Password && user == "default" {
            user = "shop";
            let login = ["SETUSER", user, "on", ">secret", "~*", "+@all"];
            redis::cmd("ACL").arg(&login).exec(&mut admin).unwrap();
            url = format!("redis://{user}:secret@127.0.0.1:{}", server.port());
        }
        if wire == Wire::Named {
            url = url.replace("127.0.0.1", "slow.test");
        }
        let cell = |call| Cell::new(call, &server, &url, wire, timeout);
        Environment {
            cells: CALLS.map(cell).into(),
            server,
            admin,
            other: None,
            user,
            held: Vec::new(),
        }
    }

    /// Sends a command over the connection from before the fault.
    pub(crate) fn tell(&mut self, command: &[&str]) {
        let (name, args) = command.split_first().unwrap();
        let mut request = redis::cmd(name);
        request.arg(args).exec(&mut self.admin).unwrap();
    }

    /// Changes the permissions or the password of the caches' user.
    pub(crate) fn set_user(&mut self, rules: &[&str]) {
        self.server.expect_denials();
        self.tell(&[&["ACL", "SETUSER", self.user], rules].concat());
    }

    /// Sends commands for each cell. Words are separated by spaces; `DATA` and `LEASE` stand for
    /// its keys.
    pub(crate) fn tell_for_each(&mut self, commands: &[&str]) {
        let keys = self
            .cells
            .iter()
            .map(|cell| (cell.data_key(), cell.lease_key()));
        for (data, lease) in keys.collect::<Vec<_>>() {
            for command in commands {
                let word = |word| match word {
                    "DATA" => &*data,
                    "LEASE" => &*lease,
                    word => word,
                };
                let words: Vec<_> = command.split(' ').map(word).collect();
                self.tell(&words);
            }
        }
    }

    /// Steps the server's clock by this many seconds, after a process has died during the load of
    /// each record.
    pub(crate) fn die_in_mid_load_and_step_clock(&mut self, step: i64) {
        for cell in &self.cells {
            let keys = Keys::of(cell.data_key());
            leave_a_lease(&mut self.admin, &keys, LEASE_TTL);
        }
        self.server.step_clock(step);
    }

    /// Harms requests of each cell's own cache, until `spare`.
    pub(crate) fn harm(&self, which: Which, harm: Harm) {
        for cell in &self.cells {
            cell.proxy().harm(which, harm);
        }
    }

    pub(crate) fn spare(&mut self) {
        for cell in &self.cells {
            cell.proxy().spare();
        }
    }

    /// Lets the held requests through when no caller waits for them, and another process has
    /// written and cached newer records.
    pub(crate) fn let_through_too_late(&mut self) {
        self.spare();
        for cell in &self.cells {
            cell.wait_until_all_is_well();
            let write = || Ok::<_, Infallible>(cell.commit());
            let written = cell.stranger.write(&cell.id, write).unwrap();
            assert!(written.invalidation_error().is_none());
            cell.strangers_get().unwrap();
            cell.proxy().let_through();
        }
    }

    /// Takes a connection out of each pool: an update holds it while its closure runs.
    pub(crate) fn hold_connections(&mut self) {
        for cell in &self.cells {
            let cache = cell.cache.clone();
            let (end, until_end) = channel::<()>();
            let (holds, until_it_holds) = channel();
            let thread = thread::spawn(move || {
                let held = cache.update("held", |_| {
                    holds.send(()).unwrap();
                    // An error when the sender is dropped.
                    let _ = until_end.recv();
                    None
                });
                assert!(!held.unwrap());
            });
            until_it_holds.recv().unwrap();
            self.held.push((end, thread));
        }
    }

    /// Opens some connections of each pool, and then lets the network forget them all.
    pub(crate) fn forget_connections(&mut self) {
        for _ in 0..3 {
            self.hold_connections();
        }
        self.release_connections();
        for cell in &self.cells {
            cell.proxy().forget_connections();
        }
    }

    /// Reads a record of each cache without a pause, on more threads than there are connections.
    /// Its connection is cut in each reply.
    pub(crate) fn cut_beside(&mut self) {
        for cell in &self.cells {
            cell.load(CUT).unwrap();
        }
        self.harm(Which::EachWith(CUT.as_bytes()), Harm::CutInReply);
        for cell in &self.cells {
            for _ in 0..6 {
                let cache = cell.cache.clone();
                let (end, until_end) = channel::<()>();
                let thread = thread::spawn(move || {
                    while until_end.try_recv() != Err(TryRecvError::Disconnected) {
                        cache.get(CUT, |_| Ok::<_, Infallible>(None)).unwrap();
                    }
                });
                self.held.push((end, thread));
            }
        }
    }

    pub(crate) fn release_connections(&mut self) {
        for (end, thread) in self.held.drain(..) {
            drop(end);
            thread.join().unwrap();
        }
    }
}

impl Cell {
    fn new(call: Call, server: &Server, url: &str, wire: Wire, timeout: Duration) -> Cell {
        let proxy = (wire == Wire::Proxied).then(|| Proxy::before(server.port()));
        let through = proxy.as_ref().map_or_else(|| url.to_owned(), Proxy::url);
        let redis = Redis::builder(through)
            .checkout_timeout(timeout)
            .connect_timeout(timeout)
            .io_timeout(timeout)
            // In some cells it opens.
            .breaker_threshold(2)
            // A server that returns is found soon.
            .probe_interval(Duration::from_millis(50))
            .pool_size(if wire == Wire::Single { 1 } else { 4 });
        let on = |redis| {
            let cache = Cache::builder(redis).prefix(PREFIX).lease_ttl(LEASE_TTL);
            cache.build().unwrap()
        };
        let this = Cell {
            call,
            id: format!("{call:?}"),
            cache: on(redis),
            stranger: on(Redis::builder(url)),
            proxy,
            primary: AtomicU64::new(1),
        };
        // All have an open connection and a cached record.
        this.load("held").unwrap();
        if call != Call::GetMiss {
            this.get().unwrap();
        }
        this
    }

    /// Commits a new version to the primary.
    pub(crate) fn commit(&self) -> u64 {
        self.primary.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(crate) fn version(&self) -> u64 {
        self.primary.load(Ordering::SeqCst)
    }

    pub(crate) fn get(&self) -> Result<Lookup<Loaf>, Error> {
        self.load(&self.id)
    }

    fn load(&self, id: &str) -> Result<Lookup<Loaf>, Error> {
        self.cache.get(id, |_| self.read_primary())
    }

    pub(crate) fn strangers_get(&self) -> Result<Lookup<Loaf>, Error> {
        self.stranger.get(&self.id, |_| self.read_primary())
    }

    #[expect(clippy::unnecessary_wraps, reason = "as a loader returns it")]
    fn read_primary(&self) -> Result<Option<Loaf>, Infallible> {
        Ok(Some(Loaf {
            name: NAME.to_owned(),
            version: self.version(),
        }))
    }

    /// Until all pending invalidations are replayed.
    pub(crate) fn wait_until_all_is_well(&self) {
        until_recovered(&self.cache);
    }

    pub(crate) fn data_key(&self) -> String {
        format!("{PREFIX}{}", self.id)
    }

    pub(crate) fn lease_key(&self) -> String {
        format!("lock:{{{}}}", self.data_key())
    }

    pub(crate) fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("this environment is proxied")
    }
}
