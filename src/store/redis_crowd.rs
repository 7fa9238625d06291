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
    Acquire, Entry, Failure, Symptom, TtlRemaining,
    cause::{self, Behind},
    command::{entry, entry_with_ttl},
    connection::{Conduct, Lent, Timeouts},
    crowd::{Crowd, Envoy, Party, Patience, Turn},
    pipeline::{self, LARGE_REPLIES},
    redis::RedisStore,
    redis_many::is_refusal,
    script::{self, Scripts},
};
use crate::{fields::Fields, key::Keys, token::Token};

/// How many questions are asked at once, at most.
const MOST: usize = 64;

/// And how many bytes their answers should have. More than that takes longer than a round trip, and who hands out the answers
/// would be kept for the others' sake, while another connection may be free.
const SHARED_BYTES: usize = 256 << 10;

/// How large a record is taken to be, before one was seen.
const RECORD_BYTES: usize = 16 << 10;

/// Those who wait for a connection.
pub(super) struct Crowds {
    looks: Crowd<Look, Answer<Look>>,
    leases: Crowd<Lease, Answer<Lease>>,
    /// How large the largest record of late was; an estimate, which sinks with each smaller one.
    record_bytes: AtomicUsize,
}

impl Default for Crowds {
    fn default() -> Crowds {
        Crowds {
            looks: Crowd::default(),
            leases: Crowd::default(),
            record_bytes: AtomicUsize::new(RECORD_BYTES),
        }
    }
}

/// A question that can be asked for somebody else.
pub(super) trait Ask: Sized {
    type Answer: Clone;
    const CONDUCT: Conduct;

    /// Those who have the same kind of question.
    fn crowd(crowds: &Crowds) -> &Crowd<Self, Answer<Self>>;

    /// Whether one answer does for both.
    fn is_same(&self, other: &Self) -> bool;

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
        let largest = self.record_bytes.load(Relaxed);
        let sunk = largest - largest / 16;
        self.record_bytes.store(bytes.max(sunk), Relaxed);
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

    fn is_same(&self, other: &Look) -> bool {
        self.with_ttl == other.with_ttl && self.data == other.data
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

    /// Each has a token of its own.
    fn is_same(&self, _: &Lease) -> bool {
        false
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
        let run = |connection: &mut Connection| self.fetch(connection, &mut party, until);
        if let Err(failure) = self.connections.run_on(wire, Q::CONDUCT, run) {
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
                party.answer_all(Err(self.unanswered()), || Err(self.unanswered()));
                return Err((ErrorKind::Client, "replies that nobody waits for").into());
            }
            Ok(())
        };
        pipeline::stream_to(connection, LARGE_REPLIES, commands.into_iter(), hand_out)
    }
}
