//! Makes a builder from an address, and a cache from a builder; the setting for versions.

use std::{fmt, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use super::CacheBuilder;
use crate::{
    backend::Backend,
    cache::{Cache, validate},
    error::Error,
};

impl<R> Cache<R> {
    /// Starts a cache. `backend` is one of:
    ///
    /// - an address: `redis://user:password@host:port/db`, `redis+cluster://host:port,host:port`,
    ///   or [another form](crate::Redis::builder),
    /// - a [`Redis`](crate::backend::redis::Redis) that several caches share,
    /// - a [`RedisBuilder`](crate::backend::redis::RedisBuilder), with settings of its own,
    /// - a [`Memory`](crate::backend::memory::Memory) in this process,
    /// - a [`Backend`] over any other store.
    ///
    /// The type of the records may stand before `builder` or in the type of the variable:
    ///
    /// ```
    /// use cache_aside::{Cache, Memory};
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct Product { name: String }
    ///
    /// let products = Cache::<Product>::builder(Memory::new(100)).prefix("product:").build()?;
    /// let others: Cache<Product> = Cache::builder(Memory::new(100)).prefix("other:").build()?;
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    pub fn builder(backend: impl Into<Backend>) -> CacheBuilder<R> {
        CacheBuilder::new(backend.into())
    }
}

impl<R> CacheBuilder<R> {
    /// Lets loaders read replicas of the primary that lag by up to `lag`, and never returns or
    /// caches what such a replica lacks. 1 ms to ten years.
    ///
    /// Each write leaves a *floor* in Redis for this time: the version of the record that a load
    /// must have at least. [`invalidate_at`](Cache::invalidate_at) sets a known floor. So does
    /// [`write_through`](Cache::write_through) with a [version](crate::Loaded::version), unless
    /// another floor still stands. Every other write makes the floor unknown, as
    /// [`invalidate`](Cache::invalidate) does: loads then read the primary until the record was not
    /// written for the lag. Loaders see the floor through
    /// [`get_with_context`](crate::LookupOptions::get_with_context). Loaders of
    /// [`get`](Cache::get) and [`get_many`](Cache::get_many) don't, and must read the primary.
    ///
    /// All caches with this prefix, in all processes, need this setting, and the same `lag`. A
    /// floor is a third key for each record, `floor:{<data key>}`. It must outlive the lag, so
    /// Redis must not evict it: `maxmemory-policy volatile-ttl` may. [`clear`](Cache::clear) leaves
    /// floors only for the records and loads that it finds. A step forward of the server's clock
    /// ends floors early.
    ///
    /// No call takes a round trip more. `build` refuses it on a store that keeps no floors.
    ///
    /// Defaults to off: no floors are kept, and loaders must read the primary.
    pub fn versions(mut self, lag: Duration) -> CacheBuilder<R> {
        self.settings.versions = Some(lag);
        self
    }

    /// Checks the settings, connects, and makes the cache.
    ///
    /// **While Redis cannot be reached, `build` succeeds.** It logs one warning. Until Redis can be
    /// reached, each lookup calls its loader at once ([degraded](crate::Source::Degraded)), and
    /// each invalidation is an error and is remembered. A thread tries to connect again. It checks
    /// the server as `build` does, and replays the invalidations. Then the cache uses Redis. With
    /// [`require_connection`](crate::RedisBuilder::require_connection), `build` fails instead:
    ///
    /// ```no_run
    /// use cache_aside::{Cache, Record, Redis};
    ///
    /// let redis = Redis::builder("redis://localhost:6379").require_connection(true);
    /// let cache = Cache::<Record>::builder(redis).prefix("cache:product:").build()?;
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Cost
    ///
    /// One connection and two round trips with an address or a
    /// [`RedisBuilder`](crate::backend::redis::RedisBuilder), more on a cluster. None with a shared
    /// backend. If the server cannot be reached, the time is [bounded](crate::RedisBuilder::build):
    /// by default 0.5 s for one address.
    ///
    /// # Errors
    ///
    /// - [`Error::InvalidSetting`] names the invalid setting.
    /// - [`Error::Store`]: Redis answers, but will never work with its present settings. It
    ///   rejected the user, the password or a command, or [it is of the wrong kind or
    ///   version](crate::RedisBuilder::build).
    pub fn build(self) -> Result<Cache<R>, Error>
    where
        R: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        validate::all(&self.settings)?;
        validate::warn_of_prefix(&self.settings.prefix);
        if let Some(audit) = &self.audit {
            audit.check(&self.settings)?;
        }
        let client = self.backend.client()?;
        Cache::new(self.settings, client, self.observer, self.audit)
    }
}

/// Not derived: `R` need not be `Clone`.
impl<R> Clone for CacheBuilder<R> {
    fn clone(&self) -> CacheBuilder<R> {
        CacheBuilder {
            backend: self.backend.clone(),
            settings: self.settings.clone(),
            observer: self.observer.clone(),
            audit: self.audit.clone(),
        }
    }
}

/// Not derived: `R` need not be `Debug`, and an observer is not `Debug`.
impl<R> fmt::Debug for CacheBuilder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBuilder")
            .field("backend", &self.backend)
            .field("settings", &self.settings)
            .field("audit", &self.audit)
            .finish_non_exhaustive()
    }
}
