//! Every setting of a cache, its default and its check.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    backend::Backend,
    cache::Cache,
    error::Error,
    event::Observer,
    inner::Settings,
    key::LEASE_PREFIX,
    record::Record,
    setting::{between, refuse},
};

/// The settings of a [`Cache`]. Made by [`Cache::builder`].
#[must_use = "a builder does nothing before `build`"]
pub struct CacheBuilder {
    backend: Backend,
    settings: Settings,
    observer: Option<Arc<dyn Observer>>,
}

impl Cache<Record> {
    /// Begins a cache. `backend` is an address (`redis://user:password@host:port/db`, `unix:///path`), a
    /// [`Redis`](crate::Redis) that several caches share, a [`RedisBuilder`](crate::RedisBuilder) with settings of its
    /// own, a [`Memory`](crate::Memory) in this process, or a [`Backend`] over any other store.
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
            },
        }
    }
}

impl CacheBuilder {
    /// Sets what the key of every record begins with; the id follows. End it with a separator:
    /// `cache:product:`. Other programs find the records under the same keys.
    ///
    /// There is no default: two kinds of records under one prefix would overwrite each other.
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
    /// With an address or a [`RedisBuilder`](crate::RedisBuilder), one connection and one round trip, unless it is
    /// [`lazy`](crate::RedisBuilder::lazy). With what is shared, none.
    ///
    /// # Errors
    ///
    /// - [`Error::Setting`] names the setting that makes no sense.
    /// - [`Error::Redis`]: the server could not be reached, or refused the user, the password or a
    ///   command; in its own words, where the client library passes them on.
    pub fn build<R: Serialize + DeserializeOwned>(self) -> Result<Cache<R>, Error> {
        check(&self.settings)?;
        let link = self.backend.link()?;
        Ok(Cache::new(self.settings, link, self.observer))
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

fn check(settings: &Settings) -> Result<(), Error> {
    let Settings {
        prefix,
        ttl,
        negative_ttl,
        lease_ttl,
        max_load_time,
        wait_timeout,
        poll,
        ..
    } = settings;
    if prefix.is_empty() {
        return refuse(
            "prefix",
            "it must not be empty; set one that ends with a separator, like `cache:product:`",
        );
    }
    if prefix.trim_start_matches('{').is_empty() {
        // The lease of `{a` would be that of `{{a}`.
        return refuse("prefix", "it must hold something besides `{`");
    }
    if prefix.starts_with(LEASE_PREFIX) || LEASE_PREFIX.starts_with(prefix.as_str()) {
        // With `lo`, the id `ck:{lofoo}` would be the lease of `foo`.
        return refuse("prefix", "keys that begin with `lock:` are the leases");
    }
    between("ttl", *ttl, Duration::from_millis(1))?;
    if let Some(negative_ttl) = negative_ttl {
        between("negative_ttl", *negative_ttl, Duration::from_millis(1))?;
        if negative_ttl > ttl {
            return refuse(
                "negative_ttl",
                format!("{negative_ttl:?} is longer than the `ttl` of {ttl:?}"),
            );
        }
    }
    between("lease_ttl", *lease_ttl, Duration::from_millis(10))?;
    between("poll", *poll, Duration::from_millis(1))?;
    if max_load_time < lease_ttl {
        return refuse(
            "max_load_time",
            format!("{max_load_time:?} is shorter than one `lease_ttl` of {lease_ttl:?}"),
        );
    }
    between("max_load_time", *max_load_time, *lease_ttl)?;
    if wait_timeout < poll {
        return refuse(
            "wait_timeout",
            format!("{wait_timeout:?} is shorter than one `poll` of {poll:?}"),
        );
    }
    between("wait_timeout", *wait_timeout, *poll)
}
