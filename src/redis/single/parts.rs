//! Sends requests in one pipeline, and returns their answers.
//!
//! Guarantees that no answer belongs to another request, or comes from a former server.
//!
//! Called by the batches on one server. Repeats nothing.

use redis::{Cmd, RedisResult, Value};

use super::store::RedisStore;
use crate::{
    redis::{
        connection::Connection,
        error::is_refusal,
        pipeline::{self, Window},
        pool::{broken::Broken, run_request::RetryPolicy},
    },
    store::Failure,
};

/// The outcome of a pipeline.
pub(super) struct PipelineOutcome<T> {
    /// The answers to all requests, in order. None if the pipeline failed: only at its end is it
    /// known which replies belong to which requests.
    pub(super) answers: Vec<Result<T, Failure>>,
    /// How many answers had arrived.
    pub(super) arrived: usize,
    pub(super) done: Result<(), Broken>,
}

impl RedisStore {
    /// Sends commands, and reads their replies. `read` gets the replies that arrived since its last
    /// answer, and returns an answer when they are complete. A refusal concerns one request.
    pub(super) fn ask_part<T>(
        &self,
        retry_policy: RetryPolicy,
        window: Window,
        mut commands: impl Iterator<Item = Cmd>,
        read: impl FnMut(&mut Vec<RedisResult<Value>>) -> Option<RedisResult<T>>,
    ) -> PipelineOutcome<T> {
        let expected = commands.size_hint().0;
        let wait = self.connections.timeouts().checkout;
        self.read_part(expected, read, |hand_on| {
            // `run_once_on` calls it at most once.
            let mut run = |connection: &mut Connection, _| {
                pipeline::stream_to(connection, window, &mut commands, &mut *hand_on)
            };
            let guard = self.connections.checkout(wait)?;
            self.connections.run_once_on(guard, retry_policy, &mut run)
        })
    }

    /// The same for commands that `ask` sends, or that were sent before. `ask` passes on their
    /// replies.
    pub(super) fn read_part<T>(
        &self,
        expected: usize,
        mut read: impl FnMut(&mut Vec<RedisResult<Value>>) -> Option<RedisResult<T>>,
        ask: impl FnOnce(&mut dyn FnMut(Value) -> RedisResult<()>) -> Result<(), Broken>,
    ) -> PipelineOutcome<T> {
        let mut answers = Vec::with_capacity(expected);
        let mut replies = Vec::with_capacity(2);
        let done = ask(&mut |reply: Value| {
            replies.push(reply.extract_error());
            match read(&mut replies) {
                None => {}
                // If the server is no longer the master, all fail.
                Some(Err(error)) if !is_refusal(&error) || self.is_demoted(&error) => {
                    return Err(error);
                }
                Some(Err(refusal)) => answers.push(Err(self.connections.failure(refusal))),
                Some(Ok(answer)) => answers.push(Ok(answer)),
            }
            Ok(())
        });
        let arrived = answers.len();
        if done.is_err() {
            answers.clear();
        }
        PipelineOutcome {
            answers,
            arrived,
            done,
        }
    }
}
