//! The settings that one lookup may override.

use std::{
    error::Error as StdError,
    fmt::Display,
    marker::PhantomData,
    time::{Duration, Instant},
};

use super::validate;
use crate::{
    engine::Engine,
    error::Error,
    loaded::{LoadContext, Loaded},
    outcome::Lookup,
    read::{
        self, LookupConfig,
        loader::{self, DynLoader},
    },
    util::{
        id::{Id, Ids},
        per_process::PerProcess,
    },
    write,
};

/// A lookup with settings of its own. Made by [`Cache::options`](crate::Cache::options). The other
/// settings are those of the cache.
///
/// ```
/// # use std::{convert::Infallible, time::Duration};
/// # use cache_aside::{Cache, Memory, Record};
/// # let cache: Cache = Cache::builder(Memory::new(10_000)).prefix("cache:product:").build()?;
/// # let read_row = |_: &str| Ok::<_, Infallible>(Some(Record::from([("name", "Rye Loaf")])));
/// # let is_admin = true;
/// let found = cache
///     .options()
///     .ttl(Duration::from_secs(5))
///     .wait_timeout(Duration::from_millis(200))
///     .skip_cache(is_admin)
///     .get("p-001", read_row)?;
/// # assert!(cache.peek("p-001")?.is_none());
/// # Ok::<_, cache_aside::Error>(())
/// ```
#[must_use = "options do nothing before `get`"]
pub struct LookupOptions<'a, R> {
    engine: &'a PerProcess<Engine>,
    record_type: PhantomData<fn() -> R>,
    config: LookupConfig,
    skip_cache: bool,
    pub(super) tags: &'a [&'a str],
}

impl<'a, R> LookupOptions<'a, R> {
    pub(crate) fn new(engine: &'a PerProcess<Engine>) -> LookupOptions<'a, R> {
        LookupOptions {
            engine,
            record_type: PhantomData,
            config: LookupConfig::of(&engine.first().settings),
            skip_cache: false,
            tags: &[],
        }
    }

    /// Sets how long a record that this lookup loads is cached. A missing record is cached for
    /// [`negative_ttl`](crate::CacheBuilder::negative_ttl), but no longer than this. Zero: it is
    /// not cached. Otherwise at least one millisecond and at most ten years.
    ///
    /// An `update` or `update_field` of the record restarts the cache's own TTL, unless
    /// [`keep_ttl_on_update`](crate::CacheBuilder::keep_ttl_on_update) is set.
    pub fn ttl(mut self, ttl: Duration) -> LookupOptions<'a, R> {
        self.config.ttl = ttl;
        self
    }

    /// Sets how long this lookup waits for another caller's load: see
    /// [`CacheBuilder::wait_timeout`](crate::CacheBuilder::wait_timeout). Zero: it does not wait,
    /// and loads at once. Otherwise at least one [`poll`](crate::CacheBuilder::poll) and at most
    /// ten years.
    pub fn wait_timeout(mut self, wait_timeout: Duration) -> LookupOptions<'a, R> {
        self.config.wait_timeout = wait_timeout;
        self
    }

    /// Asks the primary only. The lookup neither reads nor writes the cache, shares no load, and is
    /// not counted as a lookup. Use it if the caller needs the current data, or for a switch in a
    /// URL.
    pub fn skip_cache(mut self, skip: bool) -> LookupOptions<'a, R> {
        self.skip_cache = skip;
        self
    }

    /// Does not answer from the [near cache](crate::CacheBuilder::near_cache): the lookup reads
    /// Redis. So it sees every write that had returned, also one of another process. Use it if the
    /// caller has just written through another process and must see the effect. The near cache
    /// drops its entry, and may take the record that this lookup reads. Without a near cache, it
    /// changes nothing.
    pub fn skip_near(mut self, skip: bool) -> LookupOptions<'a, R> {
        self.config.skip_near = skip;
        self
    }

    /// Sets for how long a record that answers this lookup may have been in the cache. An older one
    /// counts as missing, for this lookup only: one caller loads it again, under the usual lease.
    /// If the loader fails, that is the lookup's error, and the old record stays cached. Zero: no
    /// cached record answers. Otherwise at least one millisecond and at most ten years.
    ///
    /// The lookup may share a load that was already running when it began. An
    /// [update](crate::Cache::update) counts as a load, unless
    /// [`keep_ttl_on_update`](crate::CacheBuilder::keep_ttl_on_update) is set.
    ///
    /// The age is the TTL that the record was given, less what remains of it. The TTL that it was
    /// given is not stored. So the lookup assumes the longest that this cache has given to any
    /// record: its [`ttl`](crate::CacheBuilder::ttl), or a longer one of an option or of
    /// [`Loaded::ttl`](crate::Loaded::ttl). A record that was given less counts as older than it
    /// is, and may be loaded again too early. That happens after
    /// [`ttl_jitter`](crate::CacheBuilder::ttl_jitter), and if loaders choose short TTLs. **The
    /// `ttl` must not be shorter than any TTL that another process gives**, or else a record may
    /// count as younger than it is. A missing record is judged by
    /// [`negative_ttl`](crate::CacheBuilder::negative_ttl) in the same way.
    ///
    /// ```
    /// # use std::{convert::Infallible, time::Duration};
    /// # use cache_aside::{Cache, Memory, Record, Source};
    /// # let load = |_: &str| Ok::<_, Infallible>(Some(Record::from([("name", "Rye Loaf")])));
    /// let memory = Memory::new(10_000);
    /// let cache: Cache = Cache::builder(&memory).prefix("cache:product:").build()?;
    /// cache.get("p-001", load)?;
    /// memory.advance(Duration::from_secs(10));
    ///
    /// let young = cache.options().max_age(Duration::from_secs(5));
    /// assert_eq!(young.get("p-001", load)?.source(), Source::Loaded);
    /// assert_eq!(young.get("p-001", load)?.source(), Source::Hit);
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Cost
    ///
    /// A hit also reads the TTL, in the same round trip. A record that is too old costs what a miss
    /// costs.
    pub fn max_age(mut self, max_age: Duration) -> LookupOptions<'a, R> {
        self.config.max_age = Some(max_age);
        self
    }
}

