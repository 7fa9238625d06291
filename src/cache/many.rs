//! The calls for many records at once.

use std::error::Error as StdError;

use serde::{Serialize, de::DeserializeOwned};

use super::Cache;
use crate::{
    error::Error,
    outcome::Lookup,
    write::{
        self,
        clear::{self, ClearProgress},
    },
};

impl<R: Serialize + DeserializeOwned> Cache<R> {
    /// Returns the records with these ids, in their order: from Redis, or else from the primary through `loader`, which
    /// is asked for all that are missing at once.
    ///
    /// `loader` gets the ids that it is to load and returns the records that there are, by id: a map, or anything else
    /// that goes over such pairs. An id that it leaves out has no record; what else it returns is ignored. Each id is
    /// looked up once, however often it comes. Everything that [`get`](Cache::get) promises of a lookup holds for
    /// each.
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
    /// What others are loading, in `get` or here, in this process or another, is not loaded again: first this call
    /// loads what is its own to load, in one call of `loader`, and tells those who wait for that; then it waits for the others. What
    /// they give up, it loads in a later call of `loader`. So `loader` is called several times at most where others fail or die,
    /// and two calls that want the same records never wait for each other.
    ///
    /// # Cost
    ///
    /// In round trips to Redis: none where all are near, one where all are hits, three where some are loaded (leases are
    /// asked for a thousand at a time), one more where some are [refreshed](crate::Source::Refreshed) as well; and a poll
    /// every [`poll`](crate::CacheBuilder::poll) while other processes load some. More than 10,000 ids are looked up in
    /// slices of so many, one after the other, each with its own round trips, its own call of `loader` and its own
    /// [`wait_timeout`](crate::CacheBuilder::wait_timeout).
    ///
    /// In the counters each distinct id is a lookup, and each call of `loader` one load.
    ///
    /// # Errors
    ///
    /// One error ends the call; what it had loaded by then is cached.
    ///
    /// - [`Error::Loader`]: this caller's loader failed, or one it waited for.
    /// - [`Error::Id`]: an id is empty or longer than 64 KiB. Nothing was sent.
    /// - [`Error::Reentrant`]: called from the loader of one of these records, on its thread and through this cache.
    /// - [`Error::WaitTimeout`]: only where
    ///   [`fail_on_wait_timeout`](crate::CacheBuilder::fail_on_wait_timeout) is set.
    ///
    /// A record that cannot be cached is no error: it is returned, and the others are cached.
    ///
    /// Redis is no reason for an error: what it doesn't answer for is loaded, in one call, and those lookups are
    /// [degraded](crate::Source::Degraded).
    ///
    /// # Panics
    ///
    /// When `loader` does, and when the operating system has no randomness.
    pub fn get_many<I, M, K, E, F>(&self, ids: I, loader: F) -> Result<Vec<Lookup<R>>, Error>
    where
        I: IntoIterator<Item: AsRef<str>>,
        M: IntoIterator<Item = (K, R)>,
        K: Into<String>,
        E: Into<Box<dyn StdError + Send + Sync>>,
        F: FnMut(&[&str]) -> Result<M, E>,
    {
        self.options().get_many(ids, loader)
    }
}

impl<R> Cache<R> {
    /// Ends many cached records, and every load of them that is under way: [`invalidate`](Cache::invalidate) for each.
    /// Returns how many records there were.
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
    /// Each record is ended in a step of its own, so a reader may meet the new one of some and the old one of others
    /// while this runs; none when it has returned.
    ///
    /// # Cost
    ///
    /// One round trip for each 10,000 ids.
    ///
    /// # Errors
    ///
    /// - [`Error::Redis`]: some of the records may still be cached. Those that failed are remembered and replayed,
    ///   each as by `invalidate`; the others have been ended.
    /// - [`Error::Id`]: an id is empty or longer than 64 KiB. Nothing was sent.
    ///
    /// # Panics
    ///
    /// When the operating system has no randomness.
    pub fn invalidate_many(&self, ids: impl IntoIterator<Item: AsRef<str>>) -> Result<u64, Error> {
        write::invalidate_many(&self.engine, ids)
    }

    /// Ends all cached records with this cache's prefix, and every load of them that is under way. Returns how many
    /// records there were.
    ///
    /// **All keys with the prefix go**, those too that another program or another cache wrote: with the prefix
    /// `cache:` also those of a cache with the prefix `cache:product:`. (Those whose name is no text stay.) Other keys
    /// are left alone.
    ///
    /// It goes through the whole server in small steps, in between which others are served. After each, `progress`
    /// hears how far it has come.
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// # use cache_aside::{Cache, Memory, Record};
    /// # let cache: Cache = Cache::builder(Memory::new(10_000)).prefix("cache:product:").build()?;
    /// # let read_row = |_: &str| Ok::<_, Infallible>(Some(Record::from([("name", "Rye Loaf")])));
    /// # cache.get("p-001", read_row)?;
    /// let ended = cache.clear(|so_far| println!("{:.0} %", 100.0 * so_far.share))?;
    /// assert_eq!(ended, 1);
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Concurrent calls
    ///
    /// A [`get`](Cache::get) that starts after this returned gets nothing that was there when it was called, and nothing of a
    /// load that was under way then. What is loaded while it runs may go or stay.
    ///
    /// # Cost
    ///
    /// In round trips: two for each 1,000 keys that the server holds, of whatever prefix, and one for each 1,000 that go.
    ///
    /// # Errors
    ///
    /// [`Error::Redis`]: it did not come to its end. Some records have been ended, others may still be cached, and so
    /// this process reads no record with the prefix from Redis until none of those can be left: for the longest TTL
    /// in use, [`max_load_time`](crate::CacheBuilder::max_load_time) and [`lease_ttl`](crate::CacheBuilder::lease_ttl). Other processes may. A
    /// call that is repeated and succeeds ends them for all, and leaves that as it is.
    ///
    /// # Panics
    ///
    /// When `progress` does, which has the effect of an error; and when the operating system has no randomness.
    pub fn clear(&self, progress: impl FnMut(ClearProgress)) -> Result<u64, Error> {
        clear::clear(&self.engine, progress)
    }
}
