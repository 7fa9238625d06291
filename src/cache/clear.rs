//! The calls that remove all records of a cache.

use super::Cache;
use crate::{
    error::Error,
    write::clear::{self, ClearProgress},
};

impl<R> Cache<R> {
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
    /// With [`clear_by_tag`](crate::CacheBuilder::clear_by_tag) it is one request instead, which
    /// removes nothing: all records of the cache count as missing from then on.
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
    /// keys that are removed. One round trip with
    /// [`clear_by_tag`](crate::CacheBuilder::clear_by_tag).
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
