//! A connection to one server: it sends requests and reads their replies.
//!
//! redis-rs packs the requests and parses the replies. Its own connection is not used, because it
//! limits neither the time of a whole request nor the size of a reply, and cannot tell whether
//! bytes are left. This one guarantees:
//!
//! - A request ends within `request_timeout`, even if its reply arrives byte by byte.
//! - A reply is refused before it takes more memory than `max_reply_size`.
//! - [`is_at_rest`](Connection::is_at_rest) tells whether bytes have arrived that no request asked
//!   for. They would be read as the reply to the next request.
//!
//! Called by pools, listeners and sentinels, through `connect.rs`. After an error the connection
//! must be closed, because the rest of a reply may still arrive. The only exception is a read that
//! timed out: it can be continued.

mod frame;
pub(crate) mod limits;
mod socket;
mod stream;

use std::{fmt, io, net::SocketAddr};

use redis::{Cmd, ConnectionAddr, ConnectionLike, ErrorKind, Parser, RedisResult, Value};

pub(super) use self::frame::garbage;
use self::{frame::Frame, limits::Limits, socket::Socket, stream::Stream};
use super::{address::server_address::ServerAddress, timeouts::Timeouts};

/// The size of the buffer of an idle connection. Most records fit into it.
const BUFFER: usize = 8 << 10;

/// A buffer that is larger is not kept. With a limit of 64 KB, a reply of 100 KB took half as long
/// again, because its buffer grew step by step each time.
const LARGE_BUFFER: usize = 256 << 10;

pub(crate) struct Connection {
    stream: Stream,
    /// The largest memory of a reply.
    reply_limit: usize,
    /// The bytes that have arrived are `buffer[start..end]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The reply at `start`.
    frame: Frame,
    parser: Parser,
    /// The latest number of a `PING`.
    number: u64,
    /// Whether it must not be used again, although its latest reply was complete.
    is_unfit: bool,
}

impl Connection {
    /// Opens a connection to the server at this address. `address` is that of its host, if it is
    /// one. Each of its requests ends with the timeouts for connecting, until
    /// [`set_limits`](Connection::set_limits) sets others.
    pub(super) fn open(
        to: &ServerAddress,
        address: Option<SocketAddr>,
        timeouts: Timeouts,
    ) -> RedisResult<Connection> {
        let socket = match (to.info().addr(), address) {
            (ConnectionAddr::Unix(path), _) => Socket::unix(path, timeouts.connect)?,
            (_, Some(address)) => Socket::tcp(address, &timeouts.probes(), timeouts.connect)?,
            (_, None) => return Err(io::Error::from(io::ErrorKind::NotFound).into()),
        };
        let limits = timeouts.of_connecting();
        let mut connection = Connection {
            stream: Stream::new(socket, to)?,
            reply_limit: limits.reply,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            frame: Frame::default(),
            parser: Parser::new(),
            number: 0,
            is_unfit: false,
        };
        connection.set_limits(limits)?;
        Ok(connection)
    }

    pub(crate) fn set_limits(&mut self, limits: Limits) -> RedisResult<()> {
        self.reply_limit = limits.reply;
        Ok(self.stream.socket().set_limits(limits)?)
    }

    /// Ends the use of the connection after this request: its server is in a state that another
    /// request must not meet.
    pub(super) fn set_unfit(&mut self) {
        self.is_unfit = true;
    }

    /// A number that was not used on this connection before.
    pub(super) fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// Sends a request, or several, if no reply is left of those before. A reply that is left would
    /// be read as the reply to this one. Costs no further system call.
    pub(crate) fn send_request(&mut self, request: &[u8]) -> RedisResult<()> {
        self.end_request()?;
        self.send_packed_command(request)
    }

    /// Sends a request, or several, while replies to others may still arrive.
    pub(crate) fn send_packed_command(&mut self, request: &[u8]) -> RedisResult<()> {
        self.stream.socket().begin();
        Ok(self.stream.send(request)?)
    }

