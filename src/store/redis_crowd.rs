//! What many threads ask at once of a Redis server: each alone where a connection is free, else together with all who wait for
//! one.
//!
//! That goes for the two requests of which many come at once when nothing is wrong, the first look and the question for a lease.

use std::{
    iter,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use redis::{Cmd, Connection, ErrorKind, RedisResult, Value, cmd, from_redis_value};

use super::{
    Acquire, Entry, Failure, Symptom, TtlRemaining, cause,
    command::{entry, entry_with_ttl},
    connection::{Conduct, Timeouts},
    crowd::{Crowd, Envoy, Party, Patience, Turn},
    pipeline::{self, LARGE_REPLIES},
    redis::RedisStore,
    redis_many::is_refusal,
    script::{self, Scripts},
};
use crate::{fields::Fields, key::Keys, token::Token};

/// How many are asked for at once, at most.
const MOST: usize = 128;

/// And how many bytes their answers should have. More than that takes longer than a round trip, and who hands out the answers
/// would be kept for the others' sake, while another connection may be free.
const SHARED_BYTES: usize = 256 << 10;

/// Those who wait for a connection.
#[derive(Default)]
pub(super) struct Crowds {
    looks: Crowd<Look, Answer<Look>>,
    leases: Crowd<Lease, Answer<Lease>>,
    /// How large a record is, as a rule: a moving average, in bytes.
    record_bytes: AtomicUsize,
}

/// A question that can be asked for somebody else.
pub(super) trait Ask: Sized {
    type Answer;
    const CONDUCT: Conduct;

    /// Those who have the same kind of question.
    fn crowd(crowds: &Crowds) -> &Crowd<Self, Answer<Self>>;

    fn commands(&self, scripts: &Scripts) -> impl Iterator<Item = Cmd>;

    /// What the replies to these commands mean, once all are there.
    fn answer(
        &self,
        replies: &mut Vec<RedisResult<Value>>,
        crowds: &Crowds,
    ) -> Option<RedisResult<Self::Answer>>;
}

type Answer<Q> = Result<<Q as Ask>::Answer, Failure>;

impl Crowds {
    fn most(&self) -> usize {
        // Relaxed: it is an estimate.
        let bytes = self.record_bytes.load(Relaxed);
        (SHARED_BYTES / bytes.max(1)).clamp(1, MOST)
    }

    fn met(&self, record: &Fields) {
        let field = |(name, value): &(Vec<u8>, Vec<u8>)| name.len() + value.len();
        let bytes: usize = record.iter().map(field).sum();
        let mean = self.record_bytes.load(Relaxed);
        self.record_bytes.store((7 * mean + bytes) / 8, Relaxed);
    }
}

/// What stands at a data key, and for how long; `NoTtl` where that is not asked.
pub(super) struct Look {
    pub(super) data: String,
    pub(super) with_ttl: bool,
}

impl Ask for Look {
    type Answer = (Entry, TtlRemaining);
    const CONDUCT: Conduct = Conduct::Repeatable;

    fn crowd(crowds: &Crowds) -> &Crowd<Look, Answer<Look>> {
        &crowds.looks
    }

    /// In this order, as in `command.rs`.
    fn commands(&self, _: &Scripts) -> impl Iterator<Item = Cmd> {
        let ttl = self.with_ttl.then_some("PTTL");
        ttl.into_iter().chain(["HGETALL"]).map(|name| {
            let mut look = cmd(name);
            look.arg(&self.data);
            look
        })
    }

    fn answer(
        &self,
        replies: &mut Vec<RedisResult<Value>>,
        crowds: &Crowds,
    ) -> Option<RedisResult<Self::Answer>> {
        if self.with_ttl && replies.len() < 2 {
            return None;
        }
        let fields = replies.pop()?;
        let seen = match replies.pop() {
            Some(left) => entry_with_ttl(left.and_then(|left| Ok(from_redis_value(left)?)), fields),
            None => entry(fields).map(|entry| (entry, TtlRemaining::NoTtl)),
        };
        if let Ok((Entry::Record(fields), _)) = &seen {
            crowds.met(fields);
        }
        Some(seen)
    }
}

/// The right to fill a record.
pub(super) struct Lease {
    pub(super) keys: Keys,
    pub(super) token: Token,
    pub(super) ttl: Duration,
    pub(super) look: bool,
}

impl Ask for Lease {
    /// `None`: the server doesn't know the script (any more).
    type Answer = Option<Acquire>;
    const CONDUCT: Conduct = Conduct::Once;

    fn crowd(crowds: &Crowds) -> &Crowd<Lease, Answer<Lease>> {
        &crowds.leases
    }

    fn commands(&self, scripts: &Scripts) -> impl Iterator<Item = Cmd> {
        let mut ask = scripts.acquire.request(&self.keys);
        script::write_acquire(&mut ask, self.token, self.ttl, self.look);
        iter::once(ask)
    }

    fn answer(
        &self,
        replies: &mut Vec<RedisResult<Value>>,
        _: &Crowds,
    ) -> Option<RedisResult<Self::Answer>> {
        Some(match replies.pop()? {
            Ok(reply) => script::acquired(reply).map(Some),
            Err(error) if script::is_unknown(&error) => Ok(None),
            Err(error) => Err(error),
        })
    }
}

impl RedisStore {
    /// Asks alone, if nobody waits for a connection and one is free; else together with all who wait. `question` is made
    /// for the second only.
    pub(super) fn ask<Q: Ask>(
        &self,
        alone: impl FnMut(&mut Connection) -> RedisResult<Q::Answer>,
        question: impl FnOnce() -> Q,
    ) -> Answer<Q> {
        let crowd = Q::crowd(&self.crowds);
        // Those who wait were here first.
        if !crowd.is_there()
            && let Some(wire) = self.connections.try_checkout()
        {
            return self.connections.run_on(wire, Q::CONDUCT, alone);
        }
        let Timeouts { checkout, io, .. } = self.connections.timeouts();
        let in_line = Instant::now() + checkout;
        let in_all = in_line + io;
        match crowd.join(question(), Patience { in_line, in_all }) {
            Turn::Answered(answer) => answer,
            Turn::Envoy(envoy) => self.ask_for_all(envoy, Patience { in_line, in_all }),
            Turn::Late => Err(self.connections.late()),
        }
    }

    /// Waits for a connection, and asks for all who have come meanwhile.
    fn ask_for_all<Q: Ask>(&self, envoy: Envoy<'_, Q, Answer<Q>>, patience: Patience) -> Answer<Q> {
        let wait = patience.in_line.saturating_duration_since(Instant::now());
        let wire = match self.connections.checkout(wait) {
            Ok(wire) => wire,
            Err(failure) => {
                if failure.symptom == Symptom::Silent {
                    // There is none to be had, by nobody.
                    let mut party = envoy.take(usize::MAX);
                    party.answer_all(|| Err(failure.clone()));
                }
                return Err(failure);
            }
        };
        let mut party = envoy.take(self.crowds.most());
        let run = |connection: &mut Connection| self.fetch(connection, &mut party, patience.in_all);
        if let Err(failure) = self.connections.run_on(wire, Q::CONDUCT, run) {
            // One connection failed, so one of them tells the breaker.
            let shared = Failure {
                symptom: Symptom::Crowded,
                cause: Arc::clone(&failure.cause),
            };
            party.answer(Err(failure));
            party.answer_all(|| Err(shared.clone()));
        }
        party.end().unwrap_or_else(|| Err(self.connections.late()))
    }

    /// Asks for all who have no answer yet, and hands out what comes. The caller, who is the first of them, does so until then.
    fn fetch<Q: Ask>(
        &self,
        connection: &mut Connection,
        party: &mut Party<Q, Answer<Q>>,
        until: Instant,
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
            party.answer(match answer {
                Err(error) if !is_refusal(error.kind()) => return Err(error),
                Err(refusal) => Err(cause::failure(refusal, io)),
                Ok(answer) => Ok(answer),
            });
            if party.first().is_some() && Instant::now() >= until {
                party.answer_all(|| Err(self.connections.late()));
                return Err((ErrorKind::Client, "replies that nobody waits for").into());
            }
            Ok(())
        };
        pipeline::stream_to(connection, LARGE_REPLIES, commands.into_iter(), hand_out)
    }
}
