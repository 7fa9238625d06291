//! The calls for many records at once.

use std::{error::Error as StdError, fmt::Display};

use super::Cache;
use crate::{
    error::{Error, WriteError},
    outcome::{Lookup, Written},
    read,
    util::id::Ids,
    write,
};

impl<R: Send + Sync + 'static> Cache<R> {
    /// Returns the records with these ids, in the order of the ids. Records that are not in Redis
    /// are loaded from the primary, all in one call of `loader`.
    ///
    /// The ids are of any type that implements `Display`. `loader` gets the ids to load as text. It
    /// returns the existing records by id: a map, or any other iterable of such pairs. The returned
    /// ids may be of another type with the same text. An id that is left out has no record. Ids
    /// that were not asked for are ignored; if there are no others, that is logged. Each id is
    /// looked up once, even if it is given several
    /// times. All guarantees of [`get`](Cache::get) hold for each id.
    ///
    /// ```
    /// use std::{collections::HashMap, convert::Infallible};
    ///
    /// use cache_aside::{Cache, Memory, Record};
    ///
    /// # fn read_rows(ids: &[&str]) -> Result<HashMap<String, Record>, Infallible> {
    /// #     let ids = ids.iter().filter(|id| **id != "p-003");
    /// #     Ok(ids.map(|id| (id.to_string(), Record::from([("name", *id)]))).collect())
    /// # }
    /// let cache: Cache = Cache::builder(Memory::new(10_000)).prefix("cache:product:").build()?;
    /// // SELECT … WHERE id IN (…)
    /// let found = cache.get_many(["p-001", "p-002", "p-003"], |missing| read_rows(missing))?;
    /// assert_eq!(found[1].record().unwrap().get("name"), Some("p-002"));
    /// assert!(found[2].record().is_none());
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Concurrent calls
    ///
    /// A record that another caller is loading, with `get` or `get_many`, in this process or
    /// another, is not loaded again. This call first loads all records whose lease it holds, in one
    /// call of `loader`, and notifies their waiters. Only then does it wait for the others. If
    /// another caller fails or dies, this call loads those records in a later call of `loader`. So
    /// `loader` runs more than once only if others fail. Two calls for the same records never wait
    /// for each other.
    ///
    /// # Cost
    ///
    /// In round trips to Redis: none if all records are near, one if all are hits, three if some
    /// are loaded. Leases are requested a thousand at a time. If some records are also
    /// [refreshed](crate::Source::Refreshed), there is one more. While other processes load some of
    /// the records, there is one poll every [`poll`](crate::CacheBuilder::poll). More than 10,000
    /// ids are looked up in slices of 10,000, one after another. Each slice has its own round
    /// trips, its own call of `loader` and its own
    /// [`wait_timeout`](crate::CacheBuilder::wait_timeout).
    ///
    /// Each distinct id counts as one lookup, and each call of `loader` as one load.
    ///
    /// # Errors
    ///
    /// The first error ends the call. Records that were loaded by then are cached.
    ///
    /// - [`Error::Loader`]: this caller's loader failed, or a loader that it waited for.
    /// - [`Error::InvalidId`]: an id is empty or longer than 64 KiB. Nothing was sent.
    /// - [`Error::Reentrant`]: called from the loader of one of these records, on its thread and
    ///   through this cache.
    /// - [`Error::WaitTimeout`]: only if
    ///   [`fail_on_wait_timeout`](crate::CacheBuilder::fail_on_wait_timeout) is set.
    /// - [`Error::Overloaded`]: only if [`max_loads`](crate::CacheBuilder::max_loads) is set, and
    ///   no turn to load was free in time.
    /// - [`Error::InvalidRecord`]: a loaded record cannot be cached. Only if
    ///   [`fail_on_unstorable`](crate::CacheBuilder::fail_on_unstorable) is set.
    ///
    /// By default, a record that cannot be cached is no error: it is returned, and the others are
    /// cached.
    ///
    /// A failing Redis is not an error either. If it does not answer, the records are loaded in one
    /// call, and those lookups are [degraded](crate::Source::Degraded).
    ///
    /// # Panics
    ///
    /// Panics if `loader` panics, or if the operating system has no randomness to give.
    pub fn get_many<I, M, K, E, F>(&self, ids: I, loader: F) -> Result<Vec<Lookup<R>>, Error>
    where
        I: IntoIterator<Item: Display>,
        M: IntoIterator<Item = (K, R)>,
        K: Display,
        E: Into<Box<dyn StdError + Send + Sync>>,
        F: FnMut(&[&str]) -> Result<M, E>,
    {
        self.options().get_many(ids, loader)
    }

    /// Returns the records that Redis has under these ids, in the order of the ids, and never loads
    /// them: [`peek`](Cache::peek) for each. `None`: there is no record, or no record of this type.
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// # use cache_aside::{Cache, Memory, Record};
    /// # let cache: Cache = Cache::builder(Memory::new(10_000)).prefix("cache:product:").build()?;
    /// # let read_row = |_: &str| Ok::<_, Infallible>(Some(Record::from([("name", "Rye Loaf")])));
    /// cache.get("p-001", read_row)?;
    /// let cached = cache.peek_many(["p-001", "p-002"])?;
    /// assert!(cached[0].is_some() && cached[1].is_none());
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Cost
    ///
    /// One round trip for each 10,000 ids. On a cluster, one to each node that has any of them, to
    /// all nodes at the same time.
    ///
    /// # Errors
    ///
    /// - [`Error::Store`]: some of the records could not be read, or may be outdated.
    /// - [`Error::InvalidId`]: an id is empty or longer than 64 KiB. Nothing was sent.
    pub fn peek_many(
        &self,
        ids: impl IntoIterator<Item: Display>,
    ) -> Result<Vec<Option<Lookup<R>>>, Error> {
        let found = read::peek_many(self.engine.get(), &Ids::new(ids)?)?;
        Ok(found
            .into_iter()
            .map(|found| found.map(Lookup::of))
            .collect())
    }
}

