//! Requests whose replies are read later, so that one thread asks several servers at the same time.
//!
//! Guarantees that a connection whose replies were not read is closed, and that the replies of all
//! servers together are waited for no longer than those of one. Called by steps on a cluster,
//! through the store of each node. Only for requests that may be repeated.

use std::{
    io,
    time::{Duration, Instant},
};

use redis::{Cmd, RedisResult, Value};

use super::{ConnectionGuard, Connections, broken::Broken, run_request::RetryPolicy};
use crate::redis::{
    connection::Connection,
    pipeline::{self, Unread},
};

/// The most bytes of replies that may wait on a connection. The buffers of a socket have room for
/// them, so the server can send all of them before the first is read.
pub(crate) const REPLIES_AHEAD: usize = 128 << 10;

/// Requests that were sent, and whose replies are not read yet.
pub(crate) struct SentAhead {
    guard: ConnectionGuard,
    unread: RedisResult<Unread>,
    sent_at: Instant,
}

impl Connections {
    /// Sends commands on a free connection. `None`: nothing was sent, because no connection is free
    /// or there are too many commands.
    pub(crate) fn send_ahead(&self, commands: impl Iterator<Item = Cmd>) -> Option<SentAhead> {
        let guard = self.try_checkout()?;
        // If a check fails, the request that is then sent in the ordinary way reports the failure.
        let mut guard = self.check(guard).ok()??;
        let sent_at = Instant::now();
        let connection = &mut guard.0.connection;
        let unread = pipeline::send_ahead(connection, commands).transpose()?;
        guard.0.must_close = true;
        Some(SentAhead {
            guard,
            unread,
            sent_at,
        })
    }

    /// Reads the replies, and passes them on as they arrive.
    pub(crate) fn read_sent(
        &self,
        sent: SentAhead,
        mut hand_on: impl FnMut(Value) -> RedisResult<()>,
    ) -> Result<(), Broken> {
        let mut unread = Some(sent.unread);
        let timeout = self.timeouts.io;
        let mut read = |connection: &mut Connection, _| {
            // Runs once: the connection was checked before.
            let Some(unread) = unread.take() else {
                return Ok(());
            };
            let unread = unread?;
            wait_no_longer(connection, sent.sent_at, timeout)?;
            pipeline::read_sent(connection, unread, &mut hand_on)
        };
        self.run_checked(sent.guard, RetryPolicy::Idempotent, &mut read)
    }
}

/// Fails if the server had the whole timeout, while the caller waited for other servers, and has
/// sent nothing. Otherwise the caller would wait for one timeout after the other.
fn wait_no_longer(
    connection: &mut Connection,
    sent_at: Instant,
    timeout: Duration,
) -> RedisResult<()> {
    if sent_at.elapsed() >= timeout && !connection.has_arrived() {
        return Err(io::Error::from(io::ErrorKind::TimedOut).into());
    }
    Ok(())
}
