//! Pipelines that end with the first reply that does not arrive.
//!
//! Guarantees two things. A pipeline that the server does not answer costs one timeout: redis-rs
//! itself tries to read one reply for each command, and so would wait for each of them. And a
//! pipeline of any length fits into bounded buffers: redis-rs itself sends the whole before it
//! reads anything. Called by all requests of several commands.

use std::collections::VecDeque;

use redis::{
    Cmd, Connection, ConnectionLike, FromRedisValue, Pipeline, RedisError, RedisResult, Value,
};

/// Sends the pipeline, and reads its replies.
pub(crate) fn query<T: FromRedisValue>(
    pipeline: &Pipeline,
    connection: &mut Connection,
) -> RedisResult<T> {
    let answered = pipeline.query(&mut FailFast(connection));
    answered.map_err(first)
}

/// The first error of a pipeline. If a server refuses one of its commands, it usually refuses all
/// for the same reason.
fn first(error: RedisError) -> RedisError {
    let all = error.clone().into_server_errors();
    match all.as_deref().and_then(|all| all.first()) {
        Some((_, first)) => first.clone().into(),
        None => error,
    }
}

/// How many bytes of requests may be sent before their replies are read, if the replies may be
/// large. They fit into the buffers of a socket, so a write never waits for a server that waits for
/// us to read. The server must keep the replies that are not yet read: some hundred records at
/// most.
pub(crate) const LARGE_REPLIES: usize = 64 << 10;

/// The same if the reply is usually a number or a few words. More of these fit into the buffers
/// beside the requests.
pub(crate) const SMALL_REPLIES: usize = 256 << 10;

/// Sends commands and returns their replies, which may be errors.
pub(crate) fn stream(
    connection: &mut Connection,
    window: usize,
    commands: impl Iterator<Item = Cmd>,
) -> RedisResult<Vec<Value>> {
    let mut replies = Vec::with_capacity(commands.size_hint().0);
    stream_to(connection, window, commands, |reply| {
        replies.push(reply);
        Ok(())
    })?;
    Ok(replies)
}

/// Sends commands and passes on their replies as they arrive, including errors, until that fails.
/// At most `window` bytes are sent before their replies are read, or one command that is larger.
/// The connection is never idle: while one half of the window is answered, the other half is on its
/// way.
pub(crate) fn stream_to(
    connection: &mut Connection,
    window: usize,
    commands: impl Iterator<Item = Cmd>,
    hand_on: impl FnMut(Value) -> RedisResult<()>,
) -> RedisResult<()> {
    let mut stream = Stream {
        connection,
        window,
        ahead: VecDeque::new(),
        hand_on,
    };
    let (mut request, mut count) = (Vec::new(), 0);
    for command in commands {
        command.write_packed_command(&mut request);
        count += 1;
        if request.len() >= window / 2 {
            stream.send(&request, count)?;
            request.clear();
            count = 0;
        }
    }
    stream.send(&request, count)?;
    while stream.read_some()? {}
    Ok(())
}

struct Stream<'a, H> {
    connection: &'a mut Connection,
    window: usize,
    /// The bytes and the number of commands of each part that was sent and not yet answered.
    ahead: VecDeque<(usize, usize)>,
    hand_on: H,
}

impl<H: FnMut(Value) -> RedisResult<()>> Stream<'_, H> {
    /// Sends `count` commands as soon as there is room for them.
    fn send(&mut self, request: &[u8], count: usize) -> RedisResult<()> {
        if count == 0 {
            return Ok(());
        }
        let bytes = |ahead: &VecDeque<(usize, usize)>| -> usize {
            ahead.iter().map(|(bytes, _)| bytes).sum()
        };
        while request.len() + bytes(&self.ahead) > self.window && self.read_some()? {}
        self.connection.send_packed_command(request)?;
        self.ahead.push_back((request.len(), count));
        Ok(())
    }

    /// Reads the replies to the oldest part. False: there is nothing to read.
    fn read_some(&mut self) -> RedisResult<bool> {
        let Some((_, mut count)) = self.ahead.pop_front() else {
            return Ok(false);
        };
        while count > 0 {
            match self.connection.recv_response()? {
                // RESP3: a push is not a reply.
                Value::Push { .. } => {}
                reply => {
                    (self.hand_on)(reply)?;
                    count -= 1;
                }
            }
        }
        Ok(true)
    }
}

struct FailFast<'a>(&'a mut Connection);

impl ConnectionLike for FailFast<'_> {
    /// Wants `count` replies. The first `offset` replies before them only say whether a command was
    /// accepted.
    fn req_packed_commands(
        &mut self,
        request: &[u8],
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        self.0.send_packed_command(request)?;
        let mut refusal = None;
        let mut replies = Vec::with_capacity(offset + count);
        while replies.len() < offset + count {
            // A reply that was lost, or never sent, is not waited for again: the connection is
            // closed.
            let reply = self.0.recv_response()?;
            match reply {
                // RESP3: a push is not a reply.
                Value::Push { .. } => continue,
                Value::ServerError(ref error) if replies.len() < offset => {
                    refusal.get_or_insert_with(|| error.clone());
                }
                _ => {}
            }
            replies.push(reply);
        }
        match refusal {
            // If a command of a transaction was not accepted, the transaction was not done.
            Some(refusal) => Err(refusal.into()),
            None => Ok(replies.split_off(offset)),
        }
    }

    fn req_packed_command(&mut self, request: &[u8]) -> RedisResult<Value> {
        self.0.req_packed_command(request)
    }

    fn req_command(&mut self, request: &Cmd) -> RedisResult<Value> {
        self.0.req_command(request)
    }

    fn get_db(&self) -> i64 {
        self.0.get_db()
    }

    fn check_connection(&mut self) -> bool {
        self.0.check_connection()
    }

    fn is_open(&self) -> bool {
        self.0.is_open()
    }
}
