//! Every setting of a cache, and its default.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use super::Cache;
use crate::{
    backend::Backend,
    engine::{Settings, freshness::Freshness},
    error::Error,
    record::Record,
    telemetry::event::Observer,
};

/// The settings of a [`Cache`]. Made by [`Cache::builder`].
#[must_use = "a builder does nothing before `build`"]
pub struct CacheBuilder {
    backend: Backend,
    settings: Settings,
    observer: Option<Arc<dyn Observer>>,
}

impl Cache<Record> {
    /// Begins a cache. `backend` is an address (`redis://user:password@host:port/db`, `redis+cluster://host:port,host:port`, and
    /// [others](crate::Redis::builder)), a [`Redis`](crate::backend::redis::Redis) that several caches share, a [`RedisBuilder`](crate::backend::redis::RedisBuilder) with settings of its
    /// own, a [`Memory`](crate::backend::memory::Memory) in this process, or a [`Backend`] over any other store.
    ///
    /// The record type is chosen by [`build`](CacheBuilder::build), not here: annotate what you assign it to.
    pub fn builder(backend: impl Into<Backend>) -> CacheBuilder {
        CacheBuilder {
            backend: backend.into(),
            observer: None,
            settings: Settings {
                prefix: String::new(),
                ttl: Duration::from_secs(30),
                negative_ttl: None,
                lease_ttl: Duration::from_secs(2),
                max_load_time: Duration::from_secs(60),
                wait_timeout: Duration::from_secs(10),
                fail_on_wait_timeout: false,
                poll: Duration::from_millis(25),
                keep_ttl_on_update: false,
                freshness: Freshness::default(),
                near_cache: None,
                near_ttl: None,
                near_staleness: Duration::from_secs(1),
                tracking: false,
            },
        }
    }
}

impl CacheBuilder {
    /// Sets what the key of every record begins with; the id follows. End it with a separator:
    /// `cache:product:`. Other programs find the records under the same keys.
    ///
    /// There is no default: two kinds of records under one prefix would overwrite each other.
    /// Keep it when the fields of the record change: a program with another prefix is not reached by this one's
    /// invalidations. An entry that doesn't decode is a miss.
    pub fn prefix(mut self, prefix: impl Into<String>) -> CacheBuilder {
        self.settings.prefix = prefix.into();
        self
    }

    /// Sets how long a record lives in Redis after its fill: the longest time for which a change of the
    /// primary that nobody told the cache about stays unseen. 1 ms to ten years.
    ///
    /// Defaults to 30 s: short enough to live with a forgotten `invalidate`, long enough to spare the
    /// primary nearly all reads of a record that is read every second.
    pub fn ttl(mut self, ttl: Duration) -> CacheBuilder {
        self.settings.ttl = ttl;
        self
    }

    /// Caches that the primary has no such record, for this long. Without it every read of a missing record
    /// asks the primary. An `invalidate` ends it, so call that after an insert as well. 1 ms to `ttl`.
    ///
    /// Other programs see a hash with one field, `__cache_aside_not_found`.
    ///
    /// Defaults to off: most programs don't invalidate when they insert.
    pub fn negative_ttl(mut self, ttl: Duration) -> CacheBuilder {
        self.settings.negative_ttl = Some(ttl);
        self
    }

    /// Shortens each TTL by chance, by up to this fraction of it, so that records which were filled together don't all
    /// expire together: with 0.2 and a `ttl` of 30 s, evenly from 24 s to 30 s. From 0 to less than 1. Also that of
    /// what is not there, and of updated records; not one that a [loader chose](crate::Loaded::ttl).
    ///
    /// Defaults to 0: a TTL is what it says.
    pub fn ttl_jitter(mut self, fraction: f64) -> CacheBuilder {
        self.settings.freshness.ttl_jitter = fraction;
        self
    }

