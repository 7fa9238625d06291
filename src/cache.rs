//! `Cache`: the handle a program holds.

mod many;

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    answer::{Lookup, Written},
    error::{Error, WriteError},
    event::Observer,
    inner::{Inner, Settings},
    link::Link,
    lookup,
    options::LookupOptions,
    record::Record,
    stats::Stats,
    store::TtlRemaining,
    write,
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
/// | a list, tuple, map, struct or enum with contents in a field, or any other type as a record | [refused](Error::Record); with the feature `json`, `Json<R>` stores the whole record as one field |
///
/// What is loaded is read back from its fields before it is stored, and refused where it would come back as
/// something else: numbers in what is `untagged`, `flatten`ed or an enum with a `tag`, since a hash doesn't tell numbers
/// from texts; `None` in a map, or where a `default` would take its place; `Some(None)`; two fields of one name. So
/// are field names that begin with `__cache_aside`.
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
    inner: Arc<Inner<R>>,
}

impl<R> Cache<R> {
    pub(crate) fn new(
        settings: Settings,
        link: Arc<Link>,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<Cache<R>, Error>
    where
        R: Send + Sync + 'static,
    {
        let inner = Arc::new(Inner::new(settings, link, observer)?);
        Ok(Cache { inner })
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
    /// - [`Error::Record`]: what was loaded is no flat record.
    /// - [`Error::Id`]: the id is empty or longer than 64 KiB.
    /// - [`Error::Reentrant`]: called from the loader of the same record, on its thread and through this cache. (Through
    ///   another cache or thread, or crosswise by two records, the wait ends after `wait_timeout`.)
    /// - [`Error::WaitTimeout`]: only where
    ///   [`fail_on_wait_timeout`](crate::CacheBuilder::fail_on_wait_timeout) is set.
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
        self.options().get(id, loader)
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
        lookup::peek(&self.inner, id)
    }

    /// Changes the cached record, if one is cached and nobody else changes it at the same time.
    ///
    /// `change` sees the cached record and returns the new one, or `None` to leave it as it is: "only if my
    /// version is newer". Call it after the primary's commit. It is the optimistic form (WATCH, HGETALL,
    /// MULTI … EXEC); where another client changes the record in between, `change` is called again with
    /// what is there then. Fields of the entry that `R` doesn't know stay. Like every write it ends loads
    /// that are under way. Returns whether a cached record was changed. Where one of the fields that stay is `R`'s by
    /// another name (`#[serde(alias)]`), it can't be: the record is invalidated, and the result is false.
    ///
    /// `change` runs while a connection is held; it should not use the cache itself.
    ///
    /// The record's TTL starts anew, unless
    /// [`keep_ttl_on_update`](crate::CacheBuilder::keep_ttl_on_update) is set.
    ///
    /// ```no_run
    /// # use cache_aside::{Cache, Record};
    /// # let cache: Cache = Cache::builder("redis://localhost:6379").prefix("cache:product:").build()?;
    /// # let new = Record::from([("version", "7"), ("name", "Rye Loaf")]);
    /// let version = |record: &Record| record.get("version").and_then(|v| v.parse::<u64>().ok());
    /// cache.update("p-001", |cached| (version(cached) < version(&new)).then(|| new.clone()))?;
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Cost
    ///
    /// Three round trips an attempt, at most 16 attempts.
    ///
    /// # Errors
    ///
    /// - [`Error::Contended`]: each attempt was overtaken. The record has been invalidated instead.
    /// - [`Error::Record`]: what `change` returned is no flat record. The cached one stays as it was.
    /// - [`Error::Redis`]: neither the update nor the invalidation in its place worked; that is remembered, as
    ///   with [`invalidate`](Cache::invalidate). Where only the update failed, there is no record left, and the result is false.
    /// - [`Error::Id`]: the id is empty or longer than 64 KiB.
    ///
    /// # Panics
    ///
    /// When `change` does. The record stays as it was.
    pub fn update<F>(&self, id: &str, change: F) -> Result<bool, Error>
    where
        F: FnMut(&R) -> Option<R>,
    {
        write::update(&self.inner, id, change)
    }
}

impl<R> Cache<R> {
    /// Begins a lookup that wants something otherwise than this cache: another TTL or wait timeout, to skip the
    /// cache, or a loader that says [how long](crate::Loaded) what it returns is kept.
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
        LookupOptions::new(&self.inner)
    }

