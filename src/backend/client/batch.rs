//! Requests of the client about many records at once.
//!
//! Called by the engine and by the write path. Guarantees that a failed invalidation of any record
//! is pending before the call returns.

use std::time::Duration;

use super::{StoreClient, how_ended, unwind::Ending};
use crate::{
    error::Error,
    store::{BatchResult, Failure, FailureKind, Store},
    telemetry::{event::Event, recorder::Began, reporter::Reporter},
};

/// The request that lets records stay for their grace.
const EXPIRE: &str = "expire";

/// How many records one request invalidates.
const SLICE: usize = 10_000;

/// The answers of a store to `count` questions. Fails if there are more or fewer: it is not known
/// which answer belongs to which question.
pub(super) fn counted<T>(each: BatchResult<T>, count: usize) -> BatchResult<T> {
    let each = each?;
    if each.len() == count {
        return Ok(each);
    }
    let miscounted = format!("the store gave {} answers to {count} questions", each.len());
    Err(Failure::new(FailureKind::Rejected, miscounted))
}

impl StoreClient {
    /// Sends one request about `count` records. Each record gets an answer or a failure. If the
    /// store is unavailable, all records get the same failure.
    pub(crate) fn ask_all<T>(
        &self,
        reporter: &Reporter,
        request: &'static str,
        count: usize,
        ask: impl FnOnce(&dyn Store) -> BatchResult<T>,
    ) -> Vec<Result<T, Error>> {
        if count == 0 {
            return Vec::new();
        }
        let asked = self.ask(reporter, request, |store| {
            let each = counted(ask(store), count)?;
            let mut failures = each.iter().filter_map(|answer| answer.as_ref().err());
            // A store that is unavailable for one record counts as unavailable for all.
            match failures.find(|failure| failure.kind == FailureKind::Unavailable) {
                Some(silent) => Err(silent.clone()),
                None => Ok(each),
            }
        });
        let each = match asked {
            Ok(each) => each.into_iter(),
            Err(error) => return vec![error; count].into_iter().map(Err).collect(),
        };
        let mut is_reported = false;
        let answers = each.map(|answer| {
            answer.map_err(|failure| {
                let error = failure.at(request);
                // All records were in one request, so only one failure is reported.
                if !std::mem::replace(&mut is_reported, true) {
                    let error = &error;
                    reporter.report(&Event::StoreFailed { request, error });
                    self.state.log_throttled(Some(&reporter.cache), error);
                }
                error
            })
        });
        answers.collect()
    }

    /// Invalidates records of any caches. Says for each whether it was cached. See
    /// [`end_all`](StoreClient::end_all).
    pub(crate) fn invalidate_all(&self, records: &[Ending<'_>]) -> Vec<Result<bool, Error>> {
        let keys: Vec<_> = records.iter().map(|record| record.keys).collect();
        let request = ("invalidate", Began::now());
        self.end_all(request, records, &keys, |store, some| match some {
            // One record needs no batch, which would also load the script.
            [one] => Ok(vec![Ok(store.invalidate(one)?)]),
            many => store.invalidate_all(many),
        })
    }

    /// Expires the records that `expires` selects, and invalidates the others. A record whose
    /// invalidation is pending is invalidated: the request completes that invalidation, which must
    /// remove the record. Says for each whether it was cached. See
    /// [`end_all`](StoreClient::end_all).
    pub(crate) fn expire_all(
        &self,
        records: &[Ending<'_>],
        max_ttl: Duration,
        expires: impl Fn(&Ending<'_>) -> bool,
    ) -> Vec<Result<bool, Error>> {
        let request = (EXPIRE, Began::now());
        self.end_all(request, records, records, |store, some| {
            let stays = |it: &&Ending<'_>| expires(it) && self.bypass(&it.keys.data).is_none();
            let stays: Vec<_> = some.iter().map(|it| stays(&it)).collect();
            let keys = |stay: bool| {
                let chosen = some.iter().zip(&stays).filter(|(_, it)| **it == stay);
                chosen.map(|(it, _)| it.keys).collect::<Vec<_>>()
            };
            let (kept, removed) = (keys(true), keys(false));
            let mut removed = match &*removed {
                [] => Vec::new(),
                [one] => vec![Ok(store.invalidate(one)?)],
                many => counted(store.invalidate_all(many), many.len())?,
            }
            .into_iter();
            let mut kept = match &*kept {
                [] => Vec::new(),
                // One record needs no batch, which would also load the script.
                [one] => vec![Ok(store.expire(one, max_ttl)?)],
                many => counted(store.expire_all(many, max_ttl), many.len())?,
            }
            .into_iter();
            let ended = stays
                .iter()
                .map(|stays| if *stays { kept.next() } else { removed.next() });
            Ok(ended.flatten().collect())
        })
    }

    /// Sends requests that end these records, of any caches. There is one item of the request for
    /// each record. Continues after a failure, because other slices may succeed. The cache of the
    /// first record gets the report of a failed request.
    ///
    /// If a record could not be ended, its invalidation is recorded as pending before this returns.
    /// If a request panics, the records that were not sent yet become pending too.
    pub(crate) fn end_all<I>(
        &self,
        request: (&'static str, Began),
        records: &[Ending<'_>],
        items: &[I],
        ask: impl Fn(&dyn Store, &[I]) -> BatchResult<bool>,
    ) -> Vec<Result<bool, Error>> {
        let pending = self.remember_on_drop(request.0, records);
        let mut answers = Vec::with_capacity(records.len());
        for (records, items) in records.chunks(SLICE).zip(items.chunks(SLICE)) {
            answers.extend(self.end_slice(request, records, |store| ask(store, items)));
            pending.returned_for(records.len());
        }
        answers
    }

    fn end_slice(
        &self,
        (request, began): (&'static str, Began),
        records: &[Ending<'_>],
        ask: impl FnOnce(&dyn Store) -> BatchResult<bool>,
    ) -> Vec<Result<bool, Error>> {
        // Taken before the request is sent. The request completes exactly the invalidations that
        // are pending by now, and no later ones.
        let pending = &self.state.pending;
        let replays: Vec<_> = records.iter().map(|it| pending.of(it.keys)).collect();
        let answers = self.ask_all(records[0].reporter, request, records.len(), ask);
        for ((record, replays), answer) in records.iter().zip(replays).zip(&answers) {
            match (answer, replays) {
                (Ok(_), Some(replays)) => self.state.complete(&replays),
                (Ok(_), None) => {}
                (Err(failure), _) => self.remember(record, failure),
            }
            self.evict(&record.keys.data);
            // An expired record may stay for its grace.
            if request != EXPIRE {
                let recorder = &record.reporter.recorder;
                recorder.ended(&record.keys.data, began, how_ended(answer));
            }
        }
        answers
    }
}
