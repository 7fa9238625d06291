//! The calls for many records at once.

use std::error::Error as StdError;

use serde::{Serialize, de::DeserializeOwned};

use super::Cache;
use crate::{answer::Lookup, error::Error};

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
    /// In round trips to Redis: one where all are hits, three where some are loaded; and a poll every
    /// [`poll`](crate::CacheBuilder::poll) while other processes load some. More than 10,000 ids are looked up in
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
    /// - [`Error::Record`]: something that was loaded is no flat record. The other records are cached.
    /// - [`Error::Id`]: an id is empty or longer than 64 KiB. Nothing was sent.
    /// - [`Error::Reentrant`]: called from the loader of one of these records, on its thread and through this cache.
    /// - [`Error::WaitTimeout`]: only where
    ///   [`fail_on_wait_timeout`](crate::CacheBuilder::fail_on_wait_timeout) is set.
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
