//! `Cache`: the handle a program holds.

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
/// Cheap to clone, and shared by clones: pool, loads under way, counters. Give each thread a clone or a
/// reference.
///
/// `R` is the type of the records: [`Record`], or any flat type of your own, struct or map, that implements serde's
/// `Serialize` and `DeserializeOwned`:
///
/// | in Rust | in the hash |
/// |---|---|
/// | `String` and the like, `char`, an enum without contents | its text, its variant's name |
/// | integers, floats, `bool` | as Rust prints them: `-7`, `0.1`, `inf`, `true`; exact but for a NaN's sign and payload |
/// | bytes, through `serde_bytes` | as they are |
/// | `Option<T>` | as `T`; `None` leaves its field out |
/// | a newtype, `Box<T>`, `Cow<T>` | as what is in it |
/// | a list, tuple, map, struct or enum with contents in a field, or any other type as a record | not cached; with the feature `json`, `Json<R>` stores the whole record as one field |
///
/// What is loaded is read back from its fields before it is stored. It is not cached where it would
/// come back as
/// something else: numbers in what is `untagged`, `flatten`ed or an enum with a `tag`, since a hash doesn't tell numbers
/// from texts; `None` in a map, or where a `default` would take its place; `Some(None)`; two fields
/// of one name. Nor is a record without any field, or with a field name that begins with
/// `__cache_aside`.
///
/// A record that cannot be cached is returned as the loader gave it, each time by a load.
/// [`unstorable_records`](Stats::unstorable_records) counts it,
/// [`Event::Unstorable`](crate::Event::Unstorable) names the field and the reason, and the log does
/// so once for each field.
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
    /// `loader` gets the id and returns the record, `None` where the primary has none, or an error: any that
    /// is `Into<Box<dyn Error + Send + Sync>>`. It runs on the calling thread, at most once, and may borrow what it needs. It should read
    /// what is committed *now*: a loader that reads from a snapshot or a lagging replica can bring back
    /// what an invalidation has ended.
    ///
    /// A lookup that starts after [`invalidate`](Cache::invalidate) returned never gets what was there
    /// before it. (With a [near cache](crate::CacheBuilder::near_cache): after an `invalidate` of this process; after one of another
    /// process, once [`near_staleness`](crate::CacheBuilder::near_staleness) has passed.)
    ///
    /// ```no_run
    /// # use cache_aside::{Cache, Record};
    /// # fn read_row(_: &str) -> std::io::Result<Option<Record>> { Ok(None) }
    /// # let cache: Cache = Cache::builder("redis://localhost:6379").prefix("cache:product:").build()?;
    /// let found = cache.get("p-001", |id| read_row(id))?;
    /// match found.record() {
    ///     Some(record) => println!("{} ({:?})", record.get("name").unwrap_or("?"), found.source()),
    ///     None => println!("no such product"),
    /// }
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// A closure that uses `?` must name its error once, and the caller gets that error back:
    ///
    /// ```no_run
    /// # use std::io;
    /// # use cache_aside::{Cache, Error, Record};
    /// # fn read_row(_: &str) -> io::Result<Record> { Err(io::ErrorKind::NotFound.into()) }
    /// # let cache: Cache = Cache::builder("redis://localhost:6379").prefix("cache:product:").build()?;
    /// let found = cache.get("p-001", |id| {
    ///     let mut record = read_row(id)?;
    ///     record.remove("internal_note");
    ///     Ok::<_, io::Error>(Some(record))
    /// });
    /// if let Err(Error::Loader(cause)) = &found
    ///     && let Some(error) = cause.downcast_ref::<io::Error>()
    /// {
    ///     eprintln!("the primary failed: {:?}", error.kind());
    /// }
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Concurrent calls
    ///
    /// Of all callers that miss the same record at once, in all processes on this Redis, one runs its
    /// loader. The others of its process wait for it and share its `Arc`, or its error; those of other
    /// processes wait until the record is in Redis. Where there is no record, or the loader fails, the next
    /// process tries. A loader that panics does so in its own thread; of those who waited, one loads.
    ///
    /// # Cost
    ///
    /// In round trips to Redis: a near hit none, a hit one, a miss that loads three, one that waits for a load of its own
    /// process two, for one of another process two and a poll every [`poll`](crate::CacheBuilder::poll), or with
    /// [`tracking`](crate::CacheBuilder::tracking) one for each change of its lease.
    ///
    /// # Errors
    ///
    /// - [`Error::Loader`]: this caller's loader failed, or the one it waited for.
    /// - [`Error::Id`]: the id is empty or longer than 64 KiB.
    /// - [`Error::Reentrant`]: called from the loader of the same record, on its thread and through this cache. (Through
    ///   another cache or thread, or crosswise by two records, the wait ends after `wait_timeout`.)
    /// - [`Error::WaitTimeout`]: only where
    ///   [`fail_on_wait_timeout`](crate::CacheBuilder::fail_on_wait_timeout) is set.
    ///
    /// A record that cannot be cached is no error: it is returned.
    ///
    /// Redis is no reason for an error: if it fails, the loader answers, later than it would without Redis by
    /// [`checkout_timeout`](crate::RedisBuilder::checkout_timeout) and
    /// [`io_timeout`](crate::RedisBuilder::io_timeout) at most, together 1.5 s by default, and not at all once the
    /// [breaker](crate::RedisBuilder::breaker_threshold) is open. The lookup is
    /// [degraded](crate::Source::Degraded).
    ///
    /// # Panics
    ///
    /// When `loader` does, and when the operating system has no randomness.
    pub fn get<E, F>(&self, id: &str, loader: F) -> Result<Lookup<R>, Error>
    where
        E: Into<Box<dyn StdError + Send + Sync>>,
        F: FnOnce(&str) -> Result<Option<R>, E>,
    {
        let config = || LookupConfig::of(&self.engine.settings);
        read::get(&self.engine, config, id, loader)
    }

    /// Returns what is cached in Redis under this id, and never loads: `None` where nothing is, or nothing of this type. A
    /// peek is no lookup, and not counted; what is kept near is neither looked at nor changed.
    ///
    /// # Cost
    ///
    /// One round trip.
    ///
    /// # Errors
    ///
    /// - [`Error::Redis`]: it could not be asked, or what it holds may be out of date.
    /// - [`Error::Id`]: the id is empty or longer than 64 KiB.
    pub fn peek(&self, id: &str) -> Result<Option<Lookup<R>>, Error> {
        read::peek(&self.engine, id)
    }
}

impl<R> Cache<R> {
    /// Begins a lookup that wants something otherwise than this cache: another TTL or wait timeout, to skip the
    /// cache, or a loader that says [how long](crate::loaded::Loaded) what it returns is kept.
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

    /// How long a record is fresh, from its fill on: the [`ttl`](crate::CacheBuilder::ttl) setting.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.engine.settings.ttl
    }

    /// How long the cached record with this id still lives, to the millisecond, its
    /// [`grace`](crate::CacheBuilder::grace) included.
    ///
    /// # Cost
    ///
    /// One round trip.
    ///
    /// # Errors
    ///
    /// [`Error::Redis`], also where an invalidation of the record is remembered; and [`Error::Id`] for an id that is
    /// empty or too long.
    pub fn ttl_remaining(&self, id: &str) -> Result<TtlRemaining, Error> {
        let data = self.engine.data_key(id)?;
        self.engine
            .ask_unless_pending(&data, "ttl", |store| store.ttl(&data))
    }

    /// What this cache, with all its clones, has done.
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
            .field("prefix", &self.engine.settings.prefix)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
