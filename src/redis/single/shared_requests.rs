//! What many threads ask at once of a server: each alone where a connection is free, else together with all who wait for one.

use std::{sync::Arc, time::Instant};

use redis::{Connection, ErrorKind, RedisResult, Value};

use super::{
    requests::{Answer, Ask},
    store::RedisStore,
};
use crate::{
    redis::{
        error::{self, Behind, is_refusal},
        pipeline::{self, LARGE_REPLIES},
        pool::Lent,
        request_batcher::{Envoy, Party, Patience, Turn},
        timeouts::Timeouts,
    },
    store::{Failure, Symptom},
};

impl RedisStore {
    /// Asks alone, if nobody waits for a connection and one is free; else together with all who wait. `question` is made
    /// for the second only.
    pub(super) fn ask<Q: Ask>(
        &self,
        alone: impl FnMut(&mut Connection) -> RedisResult<Q::Answer>,
        question: impl FnOnce() -> Q,
    ) -> Answer<Q> {
        let crowd = Q::crowd(&self.crowds);
        let free = self.connections.try_checkout();
        if let Some(wire) = free {
            if !crowd.is_there() {
                return self.connections.run_on(wire, Q::CONDUCT, alone);
            }
            let party = crowd.take(question(), self.crowds.most(), Q::is_same);
            return self.ask_for_all(wire, party, self.patience().in_all);
        }
        let patience = self.patience();
        match crowd.join(question(), patience) {
            Turn::Answered(answer) => answer,
            Turn::Late => Err(self.connections.late()),
            Turn::Unanswered => Err(self.unanswered()),
            Turn::Envoy(envoy) => self.go(envoy, patience),
        }
    }

    fn patience(&self) -> Patience {
        let Timeouts { checkout, io, .. } = self.connections.timeouts();
        let in_line = Instant::now() + checkout;
        let in_all = in_line + io;
        Patience { in_line, in_all }
    }

    /// Why one whose question was taken along has no answer: it was somewhere behind others.
    fn unanswered(&self) -> Failure {
        let Timeouts { checkout, io, .. } = self.connections.timeouts();
        let within = checkout + io;
        Failure::new(Symptom::Crowded, Behind { within })
    }

    /// Waits for a connection, and takes along all who have come meanwhile.
    fn go<Q: Ask>(&self, envoy: Envoy<'_, Q, Answer<Q>>, patience: Patience) -> Answer<Q> {
        let wait = patience.in_line.saturating_duration_since(Instant::now());
        match self.connections.checkout(wait) {
            Ok(wire) => {
                let party = envoy.take(self.crowds.most(), Q::is_same);
                self.ask_for_all(wire, party, patience.in_all)
            }
            Err(failure) => {
                if failure.symptom == Symptom::Silent {
                    // There is none to be had, by nobody.
                    let mut party = envoy.take(usize::MAX, Q::is_same);
                    party.answer_all(Err(failure.clone()), || Err(failure.clone()));
                }
                Err(failure)
            }
        }
    }

    fn ask_for_all<Q: Ask>(
        &self,
        wire: Lent,
        mut party: Party<Q, Answer<Q>>,
        until: Instant,
    ) -> Answer<Q> {
        let run = |connection: &mut Connection, epoch| {
            let is_of_now = || self.connections.still_in(epoch);
            self.fetch(connection, &mut party, until, is_of_now)
        };
        if let Err(failure) = self.connections.run_in_epoch(wire, Q::CONDUCT, run) {
            // One connection failed, so one of them tells the breaker.
            let shared = Failure {
                symptom: Symptom::Crowded,
                cause: Arc::clone(&failure.cause),
            };
            party.answer_all(Err(failure), || Err(shared.clone()));
        }
        party.end().unwrap_or_else(|| Err(self.unanswered()))
    }

    /// Asks for all who have no answer yet, and hands out what comes. The caller, who is the first of them, does so until then.
    fn fetch<Q: Ask>(
        &self,
        connection: &mut Connection,
        party: &mut Party<Q, Answer<Q>>,
        until: Instant,
        is_of_now: impl Fn() -> RedisResult<()>,
    ) -> RedisResult<()> {
        let questions = party.questions();
        let commands = questions.flat_map(|question| question.commands(&self.scripts));
        // Made before the first is sent, since whoever is answered goes.
        let commands: Vec<_> = commands.collect();
        let io = self.connections.timeouts().io;
        let mut replies = Vec::with_capacity(2);
        let hand_out = |reply: Value| {
            replies.push(reply.extract_error());
            let Some(answer) = party
                .first()
                .and_then(|first| first.answer(&mut replies, &self.crowds))
            else {
                return Ok(());
            };
            // Before each is handed out: who hears it may have written to another server meanwhile.
            is_of_now()?;
            party.answer(match answer {
                Err(error) if !is_refusal(&error) || self.is_demoted(&error) => {
                    return Err(error);
                }
                Err(refusal) => Err(error::failure(refusal, io)),
                Ok(answer) => Ok(answer),
            });
            if party.first().is_some() && Instant::now() >= until {
                party.answer_all(Err(self.unanswered()), || Err(self.unanswered()));
                return Err((ErrorKind::Client, "replies that nobody waits for").into());
            }
            Ok(())
        };
        pipeline::stream_to(connection, LARGE_REPLIES, commands.into_iter(), hand_out)
    }
}
