//! `LoadingCache`: a cache that has its loader, and threads to run it.
//!
//! The public handle. Decides nothing about lookups: [`background`](crate::read::background) does.

pub(crate) mod builder;
pub(crate) mod preload;

use std::{
    error::Error as StdError,
    fmt::{self, Display},
    panic::{RefUnwindSafe, UnwindSafe},
    time::{Duration, Instant},
};

use super::Cache;
use crate::{
    error::Error,
    loaded::{LoadContext, Loaded},
    outcome::Lookup,
    read::{
        background::{Background, BackgroundSettings},
        loader::SharedLoader,
    },
    record::Record,
    util::{id::Id, per_process::PerProcess},
};

/// A [`Cache`] that has its loader, so that records are also loaded without their caller. Made by
/// [`Cache::loading`] or, with settings, by [`LoadingCache::builder`].
///
/// - **Background refresh.** A record that is past its TTL, within its
///   [`grace`](crate::CacheBuilder::grace), or due for an
///   [early refresh](crate::CacheBuilder::early_refresh), is returned at once, and reloaded on a
///   thread of this cache. Nobody waits, not even the caller that found it. There is one reload
///   among all processes.
/// - **Soft timeout.** A caller that finds a record past its TTL waits [that
///   long](crate::LoadingCacheBuilder::soft_timeout) for the reload, then takes the record as it
///   is.
/// - **Hard timeout.** A caller without a record waits [that
///   long](crate::LoadingCacheBuilder::hard_timeout) for a load, then gets [`Error::LoadTimeout`].
///   The load goes on, and fills the cache.
///
/// The loader is `Send + Sync + 'static`: it owns what it needs, such as a pool of the primary.
/// Everything else is that of the cache, which stays usable beside: writes, invalidations, other
/// lookups. All guarantees of [`Cache::get`] hold.
///
/// A clone is cheap and shares everything. After a `fork`, the child has threads of its own. A
/// loader that holds the loading cache itself keeps it alive for ever; it may hold the [`Cache`].
///
/// # Threads
///
/// They are started on demand: [`threads`](crate::LoadingCacheBuilder::threads) at most for
/// refreshes, and as many for loads under a hard timeout. The drop of the last clone stops them and
/// does not wait. A thread ends after its current load. To wait for that, call
/// [`shutdown`](LoadingCache::shutdown).
///
/// A panic of the loader on such a thread is logged and counted
/// ([`background_panics`](crate::Stats::background_panics)). Callers that wait for that load get an
/// [`Error::Loader`].
///
/// ```
/// use std::{convert::Infallible, time::Duration};
///
/// use cache_aside::{Cache, Memory, Record};
///
/// # fn read_row(_: &str) -> Result<Option<Record>, Infallible> {
/// #     Ok(Some(Record::from([("name", "Rye Loaf")])))
/// # }
/// let cache: Cache = Cache::builder(Memory::new(10_000))
///     .prefix("cache:product:")
///     .grace(Duration::from_secs(600))
///     .build()?;
/// let products = cache.loading(|id| read_row(id));
/// let found = products.get("p-001")?;
/// assert_eq!(found.record().unwrap().get("name"), Some("Rye Loaf"));
/// cache.invalidate("p-001")?;
/// # Ok::<_, cache_aside::Error>(())
/// ```
pub struct LoadingCache<R = Record> {
    cache: Cache<R>,
    background: PerProcess<Background>,
}

// A loading cache stays usable after a panic, as its cache does. No user code runs under its locks,
// and they do not poison.
impl<R> UnwindSafe for LoadingCache<R> {}
impl<R> RefUnwindSafe for LoadingCache<R> {}

impl<R: Send + Sync + 'static> Cache<R> {
    /// Gives the cache a loader, with the default settings: see [`LoadingCache`]. Starts no thread.
    ///
    /// `loader` gets the id. It returns the record, or `None` if the primary has none, or an error.
    /// It must read data that is committed *now*. A loader that chooses TTLs, or reads replicas of
    /// the primary, is given to [`loading_with_context`](Cache::loading_with_context).
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// # use cache_aside::{Cache, Memory, Record};
    /// # let cache: Cache = Cache::builder(Memory::new(10_000)).prefix("cache:product:").build()?;
    /// # let read_row = |_: &str| Ok::<_, Infallible>(Some(Record::from([("name", "Rye Loaf")])));
    /// let products = cache.loading(move |id| read_row(id));
    /// assert!(products.get("p-001")?.record().is_some());
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    pub fn loading<E, F>(&self, loader: F) -> LoadingCache<R>
    where
        E: Into<Box<dyn StdError + Send + Sync>>,
        F: Fn(&str) -> Result<Option<R>, E> + Send + Sync + 'static,
    {
        let loader = SharedLoader::of_id::<R, _>(loader);
        LoadingCache::new(self, loader, builder::DEFAULTS)
    }

    /// Gives the cache a loader that sees the [`LoadContext`] and returns an `Option` of the record
    /// or a [`Loaded`], with the default settings: see [`LoadingCache`].
    ///
    /// On a cache with [`versions`](crate::CacheBuilder::versions), the loader may read a replica:
    /// see [`get_with_context`](crate::LookupOptions::get_with_context).
    ///
    /// ```
    /// # use std::{convert::Infallible, time::Duration};
    /// # use cache_aside::{Cache, Loaded, Memory, Record};
    /// # let cache: Cache = Cache::builder(Memory::new(10_000)).prefix("cache:page:").build()?;
    /// let pages = cache.loading_with_context(|context| {
    ///     let page = Record::from([("title", context.id())]);
    ///     Ok::<_, Infallible>(Loaded::new(page).ttl(Duration::from_secs(5)))
    /// });
    /// assert!(pages.get("/news")?.record().is_some());
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    pub fn loading_with_context<L, E, F>(&self, loader: F) -> LoadingCache<R>
    where
        L: Into<Loaded<R>>,
        E: Into<Box<dyn StdError + Send + Sync>>,
        F: Fn(&LoadContext<'_>) -> Result<L, E> + Send + Sync + 'static,
    {
        let loader = SharedLoader::of_context::<R, _, _>(loader);
        LoadingCache::new(self, loader, builder::DEFAULTS)
    }
}

