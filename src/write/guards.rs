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
    time::Instant,
};

use super::records::Records;
use crate::{
    backend::client::{StoreClient, unwind::Ending},
    engine::{
        Engine, Settings,
        lease_renewal::{LeaseRenewer, RenewalGuard},
    },
    error::Error,
    outcome::Deferred,
    store::{BatchResult, GuardRequest, Store, UnguardRequest, keys::Keys, token::Token},
    telemetry::reporter::Reporter,
};

/// How many guards one request sets. The number is small enough that the first guards are renewed
/// long before they lapse, even if the server and this machine are busy.
const AT_ONCE: usize = 1_000;

/// What a write needs of a cache, whatever the type of its records.
#[derive(Clone, Copy)]
struct Writer<'a> {
    client: &'a StoreClient,
    reporter: &'a Arc<Reporter>,
    lease_renewer: &'a LeaseRenewer,
    settings: &'a Settings,
}

impl<'a> Writer<'a> {
    fn of<R>(engine: &'a Engine<R>) -> Writer<'a> {
        Writer {
            client: &engine.client,
            reporter: &engine.reporter,
            lease_renewer: &engine.lease_renewer,
            settings: &engine.settings,
        }
    }
}

/// The records that one change of the primary concerns.
#[derive(Default)]
pub(crate) struct Guards<'a> {
    groups: Vec<Group<'a>>,
    /// Why a guard could not be set: the first failure.
    error: Option<Error>,
}

/// The records on one client.
struct Group<'a> {
    client: &'a StoreClient,
    records: Vec<GuardedRecord<'a>>,
    /// How many of them have a guard, or could not get one. They are the first ones.
    asked: usize,
}

struct GuardedRecord<'a> {
    of: Writer<'a>,
    /// The prefix of its data key.
    prefix: &'a str,
    keys: Keys,
    token: Token,
    /// `None` if there is no guard to renew.
    renewal: Option<RenewalGuard<'a>>,
}

impl<'a> Guards<'a> {
    /// Adds the record with this id, and those that the cache also invalidates. Sends nothing. If
    /// the id is refused, adds nothing.
    pub(crate) fn add<R>(&mut self, engine: &'a Engine<R>, id: &str) -> Result<(), Error> {
        for (prefix, keys) in Records::of(engine, [id])?.0 {
            self.add_record(GuardedRecord {
                of: Writer::of(engine),
                prefix,
                keys,
                token: Token::random(),
                renewal: None,
            });
        }
        Ok(())
    }

    fn add_record(&mut self, record: GuardedRecord<'a>) {
        let client = record.of.client;
        let mut groups = self.groups.iter_mut();
        match groups.find(|group| ptr::eq(group.client, client)) {
            Some(group) => group.records.push(record),
            None => self.groups.push(Group {
                client,
                records: vec![record],
                asked: 0,
            }),
        }
    }

    /// Sets the guards of all records that were added since the last call. If that fails for a
    /// record, the write continues. It is then as safe as a change followed by `invalidate`.
    pub(crate) fn set(&mut self) {
        for group in &mut self.groups {
            let failure = group.set();
            self.error = self.error.take().or(failure);
        }
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
        (self.error.take(), self.end_all())
    }

    fn end_all(&mut self) -> Vec<Deferred> {
        let mut deferred = Vec::new();
        // Each group is taken before its request. If that panics, the client remembers its records,
        // and the drop of this ends the other groups.
        while let Some(group) = self.groups.pop() {
            group.end(&mut deferred);
        }
        deferred
    }

    /// Each cache once, with the id of its first record.
    pub(crate) fn caches(&self) -> Vec<(&'a Arc<Reporter>, String)> {
        let mut caches: Vec<(&Arc<Reporter>, String)> = Vec::new();
        for record in self.groups.iter().flat_map(|group| &group.records) {
            let Ending { reporter, .. } = record.ending();
            let mut known = caches.iter();
            if !known.any(|(known, _)| Arc::ptr_eq(known, reporter)) {
                caches.push((record.of.reporter, record.ending().id().to_owned()));
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

impl Group<'_> {
    /// Returns the first failure.
    fn set(&mut self) -> Option<Error> {
        // Set before the first request: if that panics, it is not known what it did.
        let first = mem::replace(&mut self.asked, self.records.len());
        let client = self.client;
        let mut failure = None;
        for some in self.records[first..].chunks_mut(AT_ONCE) {
            let requests = some.iter().map(|record| GuardRequest {
                keys: &record.keys,
                writer: record.token,
                guard_ttl: record.of.settings.lease_ttl,
            });
            let requests: Vec<_> = requests.collect();
            let reporter = some[0].of.reporter;
            let answers = client.ask_all(reporter, "guard", requests.len(), |store| {
                guard_all(store, &requests)
            });
            let mut is_set = false;
            for (record, answer) in some.iter_mut().zip(answers) {
                // From here on, readers in this process load too.
                client.evict(&record.keys.data);
                match answer {
                    Ok(_) => {
                        record.renew();
                        is_set = true;
                    }
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
            if !is_set {
                // Each further request would wait as long, and fail for the same reason.
                break;
            }
        }
        failure
    }

    fn end(mut self, deferred: &mut Vec<Deferred>) {
        for record in &mut self.records {
            if let Some(renewal) = record.renewal.take() {
                renewal.end();
            }
        }
        let endings = self.records.iter().map(GuardedRecord::ending);
        let endings: Vec<_> = endings.collect();
        let requests = self.records.iter().map(|record| UnguardRequest {
            keys: &record.keys,
            writer: record.token,
        });
        let requests: Vec<_> = requests.collect();
        let client = self.client;
        let answers = client.end_all("unguard", &endings, &requests, unguard_all);
        for (ending, answer) in endings.iter().zip(answers) {
            if let Err(error) = answer {
                deferred.push(Deferred {
                    cache: ending.reporter.cache.clone(),
                    id: ending.id().to_owned(),
                    error,
                });
            }
        }
    }
}

impl GuardedRecord<'_> {
    fn ending(&self) -> Ending<'_> {
        Ending {
            reporter: self.of.reporter,
            prefix: self.prefix,
            keys: &self.keys,
        }
    }

    fn renew(&mut self) {
        let until = Instant::now() + self.of.settings.max_load_time;
        let renewer = self.of.lease_renewer;
        self.renewal = Some(renewer.start(&self.keys, self.token, until));
    }
}

/// One record needs no batch, which would also load the script.
fn guard_all(store: &dyn Store, requests: &[GuardRequest<'_>]) -> BatchResult<bool> {
    match requests {
        [one] => Ok(vec![Ok(store.guard(
            one.keys,
            one.writer,
            one.guard_ttl,
        )?)]),
        many => store.guard_all(many),
    }
}

/// One record needs no batch, which would also load the script.
fn unguard_all(store: &dyn Store, requests: &[UnguardRequest<'_>]) -> BatchResult<bool> {
    match requests {
        [one] => Ok(vec![Ok(store.unguard(one.keys, one.writer)?)]),
        many => store.unguard_all(many),
    }
}
