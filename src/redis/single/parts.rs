//! Sends requests in one pipeline, and keeps the answers that arrived before a break.
//!
//! Guarantees that no kept answer belongs to another request, or comes from a former server.
//!
//! Called by the batches on one server. Repeats nothing.

use redis::{Cmd, Connection, RedisResult, Value};

use super::store::RedisStore;
use crate::{
    redis::{
        broken::Broken,
        error::{is_lost, is_refusal, redis_error},
        pipeline::{self, Window},
        pool::RetryPolicy,
    },
    store::Failure,
};

/// The outcome of a pipeline.
pub(super) struct PipelineOutcome<T> {
    /// The answers to the first requests, in order. All of them if `done` is `Ok`.
    pub(super) answers: Vec<Result<T, Failure>>,
    /// How many answers had arrived. They are kept only if the connection was then closed.
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
        commands: impl Iterator<Item = Cmd>,
        mut read: impl FnMut(&mut Vec<RedisResult<Value>>) -> Option<RedisResult<T>>,
    ) -> PipelineOutcome<T> {
        let mut answers = Vec::with_capacity(commands.size_hint().0);
        let mut replies = Vec::with_capacity(2);
        let hand_on = |reply: Value| {
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
        };
        let mut once = Some((commands, hand_on));
        let mut is_current = false;
        let mut run = |connection: &mut Connection, epoch| {
            // Runs once: the connection was checked before.
            let Some((commands, hand_on)) = once.take() else {
                return Ok(());
            };
            let streamed = pipeline::stream_to(connection, window, commands, hand_on);
            is_current = self.connections.still_in(epoch).is_ok();
            streamed
        };
        let guard = self
            .connections
            .checkout(self.connections.timeouts().checkout);
        let done = guard
            .map_err(Broken::from)
            .and_then(|guard| self.connections.run_once_on(guard, retry_policy, &mut run));
        let arrived = answers.len();
        // After an invalid reply, it is not known which replies belong to which requests.
        let is_cut = |broken: &Broken| redis_error(&broken.failure).is_some_and(is_lost);
        if !is_current || !done.as_ref().err().is_none_or(is_cut) {
            answers.clear();
        }
        PipelineOutcome {
            answers,
            arrived,
            done,
        }
    }
}
