//! One write: the commit, a pause, and the call of the cache.
//!
//! After a successful call, all versions up to the writer's own are settled, because they were
//! committed before the call. A failed call settles nothing. But this process must then not read
//! the record that it could not invalidate.

use std::{convert::Infallible, sync::atomic::Ordering::SeqCst};

use cache_aside::{Cache, Error, Record};

use crate::{
    plan::Instant,
    primary::Event,
    reader::record,
    workers::{Row, Worker, Writers},
};

#[derive(Debug, Clone, Copy)]
enum Call {
    Invalidate,
    Write,
    Update,
    UpdateField,
}

/// If all processes write a record, two of them may set the same field at once. So there is no
/// `update_field`.
const BY_ALL: [Call; 3] = [Call::Invalidate, Call::Write, Call::Update];
const BY_ONE: [Call; 5] = [
    Call::Invalidate,
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
            _ => self.committed_first(row, call),
        };
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
            what: format!("{call:?}: {how}"),
        };
        self.primary.note(&row.id, settled, &event);
        *match call {
            Call::Invalidate => &mut self.tally.invalidate,
            Call::Write => &mut self.tally.write,
            Call::Update => &mut self.tally.update,
            Call::UpdateField => &mut self.tally.update_field,
        } += 1;
    }

    /// Commits within the closure of `write`.
    fn guarded(&mut self, row: &Row) -> (u64, Result<(), Error>) {
        let (primary, random) = (&mut self.primary, &mut self.random);
        let written = self.workers.cache.write(&row.id, || {
            // Sometimes so long that others read and write meanwhile, and longer than the guard
            // lasts.
            let longest = if random.one_in(6) { 40 } else { 2 };
            random.pause(longest);
            let version = primary.commit(&row.id);
            random.pause(longest);
            Ok::<_, Infallible>(version)
        });
        let written = written.expect("the id is a good one, and nothing in it fails");
        let told = written.invalidation_error().cloned().map_or(Ok(()), Err);
        (written.into_value(), told)
    }

    /// Commits first, then calls the cache. A version that deletes the record leaves nothing to
    /// update.
    fn committed_first(&mut self, row: &Row, call: Call) -> (u64, Call, Result<(), Error>) {
        let version = self.primary.commit(&row.id);
        self.random.pause(1);
        let cache = &self.workers.cache;
        let new = record(&row.id, version);
        let (call, told) = match (call, new) {
            (Call::UpdateField, Some(_)) => {
                let told = cache.update_field(&row.id, "version", version.to_string());
                (call, told)
            }
            (Call::Update, Some(new)) => (call, update(cache, &row.id, version, &new)),
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
