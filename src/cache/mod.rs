//! `Cache`: the handle that a program holds.

pub(crate) mod builder;
pub(crate) mod many;
pub(crate) mod options;
pub(crate) mod validate;
pub(crate) mod writes;

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use self::options::LookupOptions;
use crate::{
    backend::client::StoreClient,
    engine::{Engine, Settings},
    error::Error,
    outcome::Lookup,
    read::{self, LookupConfig},
    record::Record,
    store::TtlRemaining,
    telemetry::{event::Observer, stats::Stats},
};

/// A cache in front of a slow primary store, for records of one type.
///
/// A clone is cheap and shares everything: pool, loads in progress, counters. Give each thread a
/// clone or a reference.
///
/// `R` is the type of the records: [`Record`], or any flat type of your own. It may be a struct or
/// a map that implements serde's `Serialize` and `DeserializeOwned`:
///
/// | in Rust | in the hash |
/// |---|---|
/// | `String` and similar types, `char` | the text |
/// | an enum without contents | the name of its variant |
/// | integers, floats, `bool` | as Rust prints them: `-7`, `0.1`, `inf`, `true` (1) |
/// | bytes, through `serde_bytes` | the bytes |
/// | `Option<T>` | as `T`; the field is left out for `None` |
/// | a newtype, `Box<T>`, `Cow<T>` | as its content |
/// | a list, tuple, map, struct or enum with contents in a field | not cached (2) |
/// | any other type as a record | not cached (2) |
///
/// 1. Exact, except for the sign and payload of a NaN.
/// 2. With the feature `json`, `Json<R>` stores the whole record as one field.
///
/// A loaded record is decoded again from its fields before it is stored. It is not cached if the
/// result would differ:
///
/// - numbers in an `untagged` or `flatten`ed type, or in an enum with a `tag`: a hash does not
///   distinguish numbers from text,
/// - `None` in a map, or where a `default` would replace it; `Some(None)`,
/// - two fields with one name.
///
/// A record without any field is not cached, nor one with a field name that begins with
/// `__cache_aside`.
///
/// A record that cannot be cached is returned as the loader gave it, and is loaded each time.
/// [`unstorable_records`](Stats::unstorable_records) counts it.
/// [`Event::Unstorable`](crate::Event::Unstorable) names the field and the reason. The log has one
/// line for each such field.
///
/// ```no_run
/// use std::convert::Infallible;
///
/// use cache_aside::Cache;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Product {
///     name: String,
///     price_cents: u32,
///     discount: Option<f64>,
/// }
///
/// let cache: Cache<Product> =
///     Cache::builder("redis://localhost:6379").prefix("cache:product:").build()?;
/// let found = cache.get("p-001", |_id| {
///     Ok::<_, Infallible>(Some(Product {
///         name: "Sourdough Loaf".into(),
///         price_cents: 650,
///         discount: None,
///     }))
/// })?;
/// assert_eq!(found.record().unwrap().price_cents, 650);
/// # Ok::<_, cache_aside::Error>(())
/// ```
pub struct Cache<R = Record> {
    engine: Arc<Engine<R>>,
}

