//! Connections to one server and the pool that lends them.
//!
//! Guarantees that no request waits without a bound, and that a connection on which a request timed out,
//! failed on the wire or was cut short by a panic is closed instead of lent again: late bytes of its reply,
//! or a command of which the server has seen only a part, would end up in somebody else's request. (What
//! redis-rs itself calls open is still open then, so r2d2's stock manager would lend it.)
//!
//! Nothing is sent to test a connection, not at checkout and not when idle.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use r2d2::{ManageConnection, Pool, PooledConnection};
use redis::{Client, Connection, ErrorKind, RedisError, RedisResult};

use crate::error::{Cause, Error};

/// A refused connection shows within this time: a hundred round trips of a near server.
const REFUSED_WITHIN: Duration = Duration::from_millis(10);

/// How long r2d2 pauses between attempts to connect: from 200 ms, doubled up to half of this. So a server that
/// comes back is found within half a second.
const RECONNECT: Duration = Duration::from_secs(1);

/// How long each step may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// To wait for a free connection, opening one included.
    pub(crate) checkout: Duration,
    /// To open a connection.
    pub(crate) connect: Duration,
    /// Silence on the wire, while a request is written and while its reply is awaited.
    pub(crate) io: Duration,
}

/// Opens connections, and knows which ones not to lend again.
#[derive(Debug)]
struct Manager {
    client: Client,
    timeouts: Timeouts,
    seen: Arc<Seen>,
}

/// What has been seen of the server.
#[derive(Debug, Default)]
struct Seen {
    /// How often it dropped a connection. A connection that was opened before the latest time is taken for
    /// dropped as well, so that after a restart of the server one request fails and not one for each
    /// pooled connection.
    losses: AtomicU64,
    /// Why the latest attempt to connect failed; `None` after a success. r2d2 would keep only its text.
    refusal: Mutex<Option<RedisError>>,
}

/// A connection, and whether it may be lent again.
struct Wire {
    connection: Connection,
    /// `Seen::losses` before it was opened.
    born: u64,
    /// True from before a request is sent until its reply has been read whole.
    unfit: bool,
}

impl ManageConnection for Manager {
    type Connection = Wire;
    type Error = RedisError;

    fn connect(&self) -> Result<Wire, RedisError> {
        let born = self.seen.losses.load(Ordering::Acquire);
        let opened = open(&self.client, self.timeouts);
        *self.seen.refusal.lock() = opened.as_ref().err().cloned();
        opened.map(|connection| Wire {
            connection,
            born,
            unfit: false,
        })
    }

    /// Asked at every checkout, so it looks and sends nothing.
    fn is_valid(&self, wire: &mut Wire) -> Result<(), RedisError> {
        if wire.born == self.seen.losses.load(Ordering::Acquire) {
            return Ok(());
        }
        Err((ErrorKind::Io, "opened before the server was lost").into())
    }

    fn has_broken(&self, wire: &mut Wire) -> bool {
        wire.unfit
    }
}

fn open(client: &Client, timeouts: Timeouts) -> RedisResult<Connection> {
    let connection = client.get_connection_with_timeout(timeouts.connect)?;
    connection.set_read_timeout(Some(timeouts.io))?;
    connection.set_write_timeout(Some(timeouts.io))?;
    Ok(connection)
}

/// A pool of connections to one server.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    pool: Pool<Manager>,
    client: Client,
    timeouts: Timeouts,
    seen: Arc<Seen>,
}

/// Why a request came to nothing.
enum Failure {
    /// No connection could be had.
    Checkout(Cause),
    /// The request failed on one.
    Request(RedisError),
}

impl Connections {
    /// A pool of at most `size` connections. Opens none.
    pub(crate) fn new(client: Client, size: u32, timeouts: Timeouts) -> Connections {
        let seen = Arc::new(Seen::default());
        let manager = Manager {
            client: client.clone(),
            timeouts,
            seen: Arc::clone(&seen),
        };
        let pool = Pool::builder()
            .max_size(size)
            // None is opened ahead of need: a tool that asks once should connect once.
            .min_idle(Some(0))
            .connection_timeout(RECONNECT)
            // `is_valid` is a comparison here.
            .test_on_check_out(true)
            // A failed connect reaches the caller who waits for it; r2d2 would also log each retry.
            .error_handler(Box::new(r2d2::NopErrorHandler))
            .build_unchecked(manager);
        Connections {
            pool,
            client,
            timeouts,
            seen,
        }
    }

