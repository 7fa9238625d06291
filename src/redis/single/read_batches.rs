//! Batches of reads, which continue on another connection if one breaks off.
//!
//! Guarantees that a reply which breaks its connection each time fails only the read of its own
//! record. The first incomplete reply is assumed to be that one. It is asked for again at the end,
//! alone. A batch that times out is not continued: the caller would wait longer than promised.
//!
//! Called by the store on one server. A record is never written here, so a read may be repeated.

use std::{mem, time::Instant};

#[cfg(feature = "cluster")]
use crate::redis::pool::send_ahead::REPLIES_AHEAD;

use super::{parts::PipelineOutcome, store::RedisStore};
use crate::{
    redis::{
        command::{read_answer, read_commands},
        pool::{broken::Broken, run_request::RetryPolicy, send_ahead::SentAhead},
    },
    store::{BatchResult, Entry, Failure, FailureKind, TtlRemaining},
};

/// After this many breaks, the server or the network is at fault, and not a few of the replies.
const MOST_BREAKS: u32 = 8;

/// The reads of one batch, and the answers so far.
struct Reads<'a> {
    all: &'a [&'a str],
    with_ttl: bool,
    answers: Vec<Option<Result<(Entry, TtlRemaining), Failure>>>,
    /// The indices of the reads that are still to be sent together.
    together: Vec<usize>,
    /// The indices of those whose replies broke.
    alone: Vec<usize>,
    /// All of them, if they were sent before.
    sent: Option<SentAhead>,
}

impl<'a> Reads<'a> {
    fn new(all: &'a [&'a str], with_ttl: bool) -> Reads<'a> {
        Reads {
            all,
            with_ttl,
            answers: all.iter().map(|_| None).collect(),
            together: (0..all.len()).collect(),
            alone: Vec::new(),
            sent: None,
        }
    }
}

impl RedisStore {
    /// Reads the entries at these keys, and their TTLs if `with_ttl` is set.
    pub(in crate::redis) fn read_each(
        &self,
        all: &[&str],
        with_ttl: bool,
    ) -> BatchResult<(Entry, TtlRemaining)> {
        self.read_all_of(Reads::new(all, with_ttl))
    }

    /// Sends the same reads on a free connection, and reads no reply. `None`: nothing was sent,
    /// because no connection is free or the replies would be too large.
    #[cfg(feature = "cluster")]
    pub(in crate::redis) fn send_reads(&self, all: &[&str], with_ttl: bool) -> Option<SentAhead> {
        if all.len() * self.queues.reply_size.bytes() > REPLIES_AHEAD {
            return None;
        }
        let commands = all.iter().flat_map(|data| read_commands(data, with_ttl));
        self.connections.send_ahead(commands)
    }

    /// Reads the replies to these reads.
    #[cfg(feature = "cluster")]
    pub(in crate::redis) fn finish_reads(
        &self,
        all: &[&str],
        with_ttl: bool,
        sent: SentAhead,
    ) -> BatchResult<(Entry, TtlRemaining)> {
        self.read_all_of(Reads {
            sent: Some(sent),
            ..Reads::new(all, with_ttl)
        })
    }

    fn read_all_of(&self, mut reads: Reads<'_>) -> BatchResult<(Entry, TtlRemaining)> {
        let timeouts = self.connections.timeouts();
        let until = Instant::now() + timeouts.checkout + timeouts.io;
        // How often in a row a connection broke off before its first reply.
        let mut at_first = 0;
        for breaks in 1.. {
            let (arrived, Err(broken)) = self.read_together(&mut reads) else {
                break;
            };
            if !broken.may_repeat {
                return Err(broken.failure);
            }
            at_first = if arrived == 0 { at_first + 1 } else { 0 };
            if breaks == MOST_BREAKS || at_first == 3 || Instant::now() >= until {
                return self.end(reads, broken);
            }
            // A connection that breaks before its first reply was closed while it was idle. So all
            // are asked again.
            if at_first != 1 && arrived < reads.together.len() {
                let index = reads.together.remove(arrived);
                reads.alone.push(index);
            }
            let answers = &reads.answers;
            reads.together.retain(|index| answers[*index].is_none());
        }
        let mut last = None;
        for index in mem::take(&mut reads.alone) {
            reads.together = vec![index];
            if let (_, Err(broken)) = self.read_together(&mut reads) {
                let is_over = !broken.may_repeat || Instant::now() >= until;
                last = Some(broken);
                if is_over {
                    break;
                }
            }
        }
        match last {
            Some(broken) => self.end(reads, broken),
            None => Ok(reads.answers.into_iter().flatten().collect()),
        }
    }

    /// Sends the reads that are still to be sent together. Returns how many replies arrived.
    fn read_together(&self, reads: &mut Reads<'_>) -> (usize, Result<(), Broken>) {
        let (all, with_ttl) = (reads.all, reads.with_ttl);
        let read = |replies: &mut Vec<_>| {
            let read = read_answer(with_ttl, replies)?;
            // At once: if the connection is lost, the next attempt requests less ahead.
            self.queues.met(&read);
            Some(read)
        };
        let PipelineOutcome {
            answers,
            arrived,
            done,
        } = if let Some(sent) = reads.sent.take() {
            self.read_part(all.len(), read, |hand_on| {
                self.connections.read_sent(sent, hand_on)
            })
        } else {
            let together = reads.together.iter();
            let commands = together.flat_map(|index| read_commands(all[*index], with_ttl));
            let window = self.window_of_records();
            self.ask_part(RetryPolicy::Idempotent, window, commands, read)
        };
        for (index, answer) in reads.together.iter().zip(answers) {
            reads.answers[*index] = Some(answer);
        }
        (arrived, done)
    }

    /// The answers so far. The reads without an answer get the failure.
    fn end(&self, reads: Reads<'_>, broken: Broken) -> BatchResult<(Entry, TtlRemaining)> {
        if reads.answers.iter().all(Option::is_none) {
            return Err(self.or_cut(self.connections.repeated(broken)));
        }
        // The server has answered the others.
        let kind = FailureKind::Partial;
        let failure = self.or_cut(Failure {
            kind,
            ..broken.failure
        });
        let unread = || Err(failure.clone());
        let answers = reads.answers.into_iter();
        Ok(answers
            .map(|answer| answer.unwrap_or_else(unread))
            .collect())
    }
}
