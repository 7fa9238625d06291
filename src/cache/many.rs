//! The calls for many records at once.

use std::{error::Error as StdError, fmt::Display};

use serde::{Serialize, de::DeserializeOwned};

use super::Cache;
use crate::{
    error::{Error, WriteError},
    outcome::{Lookup, Written},
    util::id::Ids,
    write::{
        self,
        clear::{self, ClearProgress},
    },
};

impl<R: Serialize + DeserializeOwned> Cache<R> {
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
    /// - [`Error::Overloaded`]: only if [`max_loads`](crate::CacheBuilder::max_loads) is set, and no
    ///   turn to load was free in time.
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

    /// Removes all cached records with this cache's prefix, and every lease of a load in progress.
    /// Returns how many records were cached.
    ///
    /// **All keys with the prefix are removed**, including those of other programs and caches. With
    /// the prefix `cache:` this includes a cache with the prefix `cache:product:`. Keys that are
    /// not valid UTF-8 stay. Other keys are left alone.
    ///
    /// Prefixes of [`also_invalidates`](crate::CacheBuilder::also_invalidates) are cleared too, and
    /// their records are counted.
    ///
    /// It scans the whole server in small steps, so that other clients are served in between.
    /// [`clear_with_progress`](Cache::clear_with_progress) reports each step.
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// # use cache_aside::{Cache, Memory, Record};
    /// # let cache: Cache = Cache::builder(Memory::new(10_000)).prefix("cache:product:").build()?;
    /// # let read_row = |_: &str| Ok::<_, Infallible>(Some(Record::from([("name", "Rye Loaf")])));
    /// # cache.get("p-001", read_row)?;
    /// assert_eq!(cache.clear()?, 1);
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Concurrent calls
    ///
    /// A [`get`](Cache::get) that starts after this call returned gets nothing from before the
    /// call, neither a record nor the result of a load in progress. Records that are loaded during
    /// the call may be removed or stay.
    ///
    /// # Cost
    ///
    /// Two round trips for each 1,000 keys on the server, of any prefix, and one for each 1,000
    /// keys that are removed.
    ///
    /// # Errors
    ///
    /// [`Error::Store`]: the call did not finish. Some records are removed, others may still be
    /// cached. A thread repeats the call in the background, with the pauses of
    /// [`probe_interval`](crate::RedisBuilder::probe_interval). If the server refuses it after a
    /// long scan, the pauses are ten times as long as the scan.
    ///
    /// Until that succeeds, this process does not read records with the prefix from Redis, and
    /// caches none. If it never succeeds, that ends when all old records must have expired: after
    /// the longest TTL in use, plus [`max_load_time`](crate::CacheBuilder::max_load_time) and
    /// [`lease_ttl`](crate::CacheBuilder::lease_ttl). Other processes may read the old records
    /// until then. A call that succeeds, for this prefix or a shorter one, ends it at once.
    ///
    /// # Panics
    ///
    /// Panics if the operating system has no randomness to give.
    pub fn clear(&self) -> Result<u64, Error> {
        self.clear_with_progress(|_| {})
    }

    /// Does what [`clear`](Cache::clear) does, and calls `progress` after each step. Use it on a
    /// server with many keys, when somebody waits for the end.
    ///
    /// ```
    /// # use cache_aside::{Cache, Memory};
    /// # let cache: Cache = Cache::builder(Memory::new(10_000)).prefix("cache:product:").build()?;
    /// let removed = cache.clear_with_progress(|so_far| {
    ///     println!("{:.0} %", 100.0 * so_far.fraction);
    /// })?;
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Concurrent calls
    ///
    /// The same as with [`clear`](Cache::clear). `progress` runs on this thread, and no lock is
    /// held.
    ///
    /// # Cost
    ///
    /// That of [`clear`](Cache::clear).
    ///
    /// # Errors
    ///
    /// Those of [`clear`](Cache::clear).
    ///
    /// # Panics
    ///
    /// Panics if `progress` panics, which has the same effect as an error. Panics if the operating
    /// system has no randomness to give.
    pub fn clear_with_progress(&self, progress: impl FnMut(ClearProgress)) -> Result<u64, Error> {
        clear::clear(self.engine.get(), progress)
    }
}
