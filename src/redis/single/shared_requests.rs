//! Sends requests of many threads to one server: each alone if a connection is free, otherwise
//! together with all requests that wait for one. Beyond the
//! [limit](crate::redis::pool::concurrency_limit), no connection counts as free.
//!
//! Called by the store on one server. Knows nothing of the requests' content.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use redis::{ErrorKind, RedisResult, Value};

use super::{
    requests::{Ask, AskResult},
    store::RedisStore,
};
use crate::{
    redis::{
        connection::Connection,
        error::{QueuedTimeout, is_refusal},
        pipeline::{self, FEW_REQUESTS},
        pool::{ConnectionGuard, broken::Broken, run_request::RetryPolicy},
        request_batcher::{Batch, BatchOutcome, Combiner, Deadlines, JoinOutcome},
        timeouts::Timeouts,
    },
    store::{Failure, FailureKind},
};

impl RedisStore {
    /// Sends the request alone if a connection is free and no request waits. Otherwise sends it
    /// together with all requests that wait. It calls `question` only in that case.
    ///
    /// If a shared connection breaks off, each request that may be repeated is sent once more, by
    /// its own caller and alone. So a reply that always breaks fails only its own request.
    pub(super) fn ask<Q: Ask>(
        &self,
        mut alone: impl FnMut(&mut Connection) -> RedisResult<Q::Answer>,
        question: impl FnOnce() -> Q,
    ) -> AskResult<Q> {
        let queue = Q::queue(&self.queues);
        let free = self.limit.try_enter().and_then(|mut permit| {
            let guard = self.connections.try_checkout()?;
            permit.send();
            Some((permit, guard))
        });
        // The permit is held until the reply has arrived.
        let (deadlines, outcome) = if let Some((mut permit, guard)) = free {
            if !queue.has_waiters() {
                let done = self.connections.run_on(guard, Q::RETRY_POLICY, alone);
                permit.ended(done.is_ok());
                return done;
            }
            let batch = queue.take(question(), self.queues.most(), Q::is_same);
            let deadlines = self.deadlines();
            let outcome = self.ask_for_all(guard, batch, deadlines.to_be_answered);
            permit.ended(matches!(outcome, BatchOutcome::Answered(Ok(_))));
            (deadlines, outcome)
        } else {
            let deadlines = self.deadlines();
            let outcome = match queue.join(question(), deadlines) {
                JoinOutcome::Answered(answer) => BatchOutcome::Answered(answer),
                JoinOutcome::Late => BatchOutcome::Answered(Err(self.connections.late())),
                JoinOutcome::Unanswered => BatchOutcome::Unanswered,
                JoinOutcome::BrokenOff => BatchOutcome::BrokenOff,
                JoinOutcome::Combiner(combiner) => self.go(combiner, deadlines),
            };
            (deadlines, outcome)
        };
        match outcome {
            BatchOutcome::Answered(answer) => answer,
            BatchOutcome::Unanswered => Err(self.unanswered()),
            BatchOutcome::BrokenOff => {
                let guard = self.connections.checkout(left_to_send(deadlines))?;
                let mut alone = |connection: &mut Connection, _| alone(connection);
                let done = (self.connections).run_once_on(guard, Q::RETRY_POLICY, &mut alone);
                done.map_err(|broken| self.connections.repeated(broken))
            }
        }
    }

    fn deadlines(&self) -> Deadlines {
        let Timeouts { checkout, io, .. } = self.connections.timeouts();
        let to_be_sent = Instant::now() + checkout;
        let to_be_answered = to_be_sent + io;
        Deadlines {
            to_be_sent,
            to_be_answered,
        }
    }

    /// The failure of a request that was taken from the queue but got no reply in time.
    fn unanswered(&self) -> Failure {
        let Timeouts { checkout, io, .. } = self.connections.timeouts();
        let within = checkout + io;
        let late = Failure::new(FailureKind::Saturated, QueuedTimeout { within });
        self.connections.at_server(late)
    }