impl<R> LookupOptions<'_, R> {
    fn check(&self) -> Result<(), Error> {
        let engine = self.engine.first();
        validate::lookup(&self.config, &engine.settings)?;
        write::tags::check(engine, self.tags)
    }
}

impl<R: Send + Sync + 'static> LookupOptions<'_, R> {
    /// Returns the record with this id: see [`Cache::get`](crate::Cache::get). `loader` returns an
    /// `Option` of the record, or a [`Loaded`].
    ///
    /// # Cost
    ///
    /// That of `Cache::get`; no round trip with [`skip_cache`](LookupOptions::skip_cache).
    ///
    /// # Errors
    ///
    /// Those of `Cache::get`, and [`Error::InvalidSetting`] if an option is out of its range.
    /// In that case nothing is sent and nothing is loaded.
    ///
    /// # Panics
    ///
    /// Panics if `loader` panics, or if the operating system has no randomness to give.
    pub fn get<L, E, F>(self, id: impl Display, loader: F) -> Result<Lookup<R>, Error>
    where
        L: Into<Loaded<R>>,
        E: Into<Box<dyn StdError + Send + Sync>>,
        F: FnOnce(&str) -> Result<L, E>,
    {
        let id = Id::new(&id)?;
        self.check()?;
        self.get_by(&id, &mut loader::once::<R, _, _>(loader))
    }

    /// Returns the record with this id, as [`get`](LookupOptions::get) does. `loader` also learns
    /// whether it may read a replica of the primary that lags: see [`LoadContext`].
    ///
    /// On a cache with [`versions`](crate::CacheBuilder::versions), `loader` returns a [`Loaded`]
    /// with a [version](Loaded::version) when it has read a replica. If that version is older than
    /// a write that had returned, `loader` is called a second time, and must read the primary. A
    /// missing record without a version, from a replica, is treated the same way. See
    /// [`Cache::invalidate_at`](crate::Cache::invalidate_at) for an example.
    ///
    /// # Cost
    ///
    /// That of `get`.
    ///
    /// # Errors
    ///
    /// Those of `get`, and [`Error::StaleLoad`] if the second call also returned an older version.
    ///
    /// # Panics
    ///
    /// Panics if `loader` panics, or if the operating system has no randomness to give.
    pub fn get_with_context<L, E, F>(self, id: impl Display, loader: F) -> Result<Lookup<R>, Error>
    where
        L: Into<Loaded<R>>,
        E: Into<Box<dyn StdError + Send + Sync>>,
        F: FnMut(&LoadContext<'_>) -> Result<L, E>,
    {
        let id = Id::new(&id)?;
        self.check()?;
        self.get_by(&id, &mut loader::with_context::<R, _, _>(loader))
    }

    fn get_by(self, id: &str, loader: &mut DynLoader<'_>) -> Result<Lookup<R>, Error> {
        let found = if self.skip_cache {
            read::skip(self.engine.get(), self.config.wait_timeout, id, loader)
        } else {
            let began = Instant::now();
            let engine = self.engine.get_at(began);
            let near = (began, self.config.accepts(), engine.tags_of(self.tags));
            read::get(engine, near, || self.config, id, loader)
        };
        found.map(Lookup::of)
    }

    /// Returns the records with these ids: see [`Cache::get_many`](crate::Cache::get_many).
    ///
    /// # Cost
    ///
    /// That of `Cache::get_many`; no round trip with [`skip_cache`](LookupOptions::skip_cache).
    ///
    /// # Errors
    ///
    /// Those of `Cache::get_many`, and [`Error::InvalidSetting`] if an option is out of its range.
    /// In that case nothing is sent and nothing is loaded.
    ///
    /// # Panics
    ///
    /// Panics if `loader` panics, or if the operating system has no randomness to give.
    pub fn get_many<I, M, K, E, F>(self, ids: I, loader: F) -> Result<Vec<Lookup<R>>, Error>
    where
        I: IntoIterator<Item: Display>,
        M: IntoIterator<Item = (K, R)>,
        K: Display,
        E: Into<Box<dyn StdError + Send + Sync>>,
        F: FnMut(&[&str]) -> Result<M, E>,
    {
        let ids = Ids::new(ids)?;
        self.check()?;
        let engine = self.engine.get();
        let load = &mut read::batch_loader::<R, _, _, _, _>(engine, loader);
        let found = if self.skip_cache {
            read::skip_many(engine, self.config.wait_timeout, &ids, load)
        } else {
            let config = (self.config, engine.tags_of(self.tags));
            read::get_many(engine, config, &ids, load)
        };
        Ok(found?.into_iter().map(Lookup::of).collect())
    }
}

impl<R> Clone for LookupOptions<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for LookupOptions<'_, R> {}

impl<R> std::fmt::Debug for LookupOptions<'_, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LookupOptions")
            .field("config", &self.config)
            .field("skip_cache", &self.skip_cache)
            .finish_non_exhaustive()
    }
}
