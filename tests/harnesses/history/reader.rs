//! One lookup, and the check of its answer.
//!
//! The oldest allowed version is read **before** the lookup begins. A found record contains its
//! version. If no record is found, some version must be a deletion. It must not be too old, and
//! must have been committed by the end of the lookup.

use std::{
    convert::Infallible,
    sync::atomic::Ordering::SeqCst,
    time::{self, Duration},
};

use cache_aside::{Error, Loaded, Lookup, Record, Source};

use crate::{
    plan::{Instant, Violation},
    primary::{Primary, is_deletion, last_deletion, next_deletion},
    random::Random,
    workers::{LAG, LEASE_TTL, NEAR_STALENESS, Row, Worker},
};

/// What was known before a lookup began.
struct Before {
    settled: u64,
    owed: u64,
    /// The oldest version that a near hit may return.
    near: u64,
    /// The oldest version that is allowed in a process that has not noticed a move.
    late: Option<u64>,
    began: Instant,
}

/// What is wrong with an answer.
enum Fault {
    /// It is too old. That is possible if Redis lost an acknowledged change.
    Stale(&'static str),
    /// It is too old. That is possible for a while after the address was moved.
    Late(&'static str),
    Other(String),
}

/// An answer.
struct Seen {
    version: Option<u64>,
    /// The record's own id.
    id: Option<String>,
}

impl Worker<'_> {
    pub(crate) fn read(&mut self, row: &Row) {
        let before = self.before(row);
        let began = (time::Instant::now(), self.workers.stalled());
        let schema = self.workers.plan.schema;
        let answer = if self.workers.plan.replica {
            let options = self.workers.cache.options();
            options.get_with_context(&row.id, |context| {
                let id = context.id();
                let version = if context.read_primary() {
                    load(&mut self.primary, &mut self.random, &[id])[0]
                } else {
                    load_from_replica(&mut self.primary, &mut self.random, id)
                };
                let loaded = Loaded::new(record(id, version, schema));
                Ok::<_, Infallible>(loaded.version(version))
            })
        } else {
            self.workers.cache.get(&row.id, |id| {
                let read = load(&mut self.primary, &mut self.random, &[id]);
                Ok::<_, Infallible>(record(id, read[0], schema))
            })
        };
        self.measure(row, &before, began, &answer);
        self.check(row, &before, &answer);
    }

    /// Peeks at the cached record. If there is none, or if Redis cannot be asked, nothing is
    /// checked.
    pub(crate) fn peek(&mut self, row: &Row) {
        let before = self.before(row);
        if let Ok(Some(found)) = self.workers.cache.peek(&row.id) {
            self.check(row, &before, &Ok(found));
        }
    }

    /// Reads several different records in one call.
    pub(crate) fn read_some(&mut self, rows: &[&Row]) {
        let before: Vec<_> = rows.iter().map(|row| self.before(row)).collect();
        let ids = rows.iter().map(|row| row.id.as_str());
        let began = (time::Instant::now(), self.workers.stalled());
        let schema = self.workers.plan.schema;
        let answers = self.workers.cache.get_many(ids, |ids| {
            let read = load(&mut self.primary, &mut self.random, ids);
            let found = ids.iter().zip(read);
            let found =
                found.filter_map(|(&id, read)| Some((id.to_owned(), record(id, read, schema)?)));
            Ok::<_, Infallible>(found.collect::<Vec<_>>())
        });
        let answers = match answers {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        };
        self.measure(rows[0], &before[0], began, &answers[0]);
        for ((row, before), answer) in rows.iter().zip(&before).zip(&answers) {
            self.check(row, before, answer);
        }
    }

    fn before(&mut self, row: &Row) -> Before {
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

    /// Checks how long the lookup took, without the time for which this process did not run.
    fn measure(
        &mut self,
        row: &Row,
        before: &Before,
        (began, stalled): (time::Instant, Duration),
        answer: &Result<Lookup<Record>, Error>,
    ) {
        let mut elapsed = began.elapsed();
        let longest = self.workers.plan.longest_lookup.unwrap_or(Duration::MAX);
        if elapsed > longest {
            let stalled = self.workers.stalled_by_now().saturating_sub(stalled);
            elapsed = elapsed.saturating_sub(stalled);
        }
        self.tally.longest = self.tally.longest.max(elapsed);
        if elapsed > longest {
            let what = "a lookup that took longer than any may".to_owned();
            self.report(row, before, Fault::Other(what), answer);
        }
    }

    fn check(&mut self, row: &Row, before: &Before, answer: &Result<Lookup<Record>, Error>) {
        let fault = match answer {
            Ok(found) => self.count_and_check(row, before, found),
            Err(error) => Some(Fault::Other(format!("a lookup failed: {error:#}"))),
        };
        if let Some(fault) = fault {
            self.report(row, before, fault, answer);
        }
    }

    /// What is wrong with this answer, if anything is.
    fn count_and_check(
        &mut self,
        row: &Row,
        before: &Before,
        found: &Lookup<Record>,
    ) -> Option<Fault> {
        let tally = &mut self.tally;
        match found.source() {
            Source::Hit => tally.hits += 1,
            Source::Near => tally.near += 1,
            Source::Loaded => tally.loaded += 1,
            Source::Waited => tally.waited += 1,
            Source::Stale => tally.stale += 1,
            Source::Refreshed => tally.refreshed += 1,
            _ => tally.degraded += 1,
        }
        let seen = Seen::of(found);
        let mut wrong = |floor| match seen.version {
            Some(version) => version < floor,
            // Read only if it matters, and late: the answer is right if it was right at any moment.
            None => next_deletion(floor) > self.primary.newest(&row.id),
        };
        tally.absent += u64::from(seen.version.is_none());
        if wrong(before.owed) {
            return Some(Fault::Stale(
                "older than a write of this process whose invalidation had failed",
            ));
        }
        let (floor, what) = match found.source() {
            Source::Near => (before.near, "older than what may be read near"),
            _ => (
                before.settled,
                "older than a write whose invalidation had returned",
            ),
        };
        if wrong(floor) {
            let is_late = before.late.is_some_and(|floor| !wrong(floor));
            return Some(if is_late {
                Fault::Late(what)
            } else {
                Fault::Stale(what)
            });
        }
        if seen.version.is_some_and(is_deletion) || seen.id.is_some_and(|id| id != row.id) {
            return Some(Fault::Other("a record that never was".to_owned()));
        }
        let schema = self.workers.plan.schema.map(|number| number.to_string());
        if found
            .record()
            .is_some_and(|record| record.get("schema") != schema.as_deref())
        {
            return Some(Fault::Other("a record of another schema".to_owned()));
        }
        None
    }

    fn report(
        &mut self,
        row: &Row,
        before: &Before,
        fault: Fault,
        answer: &Result<Lookup<Record>, Error>,
    ) {
        let ended = Instant::now();
        let source = match answer {
            Ok(found) => match found.degraded_cause() {
                Some(cause) => format!("{}: {cause:#}", found.source()),
                None => found.source().to_string(),
            },
            Err(_) => "none".to_owned(),
        };
        let seen = answer
            .as_ref()
            .ok()
            .and_then(|found| Seen::of(found).version);
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

/// Reads the record from a replica of the primary, with a pause.
fn load_from_replica(primary: &mut Primary, random: &mut Random, id: &str) -> u64 {
    random.pause(1);
    let lag = u64::try_from(LAG.as_millis()).expect("it is short");
    let read = primary.replicated(id, random.millis(0, lag));
    random.pause(2);
    read
}

/// Reads the records from the primary, with a pause.
fn load(primary: &mut Primary, random: &mut Random, ids: &[&str]) -> Vec<u64> {
    random.pause(1);
    let read = ids.iter().map(|id| primary.newest(id)).collect();
    // From here on the versions may become old.
    if random.one_in(24) {
        let lease = u64::try_from(LEASE_TTL.as_millis()).expect("it is short");
        std::thread::sleep(random.millis(lease, 2 * lease));
    } else {
        random.pause(2);
    }
    read
}

impl Seen {
    fn of(found: &Lookup<Record>) -> Seen {
        let field = |name| Some(found.record()?.get(name).unwrap_or_default());
        Seen {
            // A record without a version counts as older than any.
            version: field("version").map(|text| text.parse().unwrap_or(0)),
            id: field("id").map(ToOwned::to_owned),
        }
    }
}

/// The record of this version, as a process with this schema stores it. `None` if the version
/// deletes the record.
pub(crate) fn record(id: &str, version: u64, schema: Option<u32>) -> Option<Record> {
    if is_deletion(version) {
        return None;
    }
    let mut record = Record::from([("id", id.to_owned()), ("version", version.to_string())]);
    record.extend(schema.map(|number| ("schema", number.to_string())));
    Some(record)
}
