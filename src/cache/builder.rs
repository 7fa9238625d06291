//! Every setting of a cache, and its default.

mod audit;
mod build;
#[cfg(feature = "event-log")]
mod event_log;
mod keys;
mod loads;
mod schema;
mod tags;

use std::{sync::Arc, time::Duration};

use crate::{
    backend::Backend,
    cache::audit::Audit,
    engine::{Settings, freshness::Freshness},
    record::{Record, fields::Schema},
    telemetry::event::Observer,
};

/// The settings of a [`Cache`](crate::Cache) of records of the type `R`. Made by
/// [`Cache::builder`](crate::Cache::builder).
///
/// A clone is an independent set of the same settings. Two caches from clones of one builder share
/// their connections only if the backend is a shared one: a
/// [`Redis`](crate::backend::redis::Redis), a [`Memory`](crate::backend::memory::Memory) or a
/// [`Backend`] over another store.
#[must_use = "a builder does nothing before `build`"]
pub struct CacheBuilder<R = Record> {
    backend: Backend,
    settings: Settings,
    observer: Option<Arc<dyn Observer>>,
    audit: Option<Audit<R>>,
}

impl<R> CacheBuilder<R> {
    /// The settings of a cache before any is set.
    fn new(backend: Backend) -> CacheBuilder<R> {
        CacheBuilder {
            backend,
            observer: None,
            audit: None,
            settings: Settings {
                prefix: String::new(),
                also_invalidates: Vec::new(),
                name: None,
                schema: Schema::default(),
                ttl: Duration::from_secs(30),
                negative_ttl: None,
                lease_ttl: Duration::from_secs(2),
                max_load_time: Settings::MAX_LOAD_TIME,
                wait_timeout: Settings::WAIT_TIMEOUT,
                fail_on_wait_timeout: false,
                fail_on_unstorable: false,
                poll: Duration::from_millis(25),
                keep_ttl_on_update: false,
                freshness: Freshness::default(),
                max_loads: None,
                load_queue_timeout: None,
                near_cache: None,
                near_ttl: None,
                near_staleness: Duration::from_secs(1),
                tracking: false,
                versions: None,
                tag_namespace: Settings::TAG_NAMESPACE.to_owned(),
                loader_tags: false,
                clear_by_tag: false,
                event_log: None,
            },
        }
    }

    /// Sets the name of the cache: in log lines, spans and events, and as the label `cache` of its
    /// metrics. Two caches with one name share their metrics.
    ///
    /// Defaults to the `prefix`.
    pub fn name(mut self, name: impl Into<String>) -> CacheBuilder<R> {
        self.settings.name = Some(name.into());
        self
    }

    /// Sets how long a record lives in Redis after its fill. If the primary changes without an
    /// invalidation, readers get the old record for at most this long. 1 ms to ten years.
    ///
    /// Defaults to 30 s. That is short enough to recover from a forgotten `invalidate`, and long
    /// enough to save nearly all reads of a record that is read every second.
    pub fn ttl(mut self, ttl: Duration) -> CacheBuilder<R> {
        self.settings.ttl = ttl;
        self
    }

    /// Sets how long to cache that the primary has no such record. Without it, every read of a
    /// missing record asks the primary. An `invalidate` removes the entry, so call `invalidate`
    /// after an insert as well. 1 ms to `ttl`.
    ///
    /// Other programs see a hash with one field, `__cache_aside_not_found`.
    ///
    /// Defaults to off: most programs don't invalidate when they insert.
    pub fn negative_ttl(mut self, ttl: Duration) -> CacheBuilder<R> {
        self.settings.negative_ttl = Some(ttl);
        self
    }

    /// Shortens each TTL at random by up to this fraction. Records that were filled together then
    /// do not all expire together. With 0.2, a `ttl` of 30 s becomes uniform from 24 s to 30 s.
    /// From 0 to less than 1. It also applies to missing and updated records, but not to a TTL that
    /// a [loader chose](crate::Loaded::ttl).
    ///
    /// Defaults to 0: the TTL is exact.
    pub fn ttl_jitter(mut self, fraction: f64) -> CacheBuilder<R> {
        self.settings.freshness.ttl_jitter = fraction;
        self
    }

