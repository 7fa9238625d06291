//! The state of one cache: settings, client, single flight, lease renewal and freshness.
//!
//! All handles of the cache share one [`Engine`]. The read path and the write path use it. It runs
//! no loader and makes no decision about a lookup. A process that was forked gets an engine of its
//! own: see `util/per_process.rs`.

pub(crate) mod audit_queue;
mod entry;
pub(crate) mod freshness;
mod in_child;
mod keys;
pub(crate) mod lease_renewal;
pub(crate) mod load_limit;
pub(crate) mod lookup_tags;
mod max_ttl;
pub(crate) mod record_type;
mod settings;
pub(crate) mod single_flight;
mod subscribe;
mod tag_lives;
mod tags;

use std::{
    panic::{RefUnwindSafe, UnwindSafe},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

pub(crate) use self::settings::Settings;
use self::{
    audit_queue::AuditQueue,
    freshness::LoadTime,
    lease_renewal::{LeaseRenewer, RenewalGuard},
    load_limit::LoadLimit,
    max_ttl::MaxTtls,
    record_type::RecordType,
    single_flight::{Call, Leader, SingleFlight},
    subscribe::subscribe,
    tag_lives::TagLives,
};
use crate::{
    backend::client::{StoreClient, unwind::Ending},
    error::Error,
    near::{subscriber::ChangeSubscriber, tags::TagStream},
    record::{any::AnyRecord, fields::Undecodable},
    store::{BatchResult, Entry, Failure, Store, Subscription, TagKeys, keys::Keys, token::Token},
    telemetry::{
        event::{Event, Observer},
        recorder::{Began, RecordedCache, Recorder},
        reporter::Reporter,
        stats::Stats,
    },
    util::limits::refuse,
};

/// The outcome of a load, as its leader and all its followers get it. `Ok(None)`: no such record.
pub(crate) type Outcome = Result<Option<AnyRecord>, Error>;

/// The result of the first read of a data key: the entry, and its remaining TTL if that matters.
pub(crate) type FirstReadResult = Result<(Entry, Option<Duration>), Error>;

/// A load of this process, which others can follow.
pub(crate) type SharedCall = Arc<Call<Outcome>>;

/// The lookups that wait for a permit on behalf of others, by [limit](LoadLimit::id) and data key.
/// What they hand to the others: the load that these share, if there is one.
type LoadQueue = SingleFlight<(usize, String), Option<SharedCall>>;

pub(crate) type QueueLeader<'a> = Leader<'a, (usize, String), Option<SharedCall>>;

pub(crate) struct Engine {
    /// This is the first field, so it is dropped first. So no change arrives while the other fields
    /// are dropped.
    _subscription: Option<Subscription>,
    /// Receives changes, if a setting needs them.
    pub(crate) subscriber: Option<Arc<ChangeSubscriber>>,
    pub(crate) settings: Settings,
    pub(crate) client: Arc<StoreClient>,
    /// Whether both keys of a record must be in one hash slot.
    is_cluster: bool,
    /// Loads under a lease, by token.
    pub(crate) calls: SingleFlight<Token, Outcome>,
    /// Loads without Redis, by data key.
    pub(crate) degraded: SingleFlight<String, Outcome>,
    /// The limit of `max_loads`, if it is set.
    pub(crate) load_limit: Option<LoadLimit>,
    /// Lookups that wait for their turn to load. Only used with a limit.
    pub(crate) queued: LoadQueue,
    pub(crate) lease_renewer: LeaseRenewer,
    pub(crate) reporter: Arc<Reporter>,
    pub(crate) record_type: RecordType,
    pub(crate) load_time: LoadTime,
    max_ttls: MaxTtls,
    /// The tags of every lookup. `None`: lookups have no tags but those of their callers.
    own_tags: Option<Arc<TagKeys>>,
    tag_lives: TagLives,
    /// The changes of tags, for the near cache. Started by the first lookup under tags.
    tag_stream: OnceLock<Option<TagStream>>,
    /// The hits that wait for their audit, if the cache has one.
    audit: Option<AuditQueue>,
}

// An engine stays usable after a panic in a loader, a change or an observer. No user code runs
// under its locks, and they do not poison. On unwinding, the leader of a call wakes its followers,
// the renewal of its lease stops, and a guard is ended. A record is never changed after it was
// loaded.
impl UnwindSafe for Engine {}
impl RefUnwindSafe for Engine {}

impl Engine {
    pub(crate) fn new(
        settings: Settings,
        client: Arc<StoreClient>,
        observer: Option<Arc<dyn Observer>>,
        (audit, record_type): (Option<AuditQueue>, RecordType),
    ) -> Result<Engine, Error> {
        if let Some(lag) = settings.versions {
            if client.store().versioned().is_none() {
                return refuse("versions", "this store keeps no floors");
            }
            for prefix in settings.prefixes() {
                client.record_lag(prefix, lag);
            }
        }
        for (setting, is_set) in [
            ("loader_tags", settings.loader_tags),
            ("clear_by_tag", settings.clear_by_tag),
        ] {
            if is_set && client.store().tagged().is_none() {
                return refuse(setting, "this store keeps no tags");
            }
        }
        let (subscriber, subscription) = subscribe(&settings, &client)?.unzip();
        let prefix = settings.prefix.clone();
        let name = settings.name.clone().unwrap_or_else(|| prefix.clone());
        let recorder = Recorder::new(RecordedCache {
            log: settings.event_log.clone(),
            prefix: prefix.clone(),
            near_staleness: settings.near_staleness,
            client: client.number,
        });
        let reporter = Reporter::new(name, prefix, observer).with_recorder(recorder);
        let reporter = Arc::new(reporter);
        client.add_reporter(&reporter);
        let engine = Engine {
            _subscription: subscription,
            subscriber,
            lease_renewer: LeaseRenewer::new(
                Arc::clone(&client),
                Arc::clone(&reporter),
                settings.lease_ttl,
            ),
            load_limit: settings.max_loads.map(LoadLimit::new),
            own_tags: settings.own_tags(),
            settings,
            is_cluster: client.store().is_cluster(),
            client,
            calls: SingleFlight::new(),
            degraded: SingleFlight::new(),
            queued: SingleFlight::new(),
            reporter,
            record_type,
            load_time: LoadTime::default(),
            max_ttls: MaxTtls::default(),
            tag_lives: TagLives::default(),
            tag_stream: OnceLock::new(),
            audit,
        };
        engine.record_max_ttls_of_settings();
        Ok(engine)
    }

    /// Reports an entry that is no record for this cache.
    pub(crate) fn report_undecodable(&self, id: &str, why: Undecodable) {
        self.reporter.report(&match why {
            Undecodable::OtherSchema => Event::OtherSchema { id },
            Undecodable::Unreadable => Event::Unreadable { id },
            // Nothing is wrong with the entry: it has ended.
            Undecodable::OlderThanTag => return,
        });
    }

    /// Sends a request to the store.
    pub(crate) fn ask<T>(
        &self,
        request: &'static str,
        ask: impl FnOnce(&dyn Store) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        self.client.ask(&self.reporter, request, ask)
    }

    /// Reads the entry at a data key. Also reads its TTL, if the settings or the caller need that.
    pub(crate) fn read_entry(&self, data: &str, with_ttl: bool) -> FirstReadResult {
        self.ask_unless_pending(data, "read", |store| {
            if !with_ttl && self.settings.freshness.is_plain() {
                return Ok((store.read(data)?, None));
            }
            let (entry, ttl) = store.read_with_ttl(data)?;
            Ok((entry, ttl.left()))
        })
    }

    /// The same for many data keys, in one request.
    pub(crate) fn read_entries(&self, all: &[&str], with_ttl: bool) -> Vec<FirstReadResult> {
        if !with_ttl && self.settings.freshness.is_plain() {
            let read = self.ask_all("read", all.len(), |store| store.read_all(all));
            return read.into_iter().map(|entry| Ok((entry?, None))).collect();
        }
        let read = self.ask_all("read", all.len(), |store| store.read_all_with_ttl(all));
        read.into_iter()
            .map(|look| look.map(|(entry, ttl)| (entry, ttl.left())))
            .collect()
    }

    /// Sends one request about `count` records: see [`StoreClient::ask_all`].
    pub(crate) fn ask_all<T>(
        &self,
        request: &'static str,
        count: usize,
        ask: impl FnOnce(&dyn Store) -> BatchResult<T>,
    ) -> Vec<Result<T, Error>> {
        self.client.ask_all(&self.reporter, request, count, ask)
    }

    /// Sends a request about a record, unless an invalidation of that record is pending. Until it
    /// is replayed, a read would return the old record, and an update would keep it.
    pub(crate) fn ask_unless_pending<T>(
        &self,
        data: &str,
        request: &'static str,
        ask: impl FnOnce(&dyn Store) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        self.refuse_pending(data, request)?;
        self.ask(request, ask)
    }

    /// Fails if an invalidation of this record is pending.
    pub(crate) fn refuse_pending(&self, data: &str, request: &'static str) -> Result<(), Error> {
        match self.client.bypass(data) {
            None => Ok(()),
            Some(cause) => Err(Error::Store { request, cause }),
        }
    }

    /// The same for a request that changes the record in place. Evicts the record from near caches.
    pub(crate) fn change<T>(
        &self,
        keys: &Keys,
        request: &'static str,
        ask: impl FnOnce(&dyn Store) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let changed = self.ask_unless_pending(&keys.data, request, ask);
        self.client.evict(&keys.data);
        changed
    }

    /// Sends a request that invalidates. If it fails, the invalidation is recorded as pending.
    pub(crate) fn invalidate<T>(
        &self,
        keys: &Keys,
        (request, began): (&'static str, Began),
        ask: impl FnOnce(&dyn Store) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let request = (request, began);
        self.client.invalidate(&self.reporter, keys, request, ask)
    }

    /// One of this cache's records, whose invalidation is under way.
    pub(crate) fn ending<'a>(&'a self, keys: &'a Keys) -> Ending<'a> {
        Ending {
            reporter: &self.reporter,
            prefix: &self.settings.prefix,
            keys,
        }
    }

    /// Renews a lease of ours for as long as a load may take.
    pub(crate) fn renew_lease(&self, keys: &Keys, token: Token) -> RenewalGuard<'_> {
        let until = Instant::now() + self.settings.max_load_time;
        self.lease_renewer.start(keys, token, until)
    }

    /// The counters of this cache, and the state of the client to its store.
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            invalidations_pending: u64::try_from(self.client.pending()).unwrap_or(u64::MAX),
            breaker_open: self.client.breaker_is_open(),
            tracking_live: self
                .subscriber
                .as_ref()
                .is_some_and(|subscriber| subscriber.is_listening()),
            ..self.reporter.counters.snapshot()
        }
    }
}