    /// Ends the cached record, and every load of it that is under way. Returns whether anything was cached, a
    /// record or that there is none (false also where the connection broke, so that it was asked twice and the
    /// first time had done it).
    ///
    /// Call it after the primary's commit. A load that began before may still finish; its callers get what
    /// it read, and it is not cached. Whoever calls [`get`](Cache::get) after `invalidate` returned gets
    /// what the primary held at the commit, or something newer.
    ///
    /// # Cost
    ///
    /// One round trip.
    ///
    /// # Errors
    ///
    /// - [`Error::Redis`]: the record may still be cached. The invalidation is remembered and replayed as soon as
    ///   Redis answers, and until then this process doesn't read the record from Redis; another process may. A
    ///   call that is repeated and succeeds settles it for all.
    /// - [`Error::Id`]: the id is empty or longer than 64 KiB.
    pub fn invalidate(&self, id: &str) -> Result<bool, Error> {
        write::invalidate(&self.inner, id)
    }

    /// Has the cached record count as stale from now on, and ends every load of it that is under way: a softer
    /// [`invalidate`](Cache::invalidate), for a change that may be seen a little later. Within the
    /// [`grace`](crate::CacheBuilder::grace) one caller loads the record anew, and the others get the old one meanwhile,
    /// [marked as stale](crate::Source::Stale); also where the primary fails. Returns whether anything was cached.
    ///
    /// Without a `grace` it is an `invalidate`, and what says that there is no record goes in any case.
    ///
    /// ```
    /// # use std::{convert::Infallible, time::Duration};
    /// # use cache_aside::{Cache, Memory, Record, Source};
    /// let cache: Cache = Cache::builder(Memory::new(10_000))
    ///     .prefix("cache:product:")
    ///     .grace(Duration::from_secs(600))
    ///     .build()?;
    /// # let load = |_: &str| Ok::<_, Infallible>(Some(Record::from([("name", "Rye Loaf")])));
    /// cache.get("p-001", load)?;
    /// cache.expire("p-001")?;
    ///
    /// let down = |_: &str| Err::<Option<Record>, _>("no connection");
    /// let found = cache.get("p-001", down)?;
    /// assert!(found.is_stale() && found.refresh_failed_by().is_some());
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Cost
    ///
    /// One round trip.
    ///
    /// # Errors
    ///
    /// Those of [`invalidate`](Cache::invalidate): one that does not reach Redis is remembered, and replayed as an
    /// invalidation.
    pub fn expire(&self, id: &str) -> Result<bool, Error> {
        write::expire(&self.inner, id)
    }

