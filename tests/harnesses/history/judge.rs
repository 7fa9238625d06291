//! Judges answers: which versions of a row are too old for a lookup.
//!
//! The oldest allowed version is read **before** the lookup begins. An answer without a record must
//! agree with a deletion that is not too old, and that was committed by the end of the lookup.

use std::{
    collections::VecDeque,
    sync::atomic::Ordering::SeqCst,
    time::{self, Duration},
};

use cache_aside::{Error, Lookup, Source};

use crate::{
    plan::{Instant, Violation},
    primary::{last_deletion, next_deletion},
    sync::Mutex,
    workers::{NEAR_STALENESS, Row, Worker},
};

/// What was known before a lookup began.
pub(crate) struct Before {
    pub(crate) settled: u64,
    pub(crate) owed: u64,
    /// The oldest version that a near hit may return.
    pub(crate) near: u64,
    /// The oldest version that is allowed in a process that has not noticed a move.
    pub(crate) late: Option<u64>,
    pub(crate) began: Instant,
}

/// What is wrong with an answer.
pub(crate) enum Fault {
    /// It is too old. That is possible if Redis lost an acknowledged change.
    Stale(&'static str),
    /// It is too old. That is possible for a while after the address was moved.
    Late(&'static str),
    Other(String),
}

/// Which version was settled at which instant, as far as lookups of this process have learned.
#[derive(Default)]
pub(crate) struct Learned(Mutex<VecDeque<(time::Instant, u64)>>);

impl Learned {
    /// Learns which version is settled now. Returns the version that was settled at least `bound`
    /// ago.
    pub(crate) fn learn(&self, settled: u64, bound: Duration) -> u64 {
        let mut learned = self.0.lock();
        // Under the lock, so that the instants are in order.
        let now = time::Instant::now();
        learned.push_back((now, settled));
        // The latest entry that is old enough stays in front, with the newest of the versions
        // before it.
        let is_old = |(instant, _): &(time::Instant, u64)| *instant + bound <= now;
        while learned.get(1).is_some_and(is_old) {
            let (_, passed) = learned.pop_front().unwrap_or((now, 0));
            if let Some((_, first)) = learned.front_mut() {
                *first = passed.max(*first);
            }
        }
        let long_ago = learned.front().filter(|first| is_old(first));
        long_ago.map_or(0, |(_, settled)| *settled)
    }
}

impl Worker<'_> {
    /// Reads what the answer of a lookup that begins now must not be older than.
    pub(crate) fn before(&mut self, row: &Row) -> Before {
        let (owed, own) = (row.owed.load(SeqCst), row.own.load(SeqCst));
        let settled = self.primary.settled(&row.id);
        Before {
            owed,
            settled,
            near: if self.workers.plan.near {
                row.near.learn(settled, NEAR_STALENESS).max(own)
            } else {
                0
            },
            late: self
                .workers
                .plan
                .may_be_late
                .map(|bound| row.late.learn(settled, bound).max(own)),
            began: Instant::now(),
        }
    }

    /// Counts an answer.
    pub(crate) fn count(&mut self, source: Source, is_absent: bool) {
        let tally = &mut self.tally;
        match source {
            Source::Hit => tally.hits += 1,
            Source::Near => tally.near += 1,
            Source::Loaded => tally.loaded += 1,
            Source::Waited => tally.waited += 1,
            Source::Stale => tally.stale += 1,
            Source::Refreshed => tally.refreshed += 1,
            _ => tally.degraded += 1,
        }
        tally.absent += u64::from(is_absent);
    }

    /// Whether an answer with this version of the row, or without a record, is too old.
    pub(crate) fn is_too_old(
        &mut self,
        row: &Row,
        before: &Before,
        seen: Option<u64>,
        source: Source,
    ) -> Option<Fault> {
        let mut wrong = |floor| match seen {
            Some(version) => version < floor,
            // Read only if it matters, and late: the answer is right if it was right at any moment.
            None => next_deletion(floor) > self.primary.newest(&row.id),
        };
        if wrong(before.owed) {
            return Some(Fault::Stale(
                "older than a write of this process whose invalidation had failed",
            ));
        }
        let (floor, what) = match source {
            Source::Near => (before.near, "older than what may be read near"),
            _ => (
                before.settled,
                "older than a write whose invalidation had returned",
            ),
        };
        if !wrong(floor) {
            return None;
        }
        let is_late = before.late.is_some_and(|floor| !wrong(floor));
        Some(if is_late {
            Fault::Late(what)
        } else {
            Fault::Stale(what)
        })
    }

    /// Reports a wrong answer. `source`: where it came from.
    pub(crate) fn report(
        &mut self,
        row: &Row,
        before: &Before,
        fault: Fault,
        seen: Option<u64>,
        source: String,
    ) {
        if self
            .workers
            .plan
            .audit
            .is_some_and(|audit| !audit.is_judged)
        {
            self.tally.not_judged += 1;
            return;
        }
        let ended = Instant::now();
        let (what, may_be_lost) = match fault {
            Fault::Stale(what) => (what.to_owned(), self.workers.plan.may_be_stale),
            Fault::Late(what) => (what.to_owned(), true),
            Fault::Other(what) => (what, false),
        };
        let stale_since = if may_be_lost {
            let floor = before.settled.max(before.owed);
            let version = seen.unwrap_or_else(|| last_deletion(floor));
            self.primary.stale_since(&row.id, version)
        } else {
            None
        };
        let violation = Violation {
            what,
            key: row.id.clone(),
            seen,
            settled: before.settled,
            owed: before.owed,
            newest: self.primary.newest(&row.id),
            source,
            process: self.workers.plan.process,
            thread: self.thread,
            began: before.began,
            ended,
            stale_since,
        };
        if may_be_lost {
            self.workers.was_stale(violation);
        } else {
            self.workers.violated(violation);
        }
    }
}

/// Where an answer came from, for a report.
pub(crate) fn source_of<R>(answer: &Result<Lookup<R>, Error>) -> String {
    match answer {
        Ok(found) => match found.degraded_cause() {
            Some(cause) => format!("{}: {cause:#}", found.source()),
            None => found.source().to_string(),
        },
        Err(_) => "none".to_owned(),
    }
}
