//! One lookup, and the check of its answer.
//!
//! A found record contains its version. If no record is found, some version must be a deletion. Of
//! both, `judge` tells whether they are too old.

use std::{
    convert::Infallible,
    time::{self, Duration},
};

use cache_aside::{Error, Loaded, Lookup, Record};

use crate::{
    judge::{Before, Fault, source_of},
    plan::Plan,
    primary::{Primary, is_deletion},
    random::Random,
    workers::{LAG, LEASE_TTL, Row, Worker},
};

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
            self.report_answer(row, before, Fault::Other(what), answer);
        }
    }

    fn check(&mut self, row: &Row, before: &Before, answer: &Result<Lookup<Record>, Error>) {
        let fault = match answer {
            Ok(found) => self.count_and_check(row, before, found),
            Err(error) => Some(Fault::Other(format!("a lookup failed: {error:#}"))),
        };
        if let Some(fault) = fault {
            self.report_answer(row, before, fault, answer);
        }
    }

    fn report_answer(
        &mut self,
        row: &Row,
        before: &Before,
        fault: Fault,
        answer: &Result<Lookup<Record>, Error>,
    ) {
        let seen = answer.as_ref().ok().map(Seen::of);
        let seen = seen.and_then(|seen| seen.version);
        self.report(row, before, fault, seen, source_of(answer));
    }

    /// What is wrong with this answer, if anything is.
    fn count_and_check(
        &mut self,
        row: &Row,
        before: &Before,
        found: &Lookup<Record>,
    ) -> Option<Fault> {
        let seen = Seen::of(found);
        self.count(found.source(), seen.version.is_none());
        let old = self.is_too_old(row, before, seen.version, found.source());
        if old.is_some() {
            return old;
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
    grow_old(random);
    read
}

/// Reads the record for an audit.
pub(crate) fn load_aside(primary: &mut Primary, id: &str, plan: &Plan) -> Option<Record> {
    record(id, primary.newest(id), plan.schema)
}

/// A pause after which the versions that were read may be old, and now and then the lease has
/// lapsed.
pub(crate) fn grow_old(random: &mut Random) {
    if random.one_in(24) {
        let lease = u64::try_from(LEASE_TTL.as_millis()).expect("it is short");
        std::thread::sleep(random.millis(lease, 2 * lease));
    } else {
        random.pause(2);
    }
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