impl<R> LoadingCache<R> {
    fn new(
        cache: &Cache<R>,
        loader: SharedLoader,
        settings: BackgroundSettings,
    ) -> LoadingCache<R> {
        let engine = cache.engine.clone();
        let new = move || Background::new(engine.clone(), loader.clone(), settings);
        LoadingCache {
            cache: cache.clone(),
            background: PerProcess::new(new),
        }
    }
}

impl<R: Send + Sync + 'static> LoadingCache<R> {
    /// Returns the record with this id: from Redis, or else from the primary.
    ///
    /// ```
    /// # use std::{convert::Infallible, time::Duration};
    /// # use cache_aside::{Cache, LoadingCache, Memory, Record};
    /// # let cache: Cache = Cache::builder(Memory::new(10_000)).prefix("cache:product:").build()?;
    /// # let read_row = |_: &str| Ok::<_, Infallible>(Some(Record::from([("name", "Rye Loaf")])));
    /// let products = LoadingCache::builder(&cache, read_row)
    ///     .hard_timeout(Duration::from_secs(2))
    ///     .build()?;
    /// let found = products.get("p-001")?;
    /// println!("{:?} ({})", found.record(), found.source());
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Concurrent calls
    ///
    /// Those of [`Cache::get`]: there is one load of a record among all processes. With a
    /// [`hard_timeout`](crate::LoadingCacheBuilder::hard_timeout) the loader runs on a thread of
    /// this cache, otherwise on the calling thread, where a panic of it stays. A loader may read
    /// this or another cache.
    ///
    /// # Cost
    ///
    /// That of [`Cache::get`]. A record that is being reloaded costs its callers one round trip, as
    /// any hit; the reload has its own two on the thread. A caller that waited for a reload which
    /// began before it reads the record once more.
    ///
    /// # Errors
    ///
    /// Those of [`Cache::get`], and [`Error::LoadTimeout`]: no record was there within the
    /// [`hard_timeout`](crate::LoadingCacheBuilder::hard_timeout).
    ///
    /// # Panics
    ///
    /// Panics if the loader panics on the calling thread, or if the operating system has no
    /// randomness to give.
    pub fn get(&self, id: impl Display) -> Result<Lookup<R>, Error> {
        let id = Id::new(&id)?;
        let began = Instant::now();
        let found = self.background.get_at(began).get(&id, began);
        found.map(Lookup::of)
    }

    /// Stops the threads of this cache and of its clones, and waits until they have ended. Returns
    /// whether that happened within `timeout`. Reloads that no thread has begun are left out, and
    /// those that wait for their turn to load ([`max_loads`](crate::CacheBuilder::max_loads)).
    ///
    /// Within a loader it does not wait, because it may be called by a load that it would wait for.
    ///
    /// Use it at the end of a program, before what the loader needs is closed. Afterwards lookups
    /// still work: the calling thread reloads and loads, as with [`Cache::get`].
    ///
    /// ```
    /// # use std::{convert::Infallible, time::Duration};
    /// # use cache_aside::{Cache, Memory, Record};
    /// # let cache: Cache = Cache::builder(Memory::new(10_000)).prefix("cache:product:").build()?;
    /// # let products = cache.loading(|_| Ok::<_, Infallible>(None));
    /// if !products.shutdown(Duration::from_secs(5)) {
    ///     eprintln!("a loader hangs");
    /// }
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Cost
    ///
    /// No round trip on this thread. It waits for the loads that run.
    #[must_use = "it says whether the threads have ended"]
    pub fn shutdown(&self, timeout: Duration) -> bool {
        self.background.get().shut_down(timeout)
    }
}

impl<R> LoadingCache<R> {
    /// The cache: for writes, invalidations, counters, and lookups with another loader.
    #[must_use]
    pub fn cache(&self) -> &Cache<R> {
        &self.cache
    }
}

impl<R> Clone for LoadingCache<R> {
    fn clone(&self) -> LoadingCache<R> {
        LoadingCache {
            cache: self.cache.clone(),
            background: self.background.clone(),
        }
    }
}

impl<R> fmt::Debug for LoadingCache<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadingCache")
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}
