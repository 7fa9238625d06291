//! A row of the table: a fault, and its effect on each call.
//!
//! All five calls are made at the same time during the fault, each by its own thread.
//! [`Row::holds`] asserts more than the answer and the time.

use std::{
    fmt,
    sync::Once,
    thread,
    time::{Duration, Instant},
};

use cache_aside::{Error, Lookup, Source};

use super::environment::{Call, Cell, Environment, Loaf, NAME, NEVER, TIMEOUT, Wire};
use crate::{
    child,
    support::{chain, until},
};

/// How long a request takes at most that waits for a connection and then for a reply.
pub(crate) const PATIENCE: Duration = TIMEOUT.saturating_add(TIMEOUT);

/// How long a request takes at most that fails when it is sent.
pub(crate) const AT_ONCE: Duration = Duration::from_millis(20);

/// The message after a timeout.
pub(crate) const SILENCE: &str = "no answer within 1s";

/// The delay that a busy machine may add to a call.
const ROOM: Duration = Duration::from_secs(2);

/// The result of a call, in the words of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The lookup found its record in Redis.
    Hit,
    /// The loader returned it.
    Loaded,
    /// The loader returned it without Redis.
    Degraded,
    /// The write succeeded, and a record was cached before.
    Done,
    /// The write succeeded, and no record was cached before, or none is left.
    NoRecord,
    /// One of these two, depending on the server's version.
    DoneOrNoRecord,
    /// The primary has been changed, and the invalidation is pending.
    Deferred,
    /// An error: Redis has not been invalidated. The invalidation is pending.
    Failed,
}

impl Answer {
    fn is(self, expected: Answer) -> bool {
        match expected {
            Answer::DoneOrNoRecord => matches!(self, Answer::Done | Answer::NoRecord),
            expected => self == expected,
        }
    }
}

pub(crate) struct Row {
    pub(crate) fault: &'static str,
    pub(crate) wire: Wire,
    pub(crate) begins: fn(&mut Environment),
    pub(crate) ends: fn(&mut Environment),
    /// A lookup of a cached record, a lookup of a missing one, `invalidate`, `write`,
    /// `update_field`.
    pub(crate) answers: [Answer; 5],
    /// Every error that a caller gets contains one of these, separated by `|`.
    pub(crate) because: &'static str,
    /// How long a failing request may take.
    pub(crate) within: Duration,
}

/// The observations of one call.
struct Seen {
    answer: Answer,
    why: Option<Error>,
    elapsed: Duration,
}

impl Row {
    /// Makes the five calls. Asserts:
    ///
    /// - the answer, its reason, and the time it took;
    /// - during the fault, the next lookup of the same cache gets the primary's record;
    /// - afterwards, so does another cache, and every key has a TTL;
    /// - then everything works as if there had been no fault.
    pub(crate) fn holds(self) {
        let waits = self.within == PATIENCE;
        let mut environment = Environment::new(self.wire, if waits { TIMEOUT } else { NEVER });
        (self.begins)(&mut environment);
        let seen = together(&environment, |cell| {
            let seen = call(cell);
            assert_current(cell, &cell.get());
            seen
        });
        (self.ends)(&mut environment);
        together(&environment, |cell| {
            cell.wait_until_all_is_well();
            assert_current(cell, &cell.strangers_get());
            assert_current(cell, &cell.get());
            assert_current(cell, &cell.strangers_get());
        });
        environment.server.assert_every_key_expires();
        together(&environment, |cell| works(cell, self.promotes_replica()));
        self.print(&seen);
        for (cell, (seen, answer)) in environment.cells.iter().zip(seen.iter().zip(self.answers)) {
            let call = cell.call;
            let why = seen.why.as_ref().map(|why| chain(why));
            assert!(
                seen.answer.is(answer),
                "{call:?}: {:?}, not {answer:?}: {why:?}",
                seen.answer
            );
            if let Some(why) = why {
                let mut reasons = self.because.split('|');
                let is_known = reasons.any(|reason| why.contains(reason));
                assert!(is_known, "{call:?}: {why}");
                assert!(!why.contains(NAME), "a record's contents: {why}");
            }
            let most = self.within * requests(call) + ROOM;
            assert!(seen.elapsed < most, "{call:?} took {:?}", seen.elapsed);
        }
    }

    /// Whether the end of the fault makes a replica a master, which counts as another server.
    fn promotes_replica(&self) -> bool {
        self.because.contains("read only replica")
    }

