//! The first look of lookups on a Redis server: alone where a connection is free, else together with all who wait for one.
//!
//! Only reads are shared. To look twice does no harm, so those of a lost connection are sent again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use redis::{Cmd, Connection, ErrorKind, RedisResult, cmd, from_redis_value};

use super::{
    Entry, Failure, Symptom, TtlRemaining, cause,
    command::{self, entry, entry_with_ttl},
    connection::{Conduct, Lent, Timeouts},
    crowd::{Crowd, Envoy, Party, Patience, Turn},
    pipeline::{self, LARGE_REPLIES},
    redis::RedisStore,
    redis_many::is_refusal,
};

/// How many are asked for at once, at most.
const MOST: usize = 128;

/// And how many bytes their answers should have. More than that takes longer than a round trip, and who hands out the answers
/// would be kept for the others' sake, while another connection may be free.
const SHARED_BYTES: usize = 256 << 10;

/// Who waits to read.
#[derive(Default)]
pub(super) struct Readers {
    crowd: Crowd<Question, Answer>,
    /// How large an answer is, as a rule: a moving average, in bytes.
    answer_bytes: AtomicUsize,
}

struct Question {
    data: String,
    with_ttl: bool,
}

/// What stands at a data key, and for how long; `NoTtl` where that was not asked.
type Answer = Result<(Entry, TtlRemaining), Failure>;

impl Readers {
    fn most(&self) -> usize {
        // Relaxed: it is an estimate.
        let bytes = self.answer_bytes.load(Relaxed);
        (SHARED_BYTES / bytes.max(1)).clamp(1, MOST)
    }

    fn met(&self, entry: &Entry) {
        let Entry::Record(fields) = entry else {
            return;
        };
        let bytes: usize = fields
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        let mean = self.answer_bytes.load(Relaxed);
        self.answer_bytes.store((7 * mean + bytes) / 8, Relaxed);
    }
}

impl RedisStore {
    /// What stands at a data key.
    pub(super) fn look(&self, data: &str, with_ttl: bool) -> Answer {
        let Readers { crowd, .. } = &self.readers;
        // Those who wait were here first.
        if !crowd.is_there()
            && let Some(wire) = self.connections.try_checkout()
        {
            return self.look_alone(wire, data, with_ttl);
        }
        let Timeouts { checkout, io, .. } = self.connections.timeouts();
        let in_line = Instant::now() + checkout;
        let in_all = in_line + io;
        let patience = Patience { in_line, in_all };
        let data = data.to_owned();
        match crowd.join(Question { data, with_ttl }, patience) {
            Turn::Answered(answer) => answer,
            Turn::Envoy(envoy) => self.look_for_all(envoy, patience),
            Turn::Late => Err(self.connections.late()),
        }
    }

    fn look_alone(&self, wire: Lent, data: &str, with_ttl: bool) -> Answer {
        let run = |connection: &mut Connection| {
            if with_ttl {
                return command::read_with_ttl(connection, data);
            }
            Ok((command::read(connection, data)?, TtlRemaining::NoTtl))
        };
        self.connections.run_on(wire, Conduct::Repeatable, run)
    }

    /// Waits for a connection, and looks for all who have come meanwhile.
    fn look_for_all(&self, envoy: Envoy<'_, Question, Answer>, patience: Patience) -> Answer {
        let wait = patience.in_line.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            // It was called when it had come back to the line, and is late to ask anything.
            return Err(self.connections.late());
        }
        let wire = match self.connections.checkout(wait) {
            Ok(wire) => wire,
            Err(failure) => {
                if failure.symptom == Symptom::Silent {
                    // There is none to be had, by nobody.
                    envoy.take(usize::MAX).answer_all(|| Err(failure.clone()));
                }
                return Err(failure);
            }
        };
        let mut party = envoy.take(self.readers.most());
        let mut has_time = true;
        let asked = self
            .connections
            .run_on(wire, Conduct::Repeatable, |connection| {
                self.fetch(connection, &mut party, || {
                    has_time = Instant::now() < patience.in_all;
                    has_time
                })
            });
        if let Err(failure) = asked
            && has_time
        {
            // One connection failed, so one of them tells the breaker.
            let shared = Failure {
                symptom: Symptom::Crowded,
                cause: Arc::clone(&failure.cause),
            };
            party.answer(Err(failure));
            party.answer_all(|| Err(shared.clone()));
        }
        // Who has no time left has its own answer, and the rest goes back to the line.
        party.end().unwrap_or_else(|| Err(self.connections.late()))
    }

    /// Asks for all who have no answer yet, and hands out what comes. `has_time`: whether the caller, who has its own, can go
    /// on to hand out the others'.
    fn fetch(
        &self,
        connection: &mut Connection,
        party: &mut Party<'_, Question, Answer>,
        mut has_time: impl FnMut() -> bool,
    ) -> RedisResult<()> {
        let commands: Vec<_> = party.questions().flat_map(Question::commands).collect();
        let io = self.connections.timeouts().io;
        let mut left = None;
        pipeline::stream_to(connection, LARGE_REPLIES, commands.into_iter(), |reply| {
            let reply = reply.extract_error();
            if left.is_none() && party.questions().next().is_some_and(|first| first.with_ttl) {
                left = Some(reply);
                return Ok(());
            }
            let seen = match left.take() {
                Some(left) => {
                    entry_with_ttl(left.and_then(|left| Ok(from_redis_value(left)?)), reply)
                }
                None => entry(reply).map(|entry| (entry, TtlRemaining::NoTtl)),
            };
            match seen {
                Err(error) if !is_refusal(error.kind()) => return Err(error),
                Err(refusal) => party.answer(Err(cause::failure(refusal, io))),
                Ok((entry, left)) => {
                    self.readers.met(&entry);
                    party.answer(Ok((entry, left)));
                }
            }
            if party.questions().next().is_some() && !has_time() {
                return Err((ErrorKind::Client, "no time to read the others' replies").into());
            }
            Ok(())
        })
    }
}

impl Question {
    /// In this order, as in `command.rs`.
    fn commands(&self) -> impl Iterator<Item = Cmd> {
        let ttl = self.with_ttl.then_some("PTTL");
        ttl.into_iter().chain(["HGETALL"]).map(|name| {
            let mut look = cmd(name);
            look.arg(&self.data);
            look
        })
    }
}