impl<R> Cache<R> {
    pub(crate) fn new(
        settings: Settings,
        client: Arc<StoreClient>,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<Cache<R>, Error>
    where
        R: Send + Sync + 'static,
    {
        let engine = Arc::new(Engine::new(settings, client, observer)?);
        Ok(Cache { engine })
    }
}

impl<R: Serialize + DeserializeOwned> Cache<R> {
    /// Returns the record with this id: from Redis, or else from the primary through `loader`.
    ///
    /// `loader` gets the id and returns the record, `None` where the primary has none, or an error.
    /// The error may be any type that is `Into<Box<dyn Error + Send + Sync>>`. `loader` runs on the
    /// calling thread, at most once, and may borrow what it needs. It should read data that is
    /// committed *now*. A loader that reads a snapshot or a lagging replica can bring back a record
    /// from before an invalidation.
    ///
    /// A lookup that starts after [`invalidate`](Cache::invalidate) returned never gets a record
    /// from before it. With a [near cache](crate::CacheBuilder::near_cache), this holds at once for
    /// an `invalidate` of this process. For one of another process it holds after
    /// [`near_staleness`](crate::CacheBuilder::near_staleness).
    ///
    /// ```no_run
    /// # use cache_aside::{Cache, Record};
    /// # fn read_row(_: &str) -> std::io::Result<Option<Record>> { Ok(None) }
    /// # let cache: Cache =
    /// #     Cache::builder("redis://localhost:6379").prefix("cache:product:").build()?;
    /// let found = cache.get("p-001", |id| read_row(id))?;
    /// match found.record() {
    ///     Some(record) => println!("{:?} ({:?})", record.get("name"), found.source()),
    ///     None => println!("no such product"),
    /// }
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// A closure that uses `?` must name its error type once. The caller gets that error back,
    /// from [`Error::loader`]:
    ///
    /// ```no_run
    /// # use std::io;
    /// # use cache_aside::{Cache, Record};
    /// # fn read_row(_: &str) -> io::Result<Record> { Err(io::ErrorKind::NotFound.into()) }
    /// # let cache: Cache =
    /// #     Cache::builder("redis://localhost:6379").prefix("cache:product:").build()?;
    /// let found = cache.get("p-001", |id| {
    ///     let mut record = read_row(id)?;
    ///     record.remove("internal_note");
    ///     Ok::<_, io::Error>(Some(record))
    /// });
    /// if let Err(error) = &found
    ///     && let Some(error) = error.loader::<io::Error>()
    /// {
    ///     eprintln!("the primary failed: {:?}", error.kind());
    /// }
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Concurrent calls
    ///
    /// Many callers may miss the same record at once, in all processes on this Redis. One of them
    /// runs its loader. The others in its process wait for it and share its `Arc`, or its error.
    /// Callers in other processes wait until the record is in Redis. Where there is no record, or
    /// the loader fails, the next process tries. A panic of a loader stays in its own thread; one
    /// of the waiters then loads.
    ///
    /// # Cost
    ///
    /// In round trips to Redis:
    ///
    /// - a near hit: none,
    /// - a hit: one,
    /// - a miss that loads: three,
    /// - a miss that waits for a load of its own process: two,
    /// - a miss that waits for another process: two, and one poll every
    ///   [`poll`](crate::CacheBuilder::poll); or with [`tracking`](crate::CacheBuilder::tracking),
    ///   one for each change of the lease.
    ///
    /// # Errors
    ///
    /// - [`Error::Loader`]: this caller's loader failed, or the loader that it waited for.
    /// - [`Error::InvalidId`]: the id is empty or longer than 64 KiB.
    /// - [`Error::Reentrant`]: called from the loader of the same record, on its thread and through
    ///   this cache. Through another cache or thread, or where two loaders ask for each other's
    ///   record, the wait ends after `wait_timeout`.
    /// - [`Error::WaitTimeout`]: only where
    ///   [`fail_on_wait_timeout`](crate::CacheBuilder::fail_on_wait_timeout) is set.
    ///
    /// A record that cannot be cached is not an error: it is returned.
    ///
    /// A failing Redis is not an error either: the loader answers. The call then takes longer by at
    /// most [`checkout_timeout`](crate::RedisBuilder::checkout_timeout) and
    /// [`io_timeout`](crate::RedisBuilder::io_timeout), together 1.5 s by default. Once the
    /// [breaker](crate::RedisBuilder::breaker_threshold) is open there is no delay. The lookup is
    /// [degraded](crate::Source::Degraded).
    ///
    /// # Panics
    ///
    /// Where `loader` panics, and where the operating system has no randomness.
    pub fn get<E, F>(&self, id: &str, loader: F) -> Result<Lookup<R>, Error>
    where
        E: Into<Box<dyn StdError + Send + Sync>>,
        F: FnOnce(&str) -> Result<Option<R>, E>,
    {
        let config = || LookupConfig::of(&self.engine.settings);
        read::get(&self.engine, config, id, loader)
    }

    /// Returns the record that Redis has under this id, and never loads it. `None` if there is
    /// none, or none of this type. A peek is not counted as a lookup. It neither reads nor changes
    /// the near cache.
    ///
    /// # Cost
    ///
    /// One round trip.
    ///
    /// # Errors
    ///
    /// - [`Error::Store`]: Redis did not answer, or may hold an outdated record.
    /// - [`Error::InvalidId`]: the id is empty or longer than 64 KiB.
    pub fn peek(&self, id: &str) -> Result<Option<Lookup<R>>, Error> {
        read::peek(&self.engine, id)
    }
}

impl<R> Cache<R> {
    /// Starts a lookup with settings of its own: another TTL or wait timeout, or no cache at all.
    /// Its loader may also choose [how long](crate::loaded::Loaded) the record is cached.
    ///
    /// ```
    /// # use std::{convert::Infallible, time::Duration};
    /// # use cache_aside::{Cache, Memory, Record};
    /// # let cache: Cache = Cache::builder(Memory::new(10_000)).prefix("cache:product:").build()?;
    /// # let read_row = |_: &str| Ok::<_, Infallible>(Some(Record::from([("name", "Rye Loaf")])));
    /// let found = cache.options().ttl(Duration::from_secs(5)).get("p-001", read_row)?;
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    pub fn options(&self) -> LookupOptions<'_, R> {
        LookupOptions::new(&self.engine)
    }

    /// How long a record is fresh after its fill: the [`ttl`](crate::CacheBuilder::ttl) setting.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.engine.settings.ttl
    }

    /// How long the cached record with this id still lives, in milliseconds, including its
    /// [`grace`](crate::CacheBuilder::grace).
    ///
    /// # Cost
    ///
    /// One round trip.
    ///
    /// # Errors
    ///
    /// - [`Error::Store`]: Redis did not answer, or an invalidation of the record is pending.
    /// - [`Error::InvalidId`]: the id is empty or longer than 64 KiB.
    pub fn ttl_remaining(&self, id: &str) -> Result<TtlRemaining, Error> {
        let data = self.engine.data_key(id)?;
        self.engine
            .ask_unless_pending(&data, "ttl", |store| store.ttl(&data))
    }

    /// The counters of this cache and all its clones.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// Sets all counters to zero.
    pub fn reset_stats(&self) {
        self.engine.reporter.counters.reset();
    }
}

impl<R> Clone for Cache<R> {
    fn clone(&self) -> Cache<R> {
        Cache {
            engine: Arc::clone(&self.engine),
        }
    }
}

impl<R> fmt::Debug for Cache<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("name", &self.engine.reporter.cache)
            .field("prefix", &self.engine.settings.prefix)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