    /// Reloads a record shortly before its TTL ends, if it is read often. Only one of all callers
    /// loads it; the others get the cached record. So nobody waits when the record expires.
    ///
    /// A hit whose record has `left` to live refreshes it if `-δ·β·ln(u) ≥ left`. `u` is
    /// random. `δ` is a moving average of this process's load times; a batch is one load. Before
    /// the first load nothing is refreshed. `β` is this setting: 1 is optimal according to the
    /// paper, and a larger value refreshes earlier. Above 0, at most 1,000. The method is `XFetch`,
    /// [Optimal Probabilistic Cache Stampede Prevention](https://doi.org/10.14778/2757807.2757813),
    /// VLDB 2015.
    ///
    /// The caller that refreshes waits for its own loader, except with a
    /// [`LoadingCache`](crate::LoadingCache). If the loader fails, the caller gets the cached
    /// record, and no caller retries for one `lease_ttl`.
    ///
    /// A hit also reads the TTL, in the same round trip. A refresh costs two more round trips, or
    /// one if the lease is taken. Defaults to off.
    pub fn early_refresh(mut self, beta: f64) -> CacheBuilder<R> {
        self.settings.freshness.early_refresh = Some(beta);
        self
    }

    /// Keeps a record for this long after its TTL. The first caller then reloads it, or a thread of
    /// a [`LoadingCache`](crate::LoadingCache) does. The others get the old record at once, [marked
    /// as stale](crate::Source::Stale). If the loader fails, all callers get the old record, and no
    /// caller retries for one `lease_ttl`. 1 ms to ten years; 0 turns it off. The cost is that of
    /// [`early_refresh`](CacheBuilder::early_refresh).
    ///
    /// An `invalidate` removes the record and its grace; [`expire`](crate::Cache::expire) keeps the
    /// grace. Caches with one prefix, in all processes, need the same TTL and grace: freshness is
    /// computed from the remaining TTL in Redis. A record that another program wrote with a TTL
    /// below the grace counts as stale. One with a longer TTL than this cache knows is reloaded.
    ///
    /// Defaults to off: a record is gone when its TTL ends.
    pub fn grace(mut self, grace: Duration) -> CacheBuilder<R> {
        self.settings.freshness.grace = grace;
        self
    }

    /// Sets how long a lease lasts without renewal. This is how long others wait when a process
    /// dies during a load. While a loader runs, its lease is renewed three times in this time. 10
    /// ms to ten years.
    ///
    /// Defaults to 2 s: many round trips even on a slow network, and a wait that a user accepts.
    pub fn lease_ttl(mut self, lease_ttl: Duration) -> CacheBuilder<R> {
        self.settings.lease_ttl = lease_ttl;
        self
    }

    /// Sets how long a lease is renewed at most. A loader that takes longer is assumed to hang: its
    /// lease lapses, and another caller loads. The slow loader's own result is still returned, but
    /// not cached. At least `lease_ttl`.
    ///
    /// Defaults to 60 s, longer than any request should take.
    pub fn max_load_time(mut self, max_load_time: Duration) -> CacheBuilder<R> {
        self.settings.max_load_time = max_load_time;
        self
    }

    /// Sets how long a caller waits for another caller's load. After that, one caller of each
    /// process loads without caching, and other callers that timed out share that load. If that
    /// load also takes this long, each caller loads separately. So no caller waits for others
    /// longer than twice this time. A wait for a turn to load comes on top: see
    /// [`load_queue_timeout`](CacheBuilder::load_queue_timeout). At least `poll`.
    ///
    /// Defaults to 10 s. That is enough even if five holders of the lease die one after another. It
    /// is well below the 30 s after which many proxies give up a request.
    pub fn wait_timeout(mut self, wait_timeout: Duration) -> CacheBuilder<R> {
        self.settings.wait_timeout = wait_timeout;
        self
    }

    /// Sets whether a caller gets [`Error::WaitTimeout`](crate::Error::WaitTimeout) when its
    /// `wait_timeout` ends, instead of a load without the cache. For a primary that must be
    /// protected at any cost.
    ///
    /// Defaults to false: an answer is better than none.
    pub fn fail_on_wait_timeout(mut self, fail: bool) -> CacheBuilder<R> {
        self.settings.fail_on_wait_timeout = fail;
        self
    }

    /// Sets whether a lookup whose loaded record cannot be cached returns
    /// [`Error::InvalidRecord`](crate::Error::InvalidRecord) instead of the record. For tests: they
    /// then find a type that can never be cached. [`update_field`](crate::Cache::update_field)
    /// returns the same error if the record type cannot have the field. A record that would not be
    /// cached anyway is not checked: without Redis, during a write, or with a TTL of zero.
    ///
    /// Defaults to false: the caller gets the record, which is loaded each time.
    pub fn fail_on_unstorable(mut self, fail: bool) -> CacheBuilder<R> {
        self.settings.fail_on_unstorable = fail;
        self
    }

