//! The calls that write a version of a record, or the record itself.

use std::fmt::Display;

use super::Cache;
use crate::{
    error::{Error, WriteError},
    loaded::Loaded,
    outcome::Written,
    util::id::Id,
    write,
};

impl<R> Cache<R> {
    /// Does what [`invalidate`](Cache::invalidate) does, and tells readers the version that the
    /// record has now. It is for caches with [`versions`](crate::CacheBuilder::versions), whose
    /// loaders may read a replica of the primary that lags. On others it is an `invalidate`.
    ///
    /// A lookup that starts after `invalidate_at` returned gets this version or a later one. Its
    /// loader sees [`min_version`](crate::LoadContext::min_version). If it returns an older
    /// version, it is called again, and must then read the primary.
    ///
    /// ```
    /// # use std::{convert::Infallible, time::Duration};
    /// use cache_aside::{Cache, LoadContext, Loaded, Memory, Record};
    ///
    /// # fn row(name: &str) -> Option<Record> { Some(Record::from([("name", name)])) }
    /// # fn replica(_: &str) -> (Option<Record>, u64) { (row("Rye"), 6) }
    /// # fn primary(_: &str) -> (Option<Record>, u64) { (row("Loaf"), 7) }
    /// let cache: Cache = Cache::builder(Memory::new(10_000))
    ///     .prefix("cache:product:")
    ///     .versions(Duration::from_secs(5))
    ///     .build()?;
    /// // UPDATE … RETURNING version
    /// cache.invalidate_at("p-001", 7)?;
    ///
    /// let found = cache.options().get_with_context("p-001", |context: &LoadContext<'_>| {
    ///     let from = if context.read_primary() { primary } else { replica };
    ///     let (row, version) = from(context.id());
    ///     Ok::<_, Infallible>(Loaded::new(row).version(version))
    /// })?;
    /// assert_eq!(found.record().unwrap().get("name"), Some("Loaf"));
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Concurrent calls
    ///
    /// Several writers may call it in any order: the highest version counts. After a write without
    /// a version, loaders read the primary until the record was not written for the time set by
    /// `versions`, with or without a version.
    ///
    /// # Cost
    ///
    /// One round trip.
    ///
    /// # Errors
    ///
    /// Those of [`invalidate`](Cache::invalidate). A request that does not reach Redis is pending,
    /// and is replayed as an `invalidate`.
    ///
    /// # Panics
    ///
    /// Panics if the operating system has no randomness to give.
    pub fn invalidate_at(&self, id: impl Display, version: u64) -> Result<bool, Error> {
        write::invalidate_at(self.engine.get(), &Id::new(&id)?, version)
    }
}

impl<R: Send + Sync + 'static> Cache<R> {
    /// Changes the primary through `change`, as [`write`](Cache::write) does, and caches the record
    /// that `change` returns. The next lookup is then a hit.
    ///
    /// `change` returns a value of its own and the record, as after `UPDATE … RETURNING`. `None`:
    /// the primary has no such record any more. With a [`Loaded`](crate::Loaded) it may also choose
    /// the TTL, and the version on a cache with [`versions`](crate::CacheBuilder::versions).
    ///
    /// The record is cached only if no other writer of this record interfered: none of them wrote,
    /// ended or began to write since this call began. Otherwise nobody knows which of them the
    /// primary has ordered last, so the cached record is only removed.
    /// [`is_cached`](Written::is_cached) says which.
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// # use cache_aside::{Cache, Memory, Record};
    /// # let cache: Cache = Cache::builder(Memory::new(10_000)).prefix("cache:product:").build()?;
    /// # let read_row = |_: &str| Ok::<_, Infallible>(None);
    /// # let update_returning = || Ok::<_, Infallible>(Record::from([("name", "Rye Loaf")]));
    /// let written = cache.write_through("p-001", || {
    ///     let row = update_returning()?; // UPDATE … RETURNING *
    ///     Ok::<_, Infallible>(((), Some(row)))
    /// });
    /// assert!(written.unwrap().is_cached());
    /// assert!(cache.get("p-001", read_row)?.is_hit());
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Concurrent calls
    ///
    /// Those of [`write`](Cache::write). If two calls overlap, neither caches its record.
    ///
    /// # Cost
    ///
    /// That of [`write`](Cache::write): two round trips, and none for the record. One more with
    /// [`clear_by_tag`](crate::CacheBuilder::clear_by_tag) or
    /// [`loader_tags`](crate::CacheBuilder::loader_tags).
    ///
    /// # Errors
    ///
    /// Those of [`write`](Cache::write). A record that cannot be cached is no error: it is only
    /// removed, and counted as [unstorable](crate::Stats::unstorable_records). A record above 1 MiB
    /// is only removed too, because a server may close the connection at it.
    ///
    /// # Panics
    ///
    /// Panics if `change` panics. The record is invalidated in that case too. Panics if the
    /// operating system has no randomness to give.
    pub fn write_through<T, L, E, F>(
        &self,
        id: impl Display,
        change: F,
    ) -> Result<Written<T>, WriteError<E>>
    where
        L: Into<Loaded<R>>,
        F: FnOnce() -> Result<(T, L), E>,
    {
        let id = Id::new(&id).map_err(WriteError::Cache)?;
        let change = || change().map(|(value, loaded)| (value, loaded.into().of_any()));
        write::write_through(self.engine.get(), &id, change)
    }
}