    /// Waits for a connection, and takes all requests that have arrived meanwhile.
    fn go<Q: Ask>(
        &self,
        combiner: Combiner<'_, Q, AskResult<Q>>,
        deadlines: Deadlines,
    ) -> BatchOutcome<AskResult<Q>> {
        let mut permit = self.limit.enter(deadlines.to_be_sent);
        match self.connections.checkout(left_to_send(deadlines)) {
            Ok(guard) => {
                permit.send();
                let batch = combiner.take(self.queues.most(), Q::is_same);
                let outcome = self.ask_for_all(guard, batch, deadlines.to_be_answered);
                permit.ended(matches!(outcome, BatchOutcome::Answered(Ok(_))));
                outcome
            }
            Err(failure) => {
                if failure.kind == FailureKind::Unavailable {
                    // No caller can get a connection.
                    let mut batch = combiner.take(usize::MAX, Q::is_same);
                    batch.answer_all(Err(failure.clone()), || Err(failure.clone()));
                }
                BatchOutcome::Answered(Err(failure))
            }
        }
    }

    fn ask_for_all<Q: Ask>(
        &self,
        guard: ConnectionGuard,
        mut batch: Batch<Q, AskResult<Q>>,
        until: Instant,
    ) -> BatchOutcome<AskResult<Q>> {
        let mut run = |connection: &mut Connection, epoch| {
            let is_of_now = || self.connections.still_in(epoch);
            self.fetch(connection, &mut batch, until, is_of_now)
        };
        let done = (self.connections).run_once_on(guard, Q::RETRY_POLICY, &mut run);
        if let Err(Broken {
            failure,
            may_repeat,
        }) = done
        {
            if may_repeat && Q::RETRY_POLICY == RetryPolicy::Idempotent {
                batch.break_off();
            } else {
                // One connection failed, so only one of the requests reports that to the breaker.
                let shared = Failure {
                    kind: FailureKind::Saturated,
                    cause: Arc::clone(&failure.cause),
                };
                batch.answer_all(Err(failure), || Err(shared.clone()));
            }
        }
        batch.end()
    }

    /// Sends all requests that have no reply yet, and distributes the replies. The first request is
    /// the caller's own. It ends at `until`, the deadline of the caller.
    ///
    /// Nobody gets a reply before all have arrived. Only then is it known that there is not one too
    /// many, behind which each would belong to another request.
    fn fetch<Q: Ask>(
        &self,
        connection: &mut Connection,
        batch: &mut Batch<Q, AskResult<Q>>,
        until: Instant,
        is_of_now: impl Fn() -> RedisResult<()>,
    ) -> RedisResult<()> {
        let questions = batch.questions();
        let commands = questions.flat_map(|question| question.commands(&self.scripts));
        // Built before the first command is sent, because a request leaves the batch as soon as it
        // is answered.
        let commands: Vec<_> = commands.collect();
        let expected = commands.len();
        let mut replies = Vec::with_capacity(expected);
        let mut keep = |reply: Value| {
            replies.push(reply);
            if replies.len() < expected && Instant::now() >= until {
                batch.answer_all(Err(self.unanswered()), || Err(self.unanswered()));
                return Err((ErrorKind::Client, "the replies take too long").into());
            }
            Ok(())
        };
        pipeline::stream_to(
            connection,
            FEW_REQUESTS,
            &mut commands.into_iter(),
            &mut keep,
        )?;
        connection.end_request()?;
        let mut of_one = Vec::with_capacity(2);
        for reply in replies {
            of_one.push(reply.extract_error());
            let Some(answer) = batch
                .first()
                .and_then(|first| first.answer(&mut of_one, &self.queues))
            else {
                continue;
            };
            // Checked before each answer: the caller may have written to a new server meanwhile.
            is_of_now()?;
            batch.answer(match answer {
                Err(error) if !is_refusal(&error) || self.is_demoted(&error) => {
                    return Err(error);
                }
                Err(refusal) => Err(self.connections.failure(refusal)),
                Ok(answer) => Ok(answer),
            });
        }
        Ok(())
    }
}

/// The time that is left for sending.
fn left_to_send(deadlines: Deadlines) -> Duration {
    let now = Instant::now();
    deadlines.to_be_sent.saturating_duration_since(now)
}