    /// Changes the primary through `change`, and ends the cached record so that even a crash in between leaves
    /// nothing stale.
    ///
    /// The record is ended before and after `change`. In between a *guard* stands in the place of the lease:
    /// whoever reads loads from the primary, and nothing is cached. So if this process dies after its commit and
    /// before it could invalidate, nothing old is there: the guard lapses after
    /// [`lease_ttl`](crate::CacheBuilder::lease_ttl), and the next reader loads what is true. The guard is kept
    /// alive while `change` runs, for [`max_load_time`](crate::CacheBuilder::max_load_time) at most.
    ///
    /// When `write` has returned, it has the effect of [`invalidate`](Cache::invalidate), whatever `change`
    /// returned. `change` runs once, on this thread, also where Redis is away.
    ///
    /// ```no_run
    /// # use std::io;
    /// # use cache_aside::{Cache, WriteError};
    /// # struct Primary;
    /// # impl Primary { fn set_price(&self, _: &str, _: u32) -> io::Result<u64> { Ok(7) } }
    /// # let primary = Primary;
    /// # let cache: Cache = Cache::builder("redis://localhost:6379").prefix("cache:product:").build()?;
    /// match cache.write("p-001", || primary.set_price("p-001", 699)) {
    ///     Ok(written) => println!("version {}", written.into_value()),
    ///     Err(WriteError::Primary(error)) => eprintln!("{:?}", error.kind()), // the closure's own
    ///     Err(error) => eprintln!("{error}"),
    /// }
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Concurrent calls
    ///
    /// Writers of one record don't wait for each other; the primary has to order them. Each has its own place in
    /// the guard. Readers that come during a write share their loads with readers of their own process that
    /// came during the same write, and with nobody from before or after.
    ///
    /// # Cost
    ///
    /// Two round trips, and one for each third of `lease_ttl` that `change` takes.
    ///
    /// # Errors
    ///
    /// - [`WriteError::Primary`]: what `change` returned.
    /// - [`WriteError::Cache`]: the id is empty or too long. `change` was not called.
    ///
    /// Redis is no reason for an error: the primary has been changed all the same.
    /// [`Written::deferred_by`] says if Redis has not been told yet, [`Written::unguarded_by`] if a crash would not
    /// have been safe.
    ///
    /// # Panics
    ///
    /// When `change` does. The record is ended then as well.
    pub fn write<T, E, F>(&self, id: &str, change: F) -> Result<Written<T>, WriteError<E>>
    where
        F: FnOnce() -> Result<T, E>,
    {
        write::write(&self.inner, id, change)
    }

    /// Sets one field of the cached record. Returns whether a record was cached; where none was, nothing is
    /// written, so that a partial record can't appear.
    ///
    /// Call it after the primary's commit. Like [`invalidate`](Cache::invalidate) it ends loads that are
    /// under way, because they may hold the field's old value. Two writers that set the *same field* at the
    /// same time may reach the cache in the other order than the primary; where that can happen, use
    /// `invalidate` or [`update`](Cache::update).
    ///
    /// The record's TTL starts anew. With
    /// [`keep_ttl_on_update`](crate::CacheBuilder::keep_ttl_on_update) it goes on instead: set that where
    /// other programs change the other fields, since one field that is updated often would keep the rest
    /// of the record alive for ever.
    ///
    /// # Cost
    ///
    /// Two round trips an attempt, at most 16 attempts: an update that the network holds back must not be done when
    /// the record has been ended and loaded anew, so it is watched.
    ///
    /// # Errors
    ///
    /// - [`Error::Redis`]: neither the update nor the invalidation in its place worked; that is remembered, as
    ///   with [`invalidate`](Cache::invalidate). Where only the update failed, there is no record left, and the result is false.
    /// - [`Error::Record`]: the field's name is one of the cache's own.
    /// - [`Error::Id`]: the id is empty or longer than 64 KiB.
    pub fn update_field(
        &self,
        id: &str,
        field: &str,
        value: impl AsRef<[u8]>,
    ) -> Result<bool, Error> {
        write::update_field(&self.inner, id, field, value.as_ref())
    }

    /// How long a record is fresh, from its fill on: the [`ttl`](crate::CacheBuilder::ttl) setting.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.inner.settings.ttl
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
        let data = self.inner.data_key(id)?;
        self.inner
            .ask_unless_owed(&data, "ttl", |store| store.ttl(&data))
    }

    /// What this cache, with all its clones, has done.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.stats()
    }

    /// Sets all counters to zero.
    pub fn reset_stats(&self) {
        self.inner.reporter.counters.reset();
    }
}

impl<R> Clone for Cache<R> {
    fn clone(&self) -> Cache<R> {
        Cache {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<R> fmt::Debug for Cache<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("prefix", &self.inner.settings.prefix)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
