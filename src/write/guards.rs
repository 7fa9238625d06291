//! Writes under guards: of one record, or of many records of several caches.
//!
//! Guarantees that every guard that was asked for is ended, and that a failure to end one is
//! remembered before this returns. A panic or an early return drops the [`Guards`], which ends them
//! too. On each client, one request sets the guards of all records, and one request ends them.
//!
//! Called by the write path. Knows no record types, and not what the writer does in between.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
    sync::Arc,
};

use super::{
    guard_group::{Group, GuardedRecord, defer},
    record_keys::RecordKeys,
};
use crate::{
    engine::Engine,
    error::Error,
    outcome::Deferred,
    store::{Failure, Store, keys::Keys, token::Token},
    telemetry::reporter::Reporter,
};

/// The records that one change of the primary concerns.
#[derive(Default)]
pub(crate) struct Guards<'a> {
    groups: Vec<Group<'a>>,
    /// Why a guard could not be set: the first failure.
    error: Option<Error>,
    /// The records that have ended, and are still to be invalidated.
    deferred: Vec<Deferred>,
}

impl<'a> Guards<'a> {
    /// Adds the record with this id, and those that the cache also invalidates. Sends nothing. If
    /// the id is refused, adds nothing.
    pub(crate) fn add<R>(&mut self, engine: &'a Engine<R>, id: &str) -> Result<(), Error> {
        let records = RecordKeys::of(engine, [id])?.0.into_iter();
        let records = records.map(|(prefix, keys)| GuardedRecord::new(engine, prefix, keys));
        let client = &*engine.client;
        let mut groups = self.groups.iter_mut();
        match groups.find(|group| ptr::eq(group.client, client)) {
            Some(group) => group.records.extend(records),
            None => self.groups.push(Group {
                client,
                records: records.collect(),
                asked: 0,
            }),
        }
        Ok(())
    }

    /// Sets the guards of all records that were added since the last call. If that fails for a
    /// record, the write continues. It is then as safe as a change followed by `invalidate`.
    pub(crate) fn set(&mut self) {
        for group in &mut self.groups {
            let failure = group.set();
            self.error = self.error.take().or(failure);
        }
    }

    /// Sets the guard of the first record by a request of its own. `None`: that failed.
    pub(crate) fn set_first<T>(
        &mut self,
        ask: impl FnOnce(&dyn Store, &Keys, Token) -> Result<T, Failure>,
    ) -> Option<T> {
        let group = self.groups.first_mut()?;
        // Set before the request: if that panics, it is not known what it did.
        group.asked = 1;
        let record = &mut group.records[0];
        let (client, reporter) = (group.client, record.reporter);
        let answer = client.ask(reporter, "guard", |store| {
            ask(store, &record.keys, record.token)
        });
        // From here on, readers in this process load too.
        client.evict(&record.keys.data);
        match answer {
            Ok(answer) => {
                record.renew();
                Some(answer)
            }
            Err(error) => {
                self.error = Some(error);
                None
            }
        }
    }

    /// Ends the first record and its guard by a request of its own. False: it answered so, or
    /// failed.
    pub(crate) fn end_first(
        &mut self,
        ask: impl Fn(&dyn Store, &Keys, Token) -> Result<bool, Failure>,
    ) -> bool {
        let Some(group) = self.groups.first_mut() else {
            return false;
        };
        let client = group.client;
        let mut record = group.records.remove(0);
        group.asked -= 1;
        record.stop_renewal();
        let endings = [record.ending()];
        let requests = [record.token];
        let answers = client.end_all("unguard", &endings, &requests, |store, writers| {
            Ok(vec![Ok(ask(store, &record.keys, writers[0])?)])
        });
        let is_done = answers.iter().any(|answer| matches!(answer, Ok(true)));
        defer(&endings, answers, &mut self.deferred);
        is_done
    }

    /// Whether a guard has been asked for, and so must be ended.
    pub(crate) fn are_asked(&self) -> bool {
        self.groups.iter().any(|group| group.asked > 0)
    }

    /// Why a guard could not be set.
    pub(crate) fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// How many records were added.
    pub(crate) fn len(&self) -> usize {
        self.groups.iter().map(|group| group.records.len()).sum()
    }

    /// Ends the records and their guards. Returns why a guard was not set, and which records are
    /// still to be invalidated.
    pub(crate) fn end(mut self) -> (Option<Error>, Vec<Deferred>) {
        for group in &mut self.groups {
            // From here on a panic must end the record too, even without a guard.
            group.asked = group.records.len();
        }
        self.end_all();
        (self.error.take(), mem::take(&mut self.deferred))
    }

    fn end_all(&mut self) {
        // Each group is taken before its request. If that panics, the client remembers its records,
        // and the drop of this ends the other groups.
        while let Some(group) = self.groups.pop() {
            group.end(&mut self.deferred);
        }
    }

    /// Each cache once, with the id of its first record.
    pub(crate) fn caches(&self) -> Vec<(&'a Arc<Reporter>, String)> {
        let mut caches: Vec<(&Arc<Reporter>, String)> = Vec::new();
        for record in self.groups.iter().flat_map(|group| &group.records) {
            let mut known = caches.iter();
            if !known.any(|(known, _)| Arc::ptr_eq(known, record.reporter)) {
                caches.push((record.reporter, record.ending().id().to_owned()));
            }
        }
        caches
    }
}

impl Drop for Guards<'_> {
    fn drop(&mut self) {
        if self.are_asked() {
            // A failure or panic leaves the invalidations pending. The panic is caught: a second
            // one that leaves a destructor would abort the process.
            let _ = catch_unwind(AssertUnwindSafe(|| self.end_all()));
        }
    }
}