    /// Runs a request on a connection of its own, outside the pool, so that a refusal comes back at once
    /// and in the server's words.
    pub(crate) fn run_alone<T>(
        &self,
        request: &'static str,
        run: impl FnOnce(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, Error> {
        open(&self.client, self.timeouts)
            .and_then(|mut connection| run(&mut connection))
            .map_err(|cause| {
                let address = self.client.get_connection_info().addr().to_string();
                failed(request, Arc::new(AtServer { address, cause }))
            })
    }

    /// Runs a request on a pooled connection, and once more on a new one where the server had dropped the
    /// connection. So a request must be one that may happen twice; every step of the protocol is.
    ///
    /// A request that timed out is not repeated: the caller would wait twice as long as was promised.
    pub(crate) fn run<T>(
        &self,
        request: &'static str,
        mut run: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, Error> {
        let mut outcome = self.run_once(&mut run);
        if let Err(Failure::Request(error)) = &outcome
            && error.is_connection_dropped()
        {
            self.seen.losses.fetch_add(1, Ordering::AcqRel);
            outcome = self.run_once(&mut run);
        }
        outcome.map_err(|failure| match failure {
            Failure::Checkout(cause) => failed(request, cause),
            Failure::Request(error) => failed(request, Arc::new(error)),
        })
    }

    fn run_once<T>(
        &self,
        run: &mut impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, Failure> {
        let mut wire = self.checkout()?;
        // Unfit until the reply is there, so that a panic in between leaves it unfit.
        wire.unfit = true;
        let outcome = run(&mut wire.connection);
        wire.unfit = match &outcome {
            Ok(_) => false,
            // The server's own refusal is a whole reply. After anything else, what comes next on this
            // wire may belong to this request.
            Err(error) => !matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension),
        };
        outcome.map_err(Failure::Request)
    }

    /// A free connection, or a new one.
    ///
    /// r2d2 waits the whole timeout also where every attempt to connect is refused at once. So this looks up
    /// after a moment: without a single connection, and with a refusal, there is nothing to wait for. r2d2
    /// goes on trying in the background, and the next caller finds a connection when there is one.
    fn checkout(&self) -> Result<PooledConnection<Manager>, Failure> {
        let moment = REFUSED_WITHIN.min(self.timeouts.checkout);
        if let Ok(wire) = self.pool.get_timeout(moment) {
            return Ok(wire);
        }
        if self.pool.state().connections == 0 {
            self.refusal()?;
        }
        let rest = self.timeouts.checkout.saturating_sub(moment);
        self.pool.get_timeout(rest).or_else(|_| {
            self.refusal()?;
            let connections = self.pool.max_size();
            Err(Failure::Checkout(Arc::new(NoneFree { connections })))
        })
    }

    /// Fails where the latest attempt to connect did.
    fn refusal(&self) -> Result<(), Failure> {
        match self.seen.refusal.lock().clone() {
            Some(refusal) => Err(Failure::Checkout(Arc::new(refusal))),
            None => Ok(()),
        }
    }
}

/// An error with the server it came from: its host and port or its socket, and not the password.
#[derive(Debug)]
struct AtServer {
    address: String,
    cause: RedisError,
}

impl fmt::Display for AtServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.address, self.cause)
    }
}

impl std::error::Error for AtServer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

/// All connections stayed in use by other calls.
#[derive(Debug)]
struct NoneFree {
    connections: u32,
}

impl fmt::Display for NoneFree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NoneFree { connections } = self;
        write!(
            f,
            "all connections of the pool ({connections}) stayed in use"
        )
    }
}

impl std::error::Error for NoneFree {}

fn failed(request: &'static str, cause: Cause) -> Error {
    Error::Redis { request, cause }
}
