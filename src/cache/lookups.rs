//! The calls that read one record.

use std::{error::Error as StdError, fmt::Display, time::Instant};

use super::{Cache, options::LookupOptions};
use crate::{
    error::Error,
    near::Accepts,
    outcome::Lookup,
    read::{self, LookupConfig, loader},
    record::Record,
    store::TtlRemaining,
    util::id::Id,
};

impl<R: Send + Sync + 'static> Cache<R> {
    /// Returns the record with this id: from Redis, or else from the primary through `loader`.
    ///
    /// `loader` gets the id. It returns the record, or `None` if the primary has none, or an error.
    /// The error may be any type that is `Into<Box<dyn Error + Send + Sync>>`. `loader` runs on the
    /// calling thread, at most once, and may borrow what it needs. It should read data that is
    /// committed *now*. A loader that reads a snapshot or a lagging replica can bring back a record
    /// from before an invalidation. With [`versions`](crate::CacheBuilder::versions) a loader may
    /// read a replica: see
    /// [`get_with_context`](crate::LookupOptions::get_with_context).
    ///
    /// A lookup that starts after [`invalidate`](Cache::invalidate) returned never gets a record
    /// from before it. With a [near cache](crate::CacheBuilder::near_cache), this holds at once for
    /// an `invalidate` of this process. For an `invalidate` of another process, it holds after
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
    /// Callers in other processes wait until the record is in Redis. If there is no record, or the
    /// loader fails, the next process tries. A panic of a loader stays in its own thread; one of
    /// the waiters then loads.
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
    ///   this cache. Other cycles end after `wait_timeout`: a call through another cache or thread,
    ///   or two loaders that ask for each other's record.
    /// - [`Error::WaitTimeout`]: only if
    ///   [`fail_on_wait_timeout`](crate::CacheBuilder::fail_on_wait_timeout) is set.
    /// - [`Error::Overloaded`]: only if [`max_loads`](crate::CacheBuilder::max_loads) is set, and
    ///   no turn to load was free in time.
    /// - [`Error::InvalidRecord`]: a loaded record cannot be cached. Only if
    ///   [`fail_on_unstorable`](crate::CacheBuilder::fail_on_unstorable) is set.
    ///
    /// By default, a record that cannot be cached is not an error: it is returned.
    ///
    /// A failing Redis is not an error either: the loader answers. The call then takes longer by at
    /// most [`checkout_timeout`](crate::RedisBuilder::checkout_timeout) and
    /// [`io_timeout`](crate::RedisBuilder::io_timeout), together 1.5 s by default. Once the
    /// [breaker](crate::RedisBuilder::breaker_threshold) is open, there is no delay. The lookup is
    /// [degraded](crate::Source::Degraded).
    ///
    /// # Panics
    ///
    /// Panics if `loader` panics, or if the operating system has no randomness to give.
    pub fn get<E, F>(&self, id: impl Display, loader: F) -> Result<Lookup<R>, Error>
    where
        E: Into<Box<dyn StdError + Send + Sync>>,
        F: FnOnce(&str) -> Result<Option<R>, E>,
    {
        let id = Id::new(&id)?;
        let began = Instant::now();
        let engine = self.engine.get_at(began);
        let config = || LookupConfig::of(&engine.settings);
        let near = (began, Accepts::Any, engine.tags_of(&[]));
        let loader = &mut loader::once::<R, _, _>(loader);
        read::get(engine, near, config, &id, loader).map(Lookup::of)
    }

    /// Returns the record that Redis has under this id, and never loads it. Returns `None` if there
    /// is no record, or no record of this type. A peek is not counted as a lookup. It neither reads
    /// nor changes the near cache.
    ///
    /// # Cost
    ///
    /// One round trip.
    ///
    /// # Errors
    ///
    /// - [`Error::Store`]: Redis did not answer, or may hold an outdated record.
    /// - [`Error::InvalidId`]: the id is empty or longer than 64 KiB.
    pub fn peek(&self, id: impl Display) -> Result<Option<Lookup<R>>, Error> {
        let found = read::peek(self.engine.get(), &Id::new(&id)?)?;
        Ok(found.map(Lookup::of))
    }
}

impl<R> Cache<R> {
    /// Starts a lookup with settings of its own: another TTL or wait timeout, a bound on the age of
    /// the record, or no cache at all.
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

    /// Returns some fields of the record that Redis has under this id, and never loads it. Use it
    /// where a large record is cached and only a few of its fields are needed.
    ///
    /// `None`: there is no record, as for [`peek`](Cache::peek). Otherwise the lookup has a record
    /// with those of the fields that exist, as the text that is stored. So "no record" and "no such
    /// field" differ. A lookup without a record: it is cached that the primary has none. The near
    /// cache is neither read nor changed.
    ///
    /// The other fields are not read. So it is not noticed if the entry as a whole would be no
    /// record of this type. Fields of bytes that are no text cannot be returned: then the answer is
    /// `None`.
    ///
    /// ```
    /// # use std::{convert::Infallible, time::Duration};
    /// # use cache_aside::{Cache, Memory, Record};
    /// # let cache: Cache = Cache::builder(Memory::new(10_000)).prefix("cache:product:").build()?;
    /// # let read_row = |_: &str| {
    /// #     let row = [("name", "Rye Loaf"), ("stock", "42"), ("description", "…")];
    /// #     Ok::<_, Infallible>(Some(Record::from(row)))
    /// # };
    /// cache.get("p-001", read_row)?;
    /// let found = cache.get_fields("p-001", &["stock", "colour"])?.expect("it is cached");
    /// let fields = found.record().expect("the primary has it");
    /// assert_eq!(fields.get("stock"), Some("42"));
    /// assert_eq!(fields.get("colour"), None);
    /// assert!(cache.get_fields("p-002", &["stock"])?.is_none());
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Cost
    ///
    /// One round trip. On a cluster that moves the slot, up to three.
    ///
    /// # Errors
    ///
    /// - [`Error::Store`]: Redis did not answer, or may hold an outdated record.
    /// - [`Error::InvalidId`]: the id is empty or longer than 64 KiB.
    /// - [`Error::InvalidRecord`]: a name is reserved for the cache, or longer than 512 MiB.
    ///   Nothing was sent.
    pub fn get_fields(
        &self,
        id: impl Display,
        names: &[&str],
    ) -> Result<Option<Lookup<Record>>, Error> {
        let found = read::get_fields(self.engine.get(), &Id::new(&id)?, names)?;
        Ok(found.map(Lookup::of))
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
    pub fn ttl_remaining(&self, id: impl Display) -> Result<TtlRemaining, Error> {
        let engine = self.engine.get();
        let data = engine.data_key(&Id::new(&id)?)?;
        engine.ask_unless_pending(&data, "ttl", |store| store.ttl(&data))
    }
}