    /// Sets the longest pause between two polls of Redis while another process loads: 1 ms or more.
    /// Pauses start at 1 ms and grow up to this value. Each pause is shortened at random by up to a
    /// half.
    ///
    /// Defaults to 25 ms: 40 small requests a second for each waiter, and a delay that a user does
    /// not notice.
    pub fn poll(mut self, poll: Duration) -> CacheBuilder<R> {
        self.settings.poll = poll;
        self
    }

    /// Sets whether `update_field` and `update` keep the remaining TTL of a record instead of
    /// restarting it.
    ///
    /// Defaults to false: a record that was just written is fresh. Set it if one field is updated
    /// much more often than the record is invalidated. Otherwise each update extends the life of
    /// all other fields, possibly for ever.
    pub fn keep_ttl_on_update(mut self, keep: bool) -> CacheBuilder<R> {
        self.settings.keep_ttl_on_update = keep;
        self
    }

    /// Keeps up to this many entries in this process, in front of Redis. An entry is a record, or
    /// the fact that an id has none. Entries that were not read recently are evicted first. 1 to
    /// 100,000,000.
    ///
    /// Redis pushes every change under the prefix to this process, which evicts the entry. **A
    /// lookup answered from the near cache is never older than
    /// [`near_staleness`](CacheBuilder::near_staleness)**, however long a push takes, and even if
    /// it is lost. After a write by any cache on the same [`Redis`](crate::backend::redis::Redis)
    /// or [`Backend`], it is never the old record. While the change stream is down, the near cache
    /// is not used. Only records read from Redis are kept: the first read after a load adds them.
    ///
    /// It needs a connection and a thread of its own. They start after `build` has returned, and
    /// stop after the last handle of the cache is dropped, which does not wait for them. If the
    /// system has no thread, it is started later. Every change under the prefix is pushed
    /// to every process with a near cache for it. So use it for records that are read much more
    /// often than they change. The Redis user needs `+client|tracking`.
    ///
    /// `build` refuses it on a store that cannot push changes.
    ///
    /// Defaults to off: without a near cache, no process reads a record that another process has
    /// invalidated.
    pub fn near_cache(mut self, capacity: usize) -> CacheBuilder<R> {
        self.settings.near_cache = Some(capacity);
        self
    }

    /// Sets how long a record stays in the near cache at most, even if it lives longer in Redis. 1
    /// ms to ten years.
    ///
    /// Defaults to the `ttl`: a record that changes is evicted earlier.
    pub fn near_ttl(mut self, ttl: Duration) -> CacheBuilder<R> {
        self.settings.near_ttl = Some(ttl);
        self
    }

    /// Sets how long the near cache may still return an old record after another process has
    /// changed it. The time counts from the return of the write. The bound also holds during a
    /// partition: an entry is used only while the change stream is known to be live. A change
    /// normally arrives within a millisecond. 20 ms to 1 minute. Allow many round trips: if one
    /// round trip takes a quarter of this time, the near cache is not used.
    ///
    /// Defaults to 1 s. A page in a browser is often that old anyway. A shorter value would lose
    /// hits at each short network delay. The server is pinged four times in this period, and at
    /// least four times a second. This also applies to [`tracking`](CacheBuilder::tracking) alone.
    pub fn near_staleness(mut self, bound: Duration) -> CacheBuilder<R> {
        self.settings.near_staleness = bound;
        self
    }

    /// Sets whether Redis pushes changes under the prefix to this process. A caller that waits for
    /// a load of another process is then notified at its end, and does not poll. `near_cache` also
    /// turns this on; the cost is the same. While the change stream is down, callers poll.
    ///
    /// Defaults to false: it needs one more connection, and an answer arrives only half a
    /// [`poll`](CacheBuilder::poll) earlier.
    pub fn tracking(mut self, on: bool) -> CacheBuilder<R> {
        self.settings.tracking = on;
        self
    }

    /// Sends every event of this cache to `observer`, for your own metrics and logs.
    ///
    /// Defaults to none.
    pub fn observer(mut self, observer: impl Observer + 'static) -> CacheBuilder<R> {
        self.observer = Some(Arc::new(observer));
        self
    }
}