    /// Reads the next reply, or the next push.
    pub(crate) fn recv_response(&mut self) -> RedisResult<Value> {
        loop {
            let arrived = &self.buffer[self.start..self.end];
            if let Some(length) = self.frame.end(arrived, self.reply_limit)? {
                let mut reply = &arrived[..length];
                let reply = self.parser.parse_value(&mut reply);
                self.consume(length);
                return reply;
            }
            if self.read_more()? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }

    /// Reads the next push, or the reply to an earlier request. After a timeout it can be called
    /// again, and continues.
    pub(super) fn recv_push(&mut self) -> RedisResult<Value> {
        self.stream.socket().begin();
        self.recv_response()
    }

    /// Whether nothing is left to read: each request has its reply, and the connection is open and
    /// fit for another one.
    /// Costs one system call.
    pub(crate) fn is_at_rest(&mut self) -> bool {
        self.stream.socket().begin();
        let is_readable = self.stream.holds_bytes() || self.stream.is_readable();
        if is_readable && !matches!(self.read_more(), Ok(1..)) {
            return false;
        }
        self.drop_pushes().is_ok() && self.start == self.end && !self.is_unfit
    }

    /// Whether something can be read without a wait. Costs up to one system call.
    pub(super) fn has_arrived(&mut self) -> bool {
        self.start < self.end || self.stream.holds_bytes() || self.stream.is_readable()
    }

    /// Fails if more has arrived than the replies that were read. Then one of them may be the
    /// reply to another request. Costs no system call.
    pub(crate) fn end_request(&mut self) -> RedisResult<()> {
        if self.stream.holds_bytes() {
            self.read_more()?;
        }
        self.drop_pushes()?;
        match self.buffer[self.start..self.end].first() {
            // The rest of a push has not arrived yet.
            None | Some(b'>') => Ok(()),
            Some(_) => Err(garbage("more replies than requests")),
        }
    }

    /// RESP3: a push is not a reply.
    fn drop_pushes(&mut self) -> RedisResult<()> {
        while self.start < self.end && self.buffer[self.start] == b'>' {
            let arrived = &self.buffer[self.start..self.end];
            match self.frame.end(arrived, self.reply_limit)? {
                Some(length) => self.consume(length),
                None => break,
            }
        }
        Ok(())
    }

    /// Reads what has arrived behind what is there. Returns how much.
    fn read_more(&mut self) -> io::Result<usize> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            // What a reply announces is not trusted: the buffer only doubles when it is full.
            self.buffer.resize((2 * self.end).max(BUFFER), 0);
        }
        let read = self.stream.read(&mut self.buffer[self.end..])?;
        self.end += read;
        Ok(read)
    }

    /// Removes a complete reply from the buffer.
    fn consume(&mut self, length: usize) {
        self.frame = Frame::default();
        self.start += length;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buffer.len() > LARGE_BUFFER {
                // Each connection would keep the memory of its largest reply.
                self.buffer = Vec::new();
                self.parser = Parser::new();
            }
        }
    }

    /// Reads the next reply, and leaves out pushes.
    pub(super) fn next_reply(&mut self) -> RedisResult<Value> {
        loop {
            match self.recv_response()? {
                // RESP3: a push is not a reply.
                Value::Push { .. } => {}
                reply => return Ok(reply),
            }
        }
    }
}

/// So that requests can be written with `redis::cmd`.
impl ConnectionLike for Connection {
    fn req_packed_command(&mut self, request: &[u8]) -> RedisResult<Value> {
        self.send_request(request)?;
        self.next_reply()
    }

    fn req_command(&mut self, request: &Cmd) -> RedisResult<Value> {
        self.req_packed_command(&request.get_packed_command())
    }

    /// Pipelines go through `pipeline.rs`, which bounds what is sent ahead.
    fn req_packed_commands(&mut self, _: &[u8], _: usize, _: usize) -> RedisResult<Vec<Value>> {
        Err((ErrorKind::Client, "a pipeline without bounds").into())
    }

    fn get_db(&self) -> i64 {
        0
    }

    fn check_connection(&mut self) -> bool {
        true
    }

    fn is_open(&self) -> bool {
        true
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}