impl<R> Cache<R> {
    /// Invalidates many records, and every load of them in progress:
    /// [`invalidate`](Cache::invalidate) for each. Returns how many records were cached.
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// # use cache_aside::{Cache, Memory, Record};
    /// # let cache: Cache = Cache::builder(Memory::new(10_000)).prefix("cache:product:").build()?;
    /// # let read_row = |_: &str| Ok::<_, Infallible>(Some(Record::from([("name", "Rye Loaf")])));
    /// # cache.get("p-001", read_row)?;
    /// // UPDATE … WHERE id IN (…), then:
    /// let ended = cache.invalidate_many(["p-001", "p-002"])?;
    /// assert_eq!(ended, 1);
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Concurrent calls
    ///
    /// Each record is invalidated in a step of its own. During the call, a reader may get some new
    /// records and some old ones. After it has returned, no reader gets an old one.
    ///
    /// # Cost
    ///
    /// One round trip for each 10,000 ids.
    ///
    /// # Errors
    ///
    /// - [`Error::Store`]: some of the records may still be cached. The invalidations that failed
    ///   are pending and will be replayed, as after a failed `invalidate`. The others succeeded.
    /// - [`Error::InvalidId`]: an id is empty or longer than 64 KiB. Nothing was sent.
    ///
    /// # Panics
    ///
    /// Panics if the operating system has no randomness to give.
    pub fn invalidate_many(&self, ids: impl IntoIterator<Item: Display>) -> Result<u64, Error> {
        write::invalidate_many(self.engine.get(), &Ids::new(ids)?)
    }

    /// Marks many records as stale, and ends every load of them in progress:
    /// [`expire`](Cache::expire) for each. Returns how many were cached.
    ///
    /// ```
    /// # use std::{convert::Infallible, time::Duration};
    /// # use cache_aside::{Cache, Memory, Record};
    /// # let grace = Duration::from_secs(600);
    /// # let cache: Cache =
    /// #     Cache::builder(Memory::new(10_000)).prefix("cache:product:").grace(grace).build()?;
    /// # let read_row = |_: &str| Ok::<_, Infallible>(Some(Record::from([("name", "Rye Loaf")])));
    /// # cache.get("p-001", read_row)?;
    /// // UPDATE … SET popularity = …, then:
    /// let expired = cache.expire_many(["p-001", "p-002"])?;
    /// assert_eq!(expired, 1);
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Concurrent calls
    ///
    /// Each record is expired in a step of its own.
    ///
    /// # Cost
    ///
    /// One round trip for each 10,000 ids. One more with
    /// [`also_invalidates`](crate::CacheBuilder::also_invalidates), or if an invalidation of some
    /// of the records is pending.
    ///
    /// # Errors
    ///
    /// Those of [`invalidate_many`](Cache::invalidate_many). A record that could not be expired is
    /// pending, and is replayed as an invalidation.
    ///
    /// # Panics
    ///
    /// Panics if the operating system has no randomness to give.
    pub fn expire_many(&self, ids: impl IntoIterator<Item: Display>) -> Result<u64, Error> {
        write::expire_many(self.engine.get(), &Ids::new(ids)?)
    }

    /// Changes several records of the primary through `change`, and invalidates them, as
    /// [`write`](Cache::write) does for one. Even a crash between the two leaves no old record.
    ///
    /// ```no_run
    /// # use cache_aside::Cache;
    /// # struct Transaction;
    /// # impl Transaction { fn commit(self) -> std::io::Result<()> { Ok(()) } }
    /// # let transaction = Transaction;
    /// # let cache: Cache =
    /// #     Cache::builder("redis://localhost:6379").prefix("cache:product:").build()?;
    /// let written = cache.write_many(["p-001", "p-002"], || transaction.commit())?;
    /// assert!(written.deferred().is_empty());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// The guards are renewed for at most [`max_load_time`](crate::CacheBuilder::max_load_time), as
    /// with `write`. For records of several caches, or ids that are not known beforehand, use a
    /// [`UnitOfWork`](crate::UnitOfWork).
    ///
    /// # Cost
    ///
    /// Two round trips for up to 1,000 ids. On a cluster, two to each node that has any of them, to
    /// all nodes at the same time. One more for each third of
    /// [`lease_ttl`](crate::CacheBuilder::lease_ttl) that `change` takes.
    ///
    /// # Errors
    ///
    /// - [`WriteError::Primary`]: the error that `change` returned. The records are still
    ///   invalidated.
    /// - [`WriteError::Cache`]: an id is empty or too long. `change` was not called.
    ///
    /// A failing Redis is not an error, since the primary has been changed:
    /// [`Written::deferred`] lists the records whose invalidation is pending.
    ///
    /// # Panics
    ///
    /// Panics if `change` panics. The records are invalidated in that case too. Panics if the
    /// operating system has no randomness to give.
    pub fn write_many<T, E, F>(
        &self,
        ids: impl IntoIterator<Item: Display>,
        change: F,
    ) -> Result<Written<T>, WriteError<E>>
    where
        F: FnOnce() -> Result<T, E>,
    {
        let ids = Ids::new(ids).map_err(WriteError::Cache)?;
        write::write_many(self.engine.get(), &ids, change)
    }
}