    /// As a row of Markdown.
    fn print(&self, seen: &[Seen]) {
        static HEAD: Once = Once::new();
        HEAD.call_once(|| {
            // The process that started this one prints its own.
            if child::is_one() {
                return;
            }
            println!(
                "| fault | `get`, cached | `get`, not cached | `invalidate` | `write` | `update_field` | slowest |"
            );
            println!("|---|---|---|---|---|---|---|");
        });
        let answers: Vec<_> = seen.iter().map(|seen| seen.answer.to_string()).collect();
        let slowest = seen
            .iter()
            .map(|seen| seen.elapsed)
            .max()
            .unwrap_or_default();
        println!(
            "| {} | {} | {} ms |",
            self.fault,
            answers.join(" | "),
            slowest.as_millis()
        );
        for seen in seen.iter().filter_map(|seen| seen.why.as_ref()) {
            println!("    {seen}");
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Answer::Hit => "hit",
            Answer::Loaded => "loaded",
            Answer::Degraded => "degraded",
            Answer::Done => "done",
            Answer::NoRecord => "done, no record",
            Answer::DoneOrNoRecord => "done, or no record",
            Answer::Deferred => "deferred",
            Answer::Failed => "error, deferred",
        })
    }
}

/// The requests of a call, each of which may fail.
fn requests(call: Call) -> u32 {
    match call {
        Call::GetHit | Call::Invalidate => 1,
        // Before and after; or the update, and the invalidation that replaces it.
        Call::Write | Call::UpdateField => 2,
        // The read, the lease, the fill.
        Call::GetMiss => 3,
    }
}

fn together<T: Send>(environment: &Environment, act: impl Fn(&Cell) -> T + Sync) -> Vec<T> {
    let act = &act;
    thread::scope(|scope| {
        let all: Vec<_> = environment
            .cells
            .iter()
            .map(|cell| scope.spawn(move || act(cell)))
            .collect();
        let joined = all.into_iter().map(thread::ScopedJoinHandle::join);
        joined
            .collect::<Result<_, _>>()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Makes the call of this cell.
fn call(cell: &Cell) -> Seen {
    let (id, cache) = (&cell.id, &cell.cache);
    let update = |version: u64| cache.update_field(id, "version", version.to_string());
    let version = match cell.call {
        Call::Invalidate | Call::UpdateField => cell.commit(),
        _ => cell.version(),
    };
    let began = Instant::now();
    let (answer, why) = match cell.call {
        Call::GetHit | Call::GetMiss => {
            let found = cell.get();
            assert_current(cell, &found);
            let found = found.unwrap();
            let answer = match found.source() {
                Source::Hit => Answer::Hit,
                Source::Loaded => Answer::Loaded,
                Source::Degraded => Answer::Degraded,
                other => panic!("{other}, where nobody else loads"),
            };
            (answer, found.degraded_cause().cloned())
        }
        Call::Invalidate => written(cache.invalidate(id)),
        Call::UpdateField => written(update(version)),
        Call::Write => {
            let written = cache.write(id, || Ok::<_, Error>(cell.commit())).unwrap();
            match written.invalidation_error() {
                None => (Answer::Done, None),
                Some(why) => (Answer::Deferred, Some(why.clone())),
            }
        }
    };
    let elapsed = began.elapsed();
    Seen {
        answer,
        why,
        elapsed,
    }
}

fn written(outcome: Result<bool, Error>) -> (Answer, Option<Error>) {
    match outcome {
        Ok(true) => (Answer::Done, None),
        Ok(false) => (Answer::NoRecord, None),
        Err(why) => (Answer::Failed, Some(why)),
    }
}

fn assert_current(cell: &Cell, found: &Result<Lookup<Loaf>, Error>) {
    let record = found.as_ref().map(Lookup::record);
    let version = record.unwrap().map(|record| record.version);
    assert_eq!(version, Some(cell.version()), "{found:?}");
}

/// The cache hits, invalidates, loads and hits again. `may_switch`: it may notice another server
/// first.
fn works(cell: &Cell, may_switch: bool) {
    let get = || cell.get().unwrap();
    // The first lookups may not hit: a guard or lease that the cache has lost track of stays until
    // it lapses. If the cache notices another server during the invalidation, it repeats the
    // request, which then finds no record. If it notices it while it asks for the lease, the lookup
    // is degraded.
    until(|| {
        if get().source() != Source::Hit || !cell.cache.invalidate(&cell.id).unwrap() {
            return false;
        }
        let found = get();
        let cause = found.degraded_cause().map(|cause| chain(cause));
        if may_switch && cause.is_some_and(|cause| cause.contains("another server took over")) {
            return false;
        }
        assert_eq!(found.source(), Source::Loaded, "{found:?}");
        true
    });
    let hit = get();
    assert_eq!(hit.source(), Source::Hit, "{hit:?}");
}
