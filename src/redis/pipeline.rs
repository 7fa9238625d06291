//! Pipelines that end with the first reply that does not arrive.
//!
//! Guarantees three things. First, a pipeline that the server does not answer costs one timeout.
//! (redis-rs itself would wait for each missing reply.) Second, a pipeline of any length fits into
//! bounded buffers. (redis-rs itself sends the whole pipeline before it reads anything.) Third,
//! each reply belongs to its request, if a pipeline ended without an error: its last request is a
//! `PING` with a number. If a reply was lost or came twice, the last reply is not that number.
//! Two cases have no such proof: the requests that begin a connection, and a server or proxy that
//! does not answer a `PING` with its number. (A single command needs none: its reply is checked
//! when the request ends.) Called by all requests of several commands.

mod transaction;

use std::collections::VecDeque;

use redis::{Cmd, RedisResult, Value, cmd};

pub(crate) use self::transaction::transaction;
use super::{
    connection::{Connection, garbage},
    error::{has_wrong_arguments, in_reply, is_unknown_command, refuses_all},
    reply_size::{after, bytes_of},
};

/// What may be sent before the replies to it are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// In bytes. They fit into the buffers of a socket, so a write never waits for the server.
    /// (That could be a deadlock: the server may itself wait until we read its replies.)
    requests: usize,
    /// The expected bytes of a reply. `None`: replies are small.
    reply: Option<usize>,
    /// Whether the pipeline ends with a `PING`. Without one, each reply must tell by its form which
    /// request it belongs to.
    has_ping: bool,
}

/// For a few requests.
pub(crate) const FEW_REQUESTS: Window = Window {
    requests: 64 << 10,
    reply: None,
    has_ping: true,
};

/// For the requests that begin a connection. The user may not be logged in yet.
pub(crate) const FIRST_REQUESTS: Window = Window {
    has_ping: false,
    ..FEW_REQUESTS
};

/// If the reply is a number or a few words. Such replies are small, so more requests fit into the
/// buffers.
pub(crate) const SMALL_REPLIES: Window = Window {
    requests: 256 << 10,
    ..FEW_REQUESTS
};

/// How many bytes of records may be requested before the first one is read, unless one record is
/// larger. The server keeps them in memory until then. It closes a connection that exceeds its
/// `client-output-buffer-limit`, which is rarely less than this. Without a limit, it evicts other
/// records to make room. Sending this much takes longer than a round trip, so the connection is
/// never idle.
const RECORDS_AHEAD: usize = 2 << 20;

impl Window {
    /// For replies with records, of which a large one has `bytes`.
    pub(crate) fn of_records(bytes: usize) -> Window {
        Window {
            reply: Some(bytes),
            ..FEW_REQUESTS
        }
    }

    /// How many commands may be sent.
    fn commands(&self) -> usize {
        self.reply
            .map_or(usize::MAX, |bytes| (RECORDS_AHEAD / bytes.max(1)).max(1))
    }

    fn met(&mut self, reply: &Value) {
        let bytes = bytes_of(reply);
        if let Some(expected) = &mut self.reply
            && bytes > 0
        {
            *expected = after(*expected, bytes);
        }
    }
}

/// Sends commands and returns their replies, which may be errors.
pub(crate) fn stream(
    connection: &mut Connection,
    window: Window,
    mut commands: impl Iterator<Item = Cmd>,
) -> RedisResult<Vec<Value>> {
    let mut replies = Vec::with_capacity(commands.size_hint().0);
    stream_to(connection, window, &mut commands, &mut |reply| {
        replies.push(reply);
        Ok(())
    })?;
    Ok(replies)
}

/// Sends commands and passes on their replies as they arrive, including error replies. It ends when
/// the connection fails. After an error, the replies may belong to other requests. At most the
/// window, or one larger command, is sent before the replies to it are read. The connection is never
/// idle: while one half of the window is answered, the other half is on its way. Not generic, so it
/// is compiled once.
pub(crate) fn stream_to(
    connection: &mut Connection,
    window: Window,
    commands: &mut dyn Iterator<Item = Cmd>,
    hand_on: &mut dyn FnMut(Value) -> RedisResult<()>,
) -> RedisResult<()> {
    let mut stream = PipelineRun {
        connection,
        window,
        ahead: VecDeque::new(),
        hand_on,
    };
    let (mut request, mut count, mut all) = (Vec::new(), 0, 0);
    for command in commands {
        command.write_packed_command(&mut request);
        count += 1;
        all += 1;
        if stream.is_half(&request, count) {
            stream.send(&request, count)?;
            request.clear();
            count = 0;
        }
    }
    let ping = ping_after(stream.connection, window, all, &mut request);
    stream.send(&request, count)?;
    while stream.read_some()? {}
    check_end(stream.connection, ping)
}