    /// Has a record that is read often loaded anew shortly before its TTL is over, by one caller of all, while the
    /// others are served what is there: so nobody waits when it expires.
    ///
    /// A hit with `left` to live refreshes when `-δ·β·ln(u) ≥ left`, where `δ` is how long the loads of this cache
    /// take (a moving average of this process, where a call for many records counts as one; before its first load nothing is refreshed), `u` is chance, and `β` this
    /// setting: 1 is what the paper shows to be optimal, more is earlier. Above 0, at most 1,000. This is `XFetch`,
    /// [Optimal Probabilistic Cache Stampede Prevention](https://doi.org/10.14778/2757807.2757813), VLDB 2015.
    ///
    /// The caller who refreshes waits for its own loader; if that fails, it gets the record that is there, and
    /// nobody tries again for one `lease_ttl`.
    ///
    /// A hit asks for the TTL as well then, in the same round trip. A refresh costs two round trips more, an attempt that
    /// comes too late one.
    ///
    /// Defaults to off.
    pub fn early_refresh(mut self, beta: f64) -> CacheBuilder {
        self.settings.freshness.early_refresh = Some(beta);
        self
    }

    /// Keeps a record for so long after its TTL. Whoever comes first then loads it anew, and the others are served the
    /// old one at once, [marked as stale](crate::Source::Stale). If the loader fails, the old one is served to all, and
    /// nobody tries again for one `lease_ttl`. 1 ms to ten years; 0 is off.
    ///
    /// An `invalidate` ends the record with its grace; [`expire`](crate::Cache::expire) leaves it its grace. Caches with one
    /// prefix, in all processes, need the same grace, since what is fresh is told by what is left of the TTL in
    /// Redis. A record that another program wrote with a shorter TTL than the grace counts as stale.
    ///
    /// A hit asks for the TTL as well then, in the same round trip. A refresh costs two round trips more, an attempt that
    /// comes too late one.
    ///
    /// Defaults to off: a record whose TTL is over is gone.
    pub fn grace(mut self, grace: Duration) -> CacheBuilder {
        self.settings.freshness.grace = grace;
        self
    }

    /// Sets how long a lease lasts without being renewed: how long the others wait when a process dies
    /// in mid-load. Renewed every third of it while a loader runs. 10 ms to ten years.
    ///
    /// Defaults to 2 s: many round trips even of a slow network, and a wait that a person sits through.
    pub fn lease_ttl(mut self, lease_ttl: Duration) -> CacheBuilder {
        self.settings.lease_ttl = lease_ttl;
        self
    }

    /// Sets how long a lease is renewed at most. A loader that takes longer has hung, for all we know: its
    /// lease lapses, another caller loads, and what it brings in the end is returned but not cached.
    /// At least `lease_ttl`.
    ///
    /// Defaults to 60 s, longer than any request should take.
    pub fn max_load_time(mut self, max_load_time: Duration) -> CacheBuilder {
        self.settings.max_load_time = max_load_time;
        self
    }

    /// Sets how long a caller waits for another caller's load. When that is over, one caller of each process
    /// loads, without caching, and those whose wait is over share that load. Should it take as long again,
    /// each loads for itself. So nobody waits for others longer than twice this. At least `poll`.
    ///
    /// Defaults to 10 s: five leases of holders that died one after the other, and well before the 30 s
    /// after which many proxies give a request up.
    pub fn wait_timeout(mut self, wait_timeout: Duration) -> CacheBuilder {
        self.settings.wait_timeout = wait_timeout;
        self
    }

    /// Sets whether a caller whose `wait_timeout` is over gets [`Error::WaitTimeout`] at once, instead of a load
    /// without the cache. For a primary that must be protected at any price.
    ///
    /// Defaults to false: an answer is better than none.
    pub fn fail_on_wait_timeout(mut self, fail: bool) -> CacheBuilder {
        self.settings.fail_on_wait_timeout = fail;
        self
    }

    /// Sets the longest pause between two questions to Redis while another process loads. Pauses grow up
    /// to it from 1 ms, each shortened by chance by up to a half. At least 1 ms.
    ///
    /// Defaults to 25 ms: 40 small questions a second from a waiter, and an answer that is late by
    /// no more than a person can see.
    pub fn poll(mut self, poll: Duration) -> CacheBuilder {
        self.settings.poll = poll;
        self
    }

