//! Transactions: commands between MULTI and EXEC.
//!
//! Guarantees the same as every pipeline. redis-rs itself would wait for each missing reply, and
//! believes whatever arrives in the place of the reply to EXEC.

use redis::{Cmd, ConnectionLike, FromRedisValue, Pipeline, RedisError, RedisResult, Value};

use super::{add_ping, check_answer};
use crate::redis::{connection::Connection, invalid_reply::invalid_reply};

/// Sends an atomic pipeline, and returns its result.
pub(crate) fn transaction<T: FromRedisValue>(
    pipeline: &Pipeline,
    connection: &mut Connection,
) -> RedisResult<T> {
    let answered = pipeline.query(&mut FailFast(connection));
    answered.map_err(first)
}

/// The first error of a pipeline. If a server refuses one command of a pipeline, it usually refuses
/// all of them for the same reason.
fn first(error: RedisError) -> RedisError {
    let all = error.clone().into_server_errors();
    match all.as_deref().and_then(|all| all.first()) {
        Some((_, first)) => first.clone().into(),
        None => error,
    }
}

/// Whether these are replies to a transaction: to MULTI, to each command, and to EXEC. A reply of
/// another form may belong to another request, and does not show that the transaction was done.
fn is_transaction(accepted: &[Value], answers: &[Value]) -> bool {
    let is_queued = |reply: &Value| matches!(reply, Value::SimpleString(text) if text == "QUEUED");
    let Some((Value::Okay, queued)) = accepted.split_first() else {
        return false;
    };
    let is_complete = match answers {
        [Value::Array(answers)] => answers.len() == queued.len(),
        [Value::Nil] => true,
        _ => false,
    };
    is_complete && queued.iter().all(is_queued)
}

struct FailFast<'a>(&'a mut Connection);

impl ConnectionLike for FailFast<'_> {
    /// Returns `count` replies. The `offset` replies before them only say whether a command was
    /// accepted.
    fn req_packed_commands(
        &mut self,
        request: &[u8],
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        let mut request = request.to_vec();
        let ping = add_ping(self.0, &mut request);
        self.0.send_request(&request)?;
        let mut refusal = None;
        let mut replies = Vec::with_capacity(offset + count);
        while replies.len() < offset + count {
            // If this fails, the connection is unfit, so no further reply is read.
            let reply = self.0.next_reply()?;
            match reply {
                Value::ServerError(ref error) if replies.len() < offset => {
                    refusal.get_or_insert_with(|| error.clone());
                }
                _ => {}
            }
            replies.push(reply);
        }
        let end = check_answer(&self.0.next_reply()?, ping);
        let answers = replies.split_off(offset);
        // The transaction was not done if a command was not accepted, or EXEC was refused.
        if refusal.is_none()
            && let [Value::ServerError(exec)] = &*answers
        {
            refusal = Some(exec.clone());
        }
        if let Some(refusal) = refusal {
            // A server that does not know EXEC has queued the `PING`, and the refusal tells why.
            if end.is_err() {
                self.0.set_unfit();
            }
            return Err(refusal.into());
        }
        end?;
        if !is_transaction(&replies, &answers) {
            return Err(invalid_reply(
                "EXEC answers with one reply to each command, or nil",
            ));
        }
        Ok(answers)
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
