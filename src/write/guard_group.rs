//! The records of a write that are on one client, and the requests for their guards.
//!
//! Guarantees that a failure to end a record is remembered before the call returns. Called by
//! [`guards`](super::guards).

use std::{
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    backend::client::{StoreClient, unwind::Ending},
    engine::{
        Engine, Settings,
        lease_renewal::{LeaseRenewer, RenewalGuard},
    },
    error::Error,
    outcome::Deferred,
    store::{BatchResult, GuardRequest, Store, TagKeys, UnguardRequest, keys::Keys, token::Token},
    telemetry::{
        recorder::{Began, Ended},
        reporter::Reporter,
    },
};

/// How many guards one request sets. The number is small enough that the first guards are renewed
/// long before they lapse, even if the server and this machine are busy.
const AT_ONCE: usize = 1_000;

/// The records on one client.
pub(super) struct Group<'a> {
    pub(super) client: &'a StoreClient,
    pub(super) records: Vec<GuardedRecord<'a>>,
    /// How many of them have a guard, or could not get one. They are the first ones.
    pub(super) asked: usize,
    /// The tags that end with the records. There is one item for each namespace and each thousand.
    pub(super) tags: Vec<TagsToEnd<'a>>,
    /// Whether these must be ended: the primary may have been changed.
    pub(super) ends_tags: bool,
}

/// Tags of one namespace. They have no guard.
pub(super) struct TagsToEnd<'a> {
    pub(super) reporter: &'a Arc<Reporter>,
    pub(super) keys: TagKeys,
    /// The tags themselves.
    pub(super) names: Vec<String>,
    pub(super) life: Duration,
}

impl TagsToEnd<'_> {
    pub(super) fn end(self, client: &StoreClient, deferred: &mut Vec<Deferred>) {
        if let Err(error) = client.invalidate_tags(self.reporter, &self.keys, self.life) {
            deferred.extend(self.names.into_iter().map(|id| Deferred {
                cache: self.reporter.cache.clone(),
                id,
                error: error.clone(),
            }));
        }
    }
}

/// A record of any type, and what its guard needs of its cache.
pub(super) struct GuardedRecord<'a> {
    pub(super) reporter: &'a Arc<Reporter>,
    lease_renewer: &'a LeaseRenewer,
    lease_ttl: Duration,
    max_load_time: Duration,
    /// The prefix of its data key.
    prefix: &'a str,
    pub(super) keys: Keys,
    pub(super) token: Token,
    /// `None` if there is no guard to renew.
    renewal: Option<RenewalGuard<'a>>,
}

impl Group<'_> {
    /// Returns the first failure.
    pub(super) fn set(&mut self) -> Option<Error> {
        // Set before the first request: if that panics, it is not known what it did.
        let first = mem::replace(&mut self.asked, self.records.len());
        let client = self.client;
        let mut failure = None;
        for some in self.records[first..].chunks_mut(AT_ONCE) {
            let requests = some.iter().map(|record| GuardRequest {
                keys: &record.keys,
                writer: record.token,
                guard_ttl: record.lease_ttl,
            });
            let requests: Vec<_> = requests.collect();
            let (reporter, began) = (some[0].reporter, Began::now());
            let answers = client.ask_all(reporter, "guard", requests.len(), |store| {
                guard_all(store, &requests)
            });
            let mut is_set = false;
            for (record, answer) in some.iter_mut().zip(answers) {
                // From here on, readers in this process load too.
                client.evict(&record.keys.data);
                match answer {
                    Ok(_) => {
                        record.guarded(began);
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

    pub(super) fn end(mut self, deferred: &mut Vec<Deferred>) {
        self.records
            .iter_mut()
            .for_each(GuardedRecord::stop_renewal);
        let endings = self.records.iter().map(GuardedRecord::ending);
        let endings: Vec<_> = endings.collect();
        let requests = self.records.iter().map(|record| UnguardRequest {
            keys: &record.keys,
            writer: record.token,
        });
        let requests: Vec<_> = requests.collect();
        let client = self.client;
        let answers = client.end_all(("unguard", Began::now()), &endings, &requests, unguard_all);
        defer(&endings, answers, deferred);
    }
}

/// Keeps the records whose end failed.
pub(super) fn defer(
    endings: &[Ending<'_>],
    answers: Vec<Result<bool, Error>>,
    deferred: &mut Vec<Deferred>,
) {
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

impl<'a> GuardedRecord<'a> {
    pub(super) fn new(engine: &'a Engine, prefix: &'a str, keys: Keys) -> GuardedRecord<'a> {
        let Settings {
            lease_ttl,
            max_load_time,
            ..
        } = engine.settings;
        GuardedRecord {
            reporter: &engine.reporter,
            lease_renewer: &engine.lease_renewer,
            lease_ttl,
            max_load_time,
            prefix,
            keys,
            token: Token::random(),
            renewal: None,
        }
    }

    pub(super) fn ending(&self) -> Ending<'_> {
        Ending {
            reporter: self.reporter,
            prefix: self.prefix,
            keys: &self.keys,
        }
    }

    /// The guard is set: the store has ended the record and its lease.
    pub(super) fn guarded(&mut self, began: Began) {
        let recorder = &self.reporter.recorder;
        recorder.ended(&self.keys.data, began, Ended::Guarded);
        self.renew();
    }

    fn renew(&mut self) {
        let until = Instant::now() + self.max_load_time;
        let renewer = self.lease_renewer;
        self.renewal = Some(renewer.start(&self.keys, self.token, until));
    }

    pub(super) fn stop_renewal(&mut self) {
        if let Some(renewal) = self.renewal.take() {
            renewal.end();
        }
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