/// Commands that were sent together, and whose replies are still to be read.
#[derive(Debug)]
pub(crate) struct Unread {
    replies: usize,
    ping: Option<u64>,
}

/// Sends commands, and reads no reply. `None`: they are too many, and nothing was sent.
pub(crate) fn send_ahead(
    connection: &mut Connection,
    commands: impl Iterator<Item = Cmd>,
) -> RedisResult<Option<Unread>> {
    let window = FEW_REQUESTS;
    let (mut request, mut replies) = (Vec::new(), 0);
    for command in commands {
        command.write_packed_command(&mut request);
        replies += 1;
        if request.len() > window.requests {
            return Ok(None);
        }
    }
    let ping = ping_after(connection, window, replies, &mut request);
    connection.send_request(&request)?;
    Ok(Some(Unread { replies, ping }))
}

/// Reads the replies to these commands, and passes them on as they arrive.
pub(crate) fn read_sent(
    connection: &mut Connection,
    Unread { replies, ping }: Unread,
    mut hand_on: impl FnMut(Value) -> RedisResult<()>,
) -> RedisResult<()> {
    for _ in 0..replies {
        hand_on(connection.next_reply()?)?;
    }
    check_end(connection, ping)
}

/// Adds the `PING` that ends a request of `count` commands, and returns its number. A reply to a
/// single command is checked when the request ends.
fn ping_after(
    connection: &mut Connection,
    window: Window,
    count: usize,
    request: &mut Vec<u8>,
) -> Option<u64> {
    (window.has_ping && count > 1).then(|| add_ping(connection, request))
}

/// Adds a `PING` to a request, and returns its number.
fn add_ping(connection: &mut Connection, request: &mut Vec<u8>) -> u64 {
    let number = connection.next_number();
    cmd("PING").arg(number).write_packed_command(request);
    number
}

/// Reads the reply to the `PING` with this number, if there is one.
fn check_end(connection: &mut Connection, ping: Option<u64>) -> RedisResult<()> {
    match ping {
        Some(number) => check_answer(&connection.next_reply()?, number),
        None => Ok(()),
    }
}

/// Fails if this is not the reply to the `PING` with this number.
fn check_answer(reply: &Value, number: u64) -> RedisResult<()> {
    let is_answer = match reply {
        Value::BulkString(text) => *text == number.to_string().as_bytes(),
        // Some proxies answer a `PING` themselves, without its number.
        Value::SimpleString(text) => text == "PONG",
        _ => false,
    };
    match in_reply(reply) {
        // The user may have no permission to ping. A server that cannot save its data refuses a
        // `PING` and answers reads. An old proxy knows no `PING` with a number.
        Some(error) if matches!(error.code(), Some("NOPERM" | "MISCONF")) => Ok(()),
        Some(error) if is_unknown_command(&error) || has_wrong_arguments(&error) => Ok(()),
        Some(error) if refuses_all(&error) => Err(error),
        None if is_answer => Ok(()),
        _ => Err(garbage("the end of a pipeline")),
    }
}

struct PipelineRun<'a> {
    connection: &'a mut Connection,
    window: Window,
    /// The bytes and the number of commands of each part that was sent and not yet answered.
    ahead: VecDeque<(usize, usize)>,
    hand_on: &'a mut dyn FnMut(Value) -> RedisResult<()>,
}

impl PipelineRun<'_> {
    fn is_half(&self, request: &[u8], count: usize) -> bool {
        request.len() >= self.window.requests / 2 || count >= self.window.commands().div_ceil(2)
    }

    fn has_room_for(&self, request: &[u8], count: usize) -> bool {
        let sum = |(bytes, count), (more_bytes, more)| (bytes + more_bytes, count + more);
        let (bytes, count) = self.ahead.iter().copied().fold((request.len(), count), sum);
        bytes <= self.window.requests && count <= self.window.commands()
    }

    /// Sends `count` commands as soon as there is room for them.
    fn send(&mut self, request: &[u8], count: usize) -> RedisResult<()> {
        if request.is_empty() {
            return Ok(());
        }
        while !self.has_room_for(request, count) && self.read_some()? {}
        if self.ahead.is_empty() {
            self.connection.send_request(request)?;
        } else {
            self.connection.send_packed_command(request)?;
        }
        self.ahead.push_back((request.len(), count));
        Ok(())
    }

    /// Reads the replies to the oldest part. False: no part waits for replies.
    fn read_some(&mut self) -> RedisResult<bool> {
        let Some((_, mut count)) = self.ahead.pop_front() else {
            return Ok(false);
        };
        while count > 0 {
            let reply = self.connection.next_reply()?;
            self.window.met(&reply);
            (self.hand_on)(reply)?;
            count -= 1;
        }
        Ok(true)
    }
}
