//! The settings of a loading cache, and their checks.

use std::{error::Error as StdError, fmt, time::Duration};

use super::LoadingCache;
use crate::{
    cache::Cache,
    error::Error,
    loaded::{LoadContext, Loaded},
    read::{background::BackgroundSettings, loader::SharedLoader},
    util::limits::{between, refuse},
};

/// Threads that load wait for the primary most of the time, and a primary has few connections. With
/// more threads than this, they are a mistake.
const MOST_THREADS: usize = 1_000;

pub(super) const DEFAULTS: BackgroundSettings = BackgroundSettings {
    soft_timeout: Duration::ZERO,
    hard_timeout: None,
    threads: 4,
};

/// The settings of a [`LoadingCache`]. Made by [`LoadingCache::builder`].
#[must_use = "a builder does nothing before `build`"]
pub struct LoadingCacheBuilder<R> {
    cache: Cache<R>,
    loader: SharedLoader,
    settings: BackgroundSettings,
}

impl<R: Send + Sync + 'static> LoadingCache<R> {
    /// Starts with a cache and its loader: see [`Cache::loading`] for what the loader does.
    ///
    /// ```
    /// # use std::{convert::Infallible, time::Duration};
    /// # use cache_aside::{Cache, LoadingCache, Memory, Record};
    /// # let cache: Cache = Cache::builder(Memory::new(10_000))
    /// #     .prefix("cache:product:").grace(Duration::from_secs(600)).build()?;
    /// # let read_row = |_: &str| Ok::<_, Infallible>(Some(Record::from([("name", "Rye Loaf")])));
    /// let products = LoadingCache::builder(&cache, read_row)
    ///     .soft_timeout(Duration::from_millis(50))
    ///     .hard_timeout(Duration::from_secs(2))
    ///     .threads(8)
    ///     .build()?;
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    pub fn builder<E, F>(cache: &Cache<R>, loader: F) -> LoadingCacheBuilder<R>
    where
        E: Into<Box<dyn StdError + Send + Sync>>,
        F: Fn(&str) -> Result<Option<R>, E> + Send + Sync + 'static,
    {
        LoadingCacheBuilder::new(cache, SharedLoader::of_id::<R, _>(loader))
    }

    /// Starts with a cache and a loader that sees the [`LoadContext`]: see
    /// [`Cache::loading_with_context`].
    pub fn builder_with_context<L, E, F>(cache: &Cache<R>, loader: F) -> LoadingCacheBuilder<R>
    where
        L: Into<Loaded<R>>,
        E: Into<Box<dyn StdError + Send + Sync>>,
        F: Fn(&LoadContext<'_>) -> Result<L, E> + Send + Sync + 'static,
    {
        LoadingCacheBuilder::new(cache, SharedLoader::of_context::<R, _, _>(loader))
    }

    /// Starts with a cache and a loader that also sees the cached record when it reloads it. It may
    /// then ask the primary only whether the record has changed, and return
    /// [`Loaded::unchanged`]. The TTL of the cached record starts again, and no field is sent.
    ///
    /// The record is `None` if there is none, and when a caller reloads it on its own thread.
    ///
    /// ```
    /// # use std::{convert::Infallible, time::Duration};
    /// # use cache_aside::{Cache, Loaded, LoadingCache, Memory, Record};
    /// # struct Rows;
    /// # impl Rows {
    /// #     fn version(&self, _: &str) -> Result<String, Infallible> { Ok("7".into()) }
    /// #     fn read(&self, _: &str) -> Result<Option<Record>, Infallible> { Ok(None) }
    /// # }
    /// # let rows = Rows;
    /// # let cache: Cache = Cache::builder(Memory::new(10_000))
    /// #     .prefix("cache:product:").grace(Duration::from_secs(600)).build()?;
    /// let products = LoadingCache::builder_with_cached(&cache, move |context, cached| {
    ///     if let Some(cached) = cached
    ///         && cached.get("version") == Some(&*rows.version(context.id())?)
    ///     {
    ///         return Ok(Loaded::unchanged());
    ///     }
    ///     Ok::<_, Infallible>(Loaded::new(rows.read(context.id())?))
    /// });
    /// assert!(products.build()?.get("p-001")?.record().is_none());
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Cost
    ///
    /// A reload reads the record once more, under its lease: one round trip, on the thread.
    pub fn builder_with_cached<L, E, F>(cache: &Cache<R>, loader: F) -> LoadingCacheBuilder<R>
    where
        L: Into<Loaded<R>>,
        E: Into<Box<dyn StdError + Send + Sync>>,
        F: Fn(&LoadContext<'_>, Option<&R>) -> Result<L, E> + Send + Sync + 'static,
    {
        LoadingCacheBuilder::new(cache, SharedLoader::of_cached::<R, _, _>(loader))
    }
}

impl<R> LoadingCacheBuilder<R> {
    fn new(cache: &Cache<R>, loader: SharedLoader) -> LoadingCacheBuilder<R> {
        LoadingCacheBuilder {
            cache: cache.clone(),
            loader,
            settings: DEFAULTS,
        }
    }

    /// Sets how long a caller that finds a record past its TTL waits for a fresh one. Then it takes
    /// the record that it has, and the reload goes on. Needs a
    /// [`grace`](crate::CacheBuilder::grace). A record that is only due for an early refresh is
    /// still fresh, so nobody waits for it. Up to ten years; zero: nobody waits.
    ///
    /// Defaults to zero: a record that is a moment past its TTL is nearly as good as a fresh one.
    pub fn soft_timeout(mut self, timeout: Duration) -> LoadingCacheBuilder<R> {
        self.settings.soft_timeout = timeout;
        self
    }

    /// Sets how long a caller without a record waits for a load, its own or another caller's. Then
    /// it gets [`Error::LoadTimeout`]. The load goes on and fills the cache, so a later call may
    /// hit. At least 1 ms, and no shorter than the soft timeout.
    ///
    /// The loader then runs on a thread of this cache. While all
    /// [`threads`](LoadingCacheBuilder::threads) load, further callers
    /// wait for one, without a lease, and for no longer than this timeout. So a loader that hangs
    /// holds one thread. The requests to Redis have their own [bounds](crate::RedisBuilder), which
    /// come on top.
    ///
    /// Defaults to off: a loader runs on its caller's thread, and takes as long as it takes.
    pub fn hard_timeout(mut self, timeout: Duration) -> LoadingCacheBuilder<R> {
        self.settings.hard_timeout = Some(timeout);
        self
    }

    /// Sets how many threads reload records at most, and how many load under a
    /// [`hard_timeout`](LoadingCacheBuilder::hard_timeout). They are started on demand. 1 to 1,000.
    ///
    /// Defaults to 4 of each: at 20 ms for a load, they reload 200 records a second.
    pub fn threads(mut self, most: usize) -> LoadingCacheBuilder<R> {
        self.settings.threads = most;
        self
    }

    /// Checks the settings, and makes the loading cache. Starts no thread and sends nothing.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] names the invalid setting.
    pub fn build(self) -> Result<LoadingCache<R>, Error> {
        let LoadingCacheBuilder {
            cache,
            loader,
            settings,
        } = self;
        let BackgroundSettings {
            soft_timeout,
            hard_timeout,
            threads,
        } = settings;
        between("soft_timeout", soft_timeout, Duration::ZERO)?;
        let has_grace = !cache.engine.first().settings.freshness.grace.is_zero();
        if !soft_timeout.is_zero() && !has_grace {
            return refuse("soft_timeout", "the cache has no `grace`");
        }
        if let Some(hard_timeout) = hard_timeout {
            between("hard_timeout", hard_timeout, Duration::from_millis(1))?;
            if hard_timeout < soft_timeout {
                return refuse(
                    "hard_timeout",
                    format!(
                        "{hard_timeout:?} is shorter than the `soft_timeout` of {soft_timeout:?}"
                    ),
                );
            }
        }
        if threads == 0 || threads > MOST_THREADS {
            return refuse("threads", "it must be at least 1 and at most 1,000");
        }
        Ok(LoadingCache::new(&cache, loader, settings))
    }
}

/// Not derived: a loader is not `Debug`.
impl<R> fmt::Debug for LoadingCacheBuilder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadingCacheBuilder")
            .field("cache", &self.cache)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
