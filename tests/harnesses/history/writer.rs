//! One write, of one record or of several: the commit, a pause, and the call of the cache.
//!
//! After a successful call, all versions up to the writer's own are settled, because they were
//! committed before the call. A failed call settles nothing. But this process must then not read
//! the record that it could not invalidate.

use std::{convert::Infallible, sync::atomic::Ordering::SeqCst};

use cache_aside::{Cache, Error, Loaded, Record, UnitOfWork, Written};

use crate::{
    plan::Instant,
    primary::Event,
    reader::record,
    workers::{Row, Worker, Writers},
};

#[derive(Debug, Clone, Copy)]
enum Call {
    Invalidate,
    InvalidateAt,
    WriteThrough,
    Write,
    Update,
    UpdateField,
}

/// If all processes write a record, two of them may set the same field at once. So there is no
/// `update_field`.
const BY_ALL: [Call; 5] = [
    Call::Invalidate,
    Call::InvalidateAt,
    Call::WriteThrough,
    Call::Write,
    Call::Update,
];
const BY_ONE: [Call; 7] = [
    Call::Invalidate,
    Call::InvalidateAt,
    Call::WriteThrough,
    Call::Write,
    Call::Update,
    Call::UpdateField,
    Call::UpdateField,
];

impl Worker<'_> {
    pub(crate) fn write(&mut self, row: &Row) {
        let (_one_at_a_time, calls) = match &row.writers {
            Writers::Here(writer) => (Some(writer.lock()), &BY_ONE[..]),
            Writers::All | Writers::Elsewhere => (None, &BY_ALL[..]),
        };
        let call = calls[self.random.index(calls.len())];
        let began = Instant::now();
        let (version, call, told) = match call {
            Call::Write => {
                let (version, told) = self.guarded(row);
                (version, call, told)
            }
            Call::WriteThrough => {
                let (version, told) = self.written_through(row);
                (version, call, told)
            }
            _ => self.committed_first(row, call),
        };
        self.settle(row, version, began, &format!("{call:?}"), told);
        *match call {
            Call::Invalidate => &mut self.tally.invalidate,
            Call::InvalidateAt => &mut self.tally.invalidate_at,
            Call::WriteThrough => &mut self.tally.write_through,
            Call::Write => &mut self.tally.write,
            Call::Update => &mut self.tally.update,
            Call::UpdateField => &mut self.tally.update_field,
        } += 1;
    }

    /// Writes several records in one transaction of the primary. All processes may write them.
    pub(crate) fn write_together(&mut self, rows: &[&Row]) {
        let began = Instant::now();
        let (versions, written) = if self.random.one_in(3) {
            self.many(rows)
        } else {
            self.unit(rows)
        };
        for (row, version) in rows.iter().zip(versions) {
            self.tally.unit += 1;
            // A unit that was dropped does not tell what it has done, so it settles nothing.
            let Some(written) = &written else { continue };
            let mut deferred = written.deferred().iter();
            let failed = deferred.find(|deferred| deferred.id == row.id);
            let told = failed.map_or(Ok(()), |failed| Err(failed.error.clone()));
            self.settle(row, version, began, "Unit", told);
        }
    }

    fn unit(&mut self, rows: &[&Row]) -> (Vec<u64>, Option<Written<()>>) {
        let longest = self.long_or_short();
        let mut unit = UnitOfWork::new();
        for row in rows {
            let added = unit.add(&self.workers.cache, &row.id);
            added.expect("the id is a good one");
        }
        unit.guard();
        self.random.pause(longest);
        let versions = rows.iter().map(|row| self.primary.commit(&row.id));
        let versions = versions.collect();
        self.random.pause(longest);
        if self.random.one_in(8) {
            unit.rollback();
            return (versions, None);
        }
        (versions, Some(unit.commit()))
    }

    /// Commits within the closure of `write_many`.
    fn many(&mut self, rows: &[&Row]) -> (Vec<u64>, Option<Written<()>>) {
        let longest = self.long_or_short();
        let (primary, random) = (&mut self.primary, &mut self.random);
        let mut versions = Vec::new();
        let ids = rows.iter().map(|row| &row.id);
        let written = self.workers.cache.write_many(ids, || {
            random.pause(longest);
            versions.extend(rows.iter().map(|row| primary.commit(&row.id)));
            random.pause(longest);
            Ok::<_, Infallible>(())
        });
        let written = written.expect("the ids are good ones, and nothing in it fails");
        (versions, Some(written))
    }

    /// Sometimes so many milliseconds that others read and write meanwhile, and that a guard
    /// lapses.
    pub(crate) fn long_or_short(&mut self) -> u64 {
        if self.random.one_in(6) { 40 } else { 2 }
    }

    /// Notes the end of a write.
    pub(crate) fn settle(
        &mut self,
        row: &Row,
        version: u64,
        began: Instant,
        call: &str,
        told: Result<(), Error>,
    ) {
        let settled = match &told {
            // The update gave up, and has invalidated the record.
            Ok(()) | Err(Error::Contended { .. }) => {
                row.own.fetch_max(version, SeqCst);
                version
            }
            Err(_) => {
                row.owed.fetch_max(version, SeqCst);
                self.tally.deferred += 1;
                0
            }
        };
        let how = match told {
            Ok(()) => "ok".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        let event = Event {
            began,
            ended: Instant::now(),
            process: self.workers.plan.process,
            thread: self.thread,
            version,
            is_settled: settled > 0,
            what: format!("{call}: {how}"),
        };
        self.primary.note(&row.id, settled, &event);
    }

    /// Commits within the closure of `write`.
    fn guarded(&mut self, row: &Row) -> (u64, Result<(), Error>) {
        let longest = self.long_or_short();
        let (primary, random) = (&mut self.primary, &mut self.random);
        let written = self.workers.cache.write(&row.id, || {
            random.pause(longest);
            let version = primary.commit(&row.id);
            random.pause(longest);
            Ok::<_, Infallible>(version)
        });
        let written = written.expect("the id is a good one, and nothing in it fails");
        let told = written.invalidation_error().cloned().map_or(Ok(()), Err);
        (written.into_value(), told)
    }

    /// Commits within the closure of `write_through`, and caches the record.
    fn written_through(&mut self, row: &Row) -> (u64, Result<(), Error>) {
        let longest = self.long_or_short();
        let (primary, random) = (&mut self.primary, &mut self.random);
        let has_version = random.one_in(2);
        let schema = self.workers.plan.schema;
        let written = self.workers.cache.write_through(&row.id, || {
            random.pause(longest);
            let version = primary.commit(&row.id);
            random.pause(longest);
            let loaded = Loaded::new(record(&row.id, version, schema));
            Ok::<_, Infallible>(if has_version {
                (version, loaded.version(version))
            } else {
                (version, loaded)
            })
        });
        let written = written.expect("the id is a good one, and nothing in it fails");
        self.tally.cached += u64::from(written.is_cached());
        let told = written.invalidation_error().cloned().map_or(Ok(()), Err);
        (written.into_value(), told)
    }

    /// Commits first, then calls the cache. A version that deletes the record leaves nothing to
    /// update.
    fn committed_first(&mut self, row: &Row, call: Call) -> (u64, Call, Result<(), Error>) {
        let version = self.primary.commit(&row.id);
        self.random.pause(1);
        let cache = &self.workers.cache;
        let new = record(&row.id, version, self.workers.plan.schema);
        let (call, told) = match (call, new) {
            (Call::UpdateField, Some(_)) => {
                let told = cache.update_field(&row.id, "version", version.to_string());
                (call, told)
            }
            (Call::Update, Some(new)) => (call, update(cache, &row.id, version, &new)),
            (Call::InvalidateAt, _) => (call, cache.invalidate_at(&row.id, version)),
            _ => (Call::Invalidate, cache.invalidate(&row.id)),
        };
        (version, call, told.map(drop))
    }
}

/// Updates only a cached version that is older.
fn update(cache: &Cache, id: &str, version: u64, new: &Record) -> Result<bool, Error> {
    cache.update(id, |cached| {
        let cached = cached.get("version").and_then(|text| text.parse().ok());
        (cached.unwrap_or(0) < version).then(|| new.clone())
    })
}