    /// Sets whether `update_field` and `update` leave a record the TTL it has, instead of starting it anew.
    ///
    /// Defaults to false: what was just written is fresh. Set it where one field is updated much more often
    /// than the rest of the record is invalidated: each update would otherwise prolong the life of all the
    /// other fields, for ever if need be.
    pub fn keep_ttl_on_update(mut self, keep: bool) -> CacheBuilder {
        self.settings.keep_ttl_on_update = keep;
        self
    }

    /// Keeps up to so many records, and ids that are known to have none, in this process, in front of Redis. Those that
    /// were not read lately go first. 1 to 100,000,000.
    ///
    /// Redis pushes to this process what changes under the prefix, and that is evicted. **A lookup answered from here is never
    /// older than [`near_staleness`](CacheBuilder::near_staleness)**, however long pushes take and whether they come at all;
    /// and never older than what any cache on the same [`Redis`](crate::backend::redis::Redis) or [`Backend`] has written. While changes
    /// can't be heard, nothing here is used. Only what was read from Redis enters, once it is read again after its load.
    ///
    /// It takes a connection and a thread of its own, which connect after `build` has returned and close with the last handle
    /// on the cache. Every change under the prefix, made by whomever, is pushed to every process that has a near cache for
    /// it: for records that are read much more often than they change. The user of Redis needs `+client|tracking`.
    ///
    /// `build` refuses it on a store that can't tell what changes.
    ///
    /// Defaults to off: then no process may read what another one's `invalidate` has ended.
    pub fn near_cache(mut self, capacity: usize) -> CacheBuilder {
        self.settings.near_cache = Some(capacity);
        self
    }

    /// Sets for how long a record is kept near at most, though it lives longer in Redis. 1 ms to ten years.
    ///
    /// Defaults to the `ttl`: what changes is evicted before.
    pub fn near_ttl(mut self, ttl: Duration) -> CacheBuilder {
        self.settings.near_ttl = Some(ttl);
        self
    }

    /// Sets how long after a write by another process has returned the near cache may still hold what was there before. It is
    /// a bound, kept in a partition too: what can't be vouched for is not used. Changes are heard within a
    /// millisecond while all is well. 20 ms to 1 minute; and many round trips, since where one takes a quarter of it, nothing
    /// near is used for want of answers in time.
    ///
    /// Defaults to 1 s: what a page in a browser is late by anyway, and longer than a hiccup of the network, which would only
    /// cost hits. Four times in it, and four times a second at least, the server is asked whether it is there; also with
    /// [`tracking`](CacheBuilder::tracking) alone.
    pub fn near_staleness(mut self, bound: Duration) -> CacheBuilder {
        self.settings.near_staleness = bound;
        self
    }

    /// Sets whether Redis pushes to this process what changes under the prefix, so that callers who wait for a load of another
    /// process are woken at its end, instead of asking for it. Set by `near_cache` as well, and at its cost. While
    /// changes can't be heard, they ask, and `get_many` does so in any case.
    ///
    /// Defaults to false: one connection more, for an answer that is early by half a [`poll`](CacheBuilder::poll).
    pub fn tracking(mut self, on: bool) -> CacheBuilder {
        self.settings.tracking = on;
        self
    }

    /// Has every event of this cache heard by `observer`: for metrics and logs of your own.
    ///
    /// Defaults to none.
    pub fn observer(mut self, observer: impl Observer + 'static) -> CacheBuilder {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Checks the settings, connects, and makes the cache.
    ///
    /// # Cost
    ///
    /// With an address or a [`RedisBuilder`](crate::backend::redis::RedisBuilder), one connection and one round trip, unless it is
    /// [`lazy`](crate::RedisBuilder::lazy). With what is shared, none.
    ///
    /// # Errors
    ///
    /// - [`Error::Setting`] names the setting that makes no sense.
    /// - [`Error::Redis`]: the server could not be reached, or refused the user, the password or a
    ///   command; in its own words, where the client library passes them on.
    pub fn build<R>(self) -> Result<Cache<R>, Error>
    where
        R: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        super::validate::all(&self.settings)?;
        let client = self.backend.client()?;
        Cache::new(self.settings, client, self.observer)
    }
}

impl fmt::Debug for CacheBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBuilder")
            .field("backend", &self.backend)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
