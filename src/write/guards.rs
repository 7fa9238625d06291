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
    guard_group::{Group, GuardedRecord, TagsToEnd, defer},
    record_keys::RecordKeys,
};
use crate::{
    backend::client::{StoreClient, tags::AT_ONCE as TAGS_AT_ONCE},
    engine::Engine,
    error::Error,
    outcome::Deferred,
    store::{Failure, Store, keys::Keys, token::Token},
    telemetry::{recorder::Began, reporter::Reporter},
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
    pub(crate) fn add(&mut self, engine: &'a Engine, id: &str) -> Result<(), Error> {
        let records = RecordKeys::of(engine, [id])?.0.into_iter();
        let records = records.map(|(prefix, keys)| GuardedRecord::new(engine, prefix, keys));
        self.group_on(&engine.client).records.extend(records);
        Ok(())
    }

    /// Adds a tag, which is invalidated with the records. Sends nothing.
    pub(crate) fn add_tag(&mut self, engine: &'a Engine, tag: &str) {
        let keys = engine.settings.tag_keys(&[tag]);
        let tags = &mut self.group_on(&engine.client).tags;
        let has_room = |known: &&mut TagsToEnd<'_>| {
            known.keys.clock == keys.clock && known.names.len() < TAGS_AT_ONCE
        };
        match tags.iter_mut().find(has_room) {
            Some(known) => {
                known.keys.tags.extend(keys.tags);
                known.names.push(tag.to_owned());
                known.life = known.life.max(engine.tag_life());
            }
            None => tags.push(TagsToEnd {
                reporter: &engine.reporter,
                keys,
                names: vec![tag.to_owned()],
                life: engine.tag_life(),
            }),
        }
    }

    fn group_on(&mut self, client: &'a StoreClient) -> &mut Group<'a> {
        let mut groups = self.groups.iter();
        let at = groups.position(|group| ptr::eq(group.client, client));
        let at = at.unwrap_or_else(|| {
            self.groups.push(Group {
                client,
                records: Vec::new(),
                asked: 0,
                tags: Vec::new(),
                ends_tags: false,
            });
            self.groups.len() - 1
        });
        &mut self.groups[at]
    }

    /// Sets the guards of all records that were added since the last call. If that fails for a
    /// record, the write continues. It is then as safe as a change followed by `invalidate`.
    pub(crate) fn set(&mut self) {
        for group in &mut self.groups {
            group.ends_tags = true;
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
        let began = Began::now();
        let answer = client.ask(reporter, "guard", |store| {
            ask(store, &record.keys, record.token)
        });
        // From here on, readers in this process load too.
        client.evict(&record.keys.data);
        match answer {
            Ok(answer) => {
                record.guarded(began);
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
    /// `began`: see [`Began`].
    pub(crate) fn end_first(
        &mut self,
        began: Began,
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
        let answers = client.end_all(("unguard", began), &endings, &requests, |store, writers| {
            Ok(vec![Ok(ask(store, &record.keys, writers[0])?)])
        });
        let is_done = answers.iter().any(|answer| matches!(answer, Ok(true)));
        defer(&endings, answers, &mut self.deferred);
        is_done
    }

    /// Whether a guard has been asked for, and so must be ended.
    pub(crate) fn are_asked(&self) -> bool {
        let is_asked =
            |group: &Group<'_>| group.asked > 0 || group.ends_tags && !group.tags.is_empty();
        self.groups.iter().any(is_asked)
    }

    /// Why a guard could not be set.
    pub(crate) fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// How many records and tags were added.
    pub(crate) fn len(&self) -> usize {
        let tags = |group: &Group<'_>| {
            group
                .tags
                .iter()
                .map(|tags| tags.names.len())
                .sum::<usize>()
        };
        let counts = self
            .groups
            .iter()
            .map(|group| group.records.len() + tags(group));
        counts.sum()
    }

    /// Ends the records and their guards. Returns why a guard was not set, and which records are
    /// still to be invalidated.
    pub(crate) fn end(mut self) -> (Option<Error>, Vec<Deferred>) {
        for group in &mut self.groups {
            // From here on a panic must end the record too, even without a guard.
            (group.asked, group.ends_tags) = (group.records.len(), true);
        }
        self.end_all();
        (self.error.take(), mem::take(&mut self.deferred))
    }

    fn end_all(&mut self) {
        // Each group is taken before its request. If that panics, the client remembers its records,
        // and the drop of this ends the other groups.
        while let Some(mut group) = self.groups.pop() {
            let client = group.client;
            let Some(tags) = group.tags.pop() else {
                group.end(&mut self.deferred);
                continue;
            };
            // Put back before the request, for the same reason.
            self.groups.push(group);
            tags.end(client, &mut self.deferred);
        }
    }

    /// Each cache once, with the id of its first record, or with its first tag.
    pub(crate) fn caches(&self) -> Vec<(&'a Arc<Reporter>, String)> {
        let mut caches: Vec<(&Arc<Reporter>, String)> = Vec::new();
        let mut add = |reporter, id: &str| {
            let mut known = caches.iter();
            if !known.any(|(known, _)| Arc::ptr_eq(known, reporter)) {
                caches.push((reporter, id.to_owned()));
            }
        };
        for group in &self.groups {
            for record in &group.records {
                add(record.reporter, record.ending().id());
            }
            for tags in &group.tags {
                add(tags.reporter, tags.names.first().map_or("", String::as_str));
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
