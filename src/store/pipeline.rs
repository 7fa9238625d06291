//! Pipelines that end with the first silence.
//!
//! Guarantees that a pipeline which the server does not answer costs one timeout. redis-rs itself reads one
//! reply for each command, however the read before it ended, and so would wait for each of them.

use redis::{Cmd, Connection, ConnectionLike, FromRedisValue, Pipeline, RedisResult, Value};

/// Sends the pipeline, and reads its replies.
pub(crate) fn query<T: FromRedisValue>(
    pipeline: &Pipeline,
    connection: &mut Connection,
) -> RedisResult<T> {
    pipeline.query(&mut Impatient(connection))
}

struct Impatient<'a>(&'a mut Connection);

impl ConnectionLike for Impatient<'_> {
    /// `count` replies are wanted, after `offset` that say only whether a command was accepted.
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
            // What the wire has lost, or never had, is not waited for again: the connection is unfit.
            let reply = self.0.recv_response()?;
            match reply {
                // RESP3: no reply to anything.
                Value::Push { .. } => continue,
                Value::ServerError(ref error) if replies.len() < offset => {
                    refusal.get_or_insert_with(|| error.clone());
                }
                _ => {}
            }
            replies.push(reply);
        }
        match refusal {
            // A transaction that was not accepted whole has not been done.
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
