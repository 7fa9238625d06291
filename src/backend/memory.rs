//! The embedded store, as a backend for programs.
//!
//! Called by programs, and by a cache that is built on it. The store itself is in `store/memory/`.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    SharedClient,
    client::{BREAKER_THRESHOLD, PROBE_INTERVAL, StoreClient},
};
use crate::{
    store::{
        Store,
        memory::{Bound, MemoryStore},
    },
    util::per_process::PerProcess,
};

/// A store in this process, instead of Redis. It suits programs of one process, tests, and first
/// steps without a server. Cloning it is cheap. Caches on clones of one `Memory` share its records
/// and its bound.
///
/// Everything works as on Redis: leases and guards, TTLs to the millisecond, negative entries,
/// updates. But other processes do not see the records, and they are lost when the process ends. A
/// full store first evicts records that were not read recently. An expired record takes up room
/// until it is evicted or read. After a `fork`, the child begins with an empty store.
///
/// ```
/// use std::convert::Infallible;
///
/// use cache_aside::{Cache, Memory, Record};
///
/// let cache: Cache = Cache::builder(Memory::new(10_000)).prefix("cache:product:").build()?;
/// let found = cache.get("p-001", |_id| {
///     Ok::<_, Infallible>(Some(Record::from([("name", "Sourdough Loaf"), ("stock", "42")])))
/// })?;
/// assert_eq!(found.record().unwrap().get("stock"), Some("42"));
/// assert!(cache.update_field("p-001", "stock", "41")?);
/// # Ok::<_, cache_aside::Error>(())
/// ```
#[derive(Clone)]
pub struct Memory {
    store: PerProcess<Arc<MemoryStore>>,
    pub(crate) client: SharedClient,
}

impl Memory {
    /// Creates a store for at most `max_entries` records. With 0 it keeps none, and every lookup
    /// loads.
    #[must_use]
    pub fn new(max_entries: usize) -> Memory {
        Memory::bounded(Bound::Entries(max_entries.try_into().unwrap_or(u64::MAX)))
    }

    /// Creates a store for at most `max_bytes` bytes. It counts keys, field names and values, and
    /// an overhead of about 160 bytes for each record and 64 bytes for each field. This is an
    /// estimate: the process may take a third more memory from the system. A record that takes more
    /// than an eighth of the bound is not kept.
    #[must_use]
    pub fn with_max_bytes(max_bytes: u64) -> Memory {
        Memory::bounded(Bound::Bytes(max_bytes))
    }

    fn bounded(bound: Bound) -> Memory {
        // A child gets an empty store. In a copy, a thread of the parent may hold a lock or a
        // lease, and nobody would release it.
        let store = PerProcess::new(move || Arc::new(MemoryStore::new(bound)));
        let of_client = store.clone();
        let client = PerProcess::new(move || {
            let store = Arc::clone(of_client.get());
            Arc::new(StoreClient::new(store, BREAKER_THRESHOLD, PROBE_INTERVAL))
        });
        Memory { store, client }
    }

    /// The store that the protocol uses. Use it to inspect records, or to build your own [`Store`]
    /// on it.
    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(self.client.get().store())
    }
}

/// For tests of programs: the store fails on command, and time passes without a sleep.
impl Memory {
    /// Lets the next `requests` to the store fail, as those to a server that is unavailable. A
    /// second call replaces the number of the first; 0 ends it. A request that fails has done
    /// nothing. A batch is one request. Requests that a cache sends in the background count too: it
    /// replays a failed invalidation after about 10 ms.
    ///
    /// As on Redis, five failures in a row open the breaker. Then no request is sent, and none
    /// counts here, until a probe in the background succeeds.
    ///
    /// ```
    /// # use std::{convert::Infallible, time::Duration};
    /// # use cache_aside::{Cache, Memory, Record, Source};
    /// # let load = |_: &str| Ok::<_, Infallible>(Some(Record::from([("name", "Rye Loaf")])));
    /// let memory = Memory::new(10_000);
    /// let cache: Cache = Cache::builder(&memory).prefix("cache:product:").build()?;
    /// cache.get("p-001", load)?;
    ///
    /// memory.fail_next(1);
    /// assert_eq!(cache.get("p-001", load)?.source(), Source::Degraded);
    /// assert_eq!(cache.get("p-001", load)?.source(), Source::Hit);
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    pub fn fail_next(&self, requests: u64) {
        self.store.get().fail_next(requests);
    }

    /// Lets every request to the store fail, or none. The records stay. Meanwhile caches on it do
    /// what they do without Redis: lookups load, writes are remembered, near caches are not used.
    ///
    /// When `set_unavailable(false)` returns, the remembered invalidations have been replayed, the
    /// breaker is closed, and near caches are used again. A failed
    /// [`clear`](crate::Cache::clear) is repeated in the background: wait for it with
    /// [`flush`](crate::Cache::flush).
    ///
    /// ```
    /// # use std::{convert::Infallible, time::Duration};
    /// # use cache_aside::{Cache, Memory, Record, Source};
    /// # let load = |_: &str| Ok::<_, Infallible>(Some(Record::from([("name", "Rye Loaf")])));
    /// let memory = Memory::new(10_000);
    /// let cache: Cache = Cache::builder(&memory).prefix("cache:product:").build()?;
    /// cache.get("p-001", load)?;
    ///
    /// memory.set_unavailable(true);
    /// assert!(cache.invalidate("p-001").is_err());
    /// assert_eq!(cache.stats().invalidations_pending, 1);
    ///
    /// memory.set_unavailable(false);
    /// assert_eq!(cache.stats().invalidations_pending, 0);
    /// assert_eq!(cache.get("p-001", load)?.source(), Source::Loaded);
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    pub fn set_unavailable(&self, is_unavailable: bool) {
        self.store.get().set_unavailable(is_unavailable);
        if !is_unavailable {
            self.client.get().recover();
        }
    }

    /// Lets time pass in the store: records, their [`grace`](crate::CacheBuilder::grace), negative
    /// entries, leases, guards and floors get older by `time`, and lapse if that is their end. Not
    /// more than a hundred years in all.
    ///
    /// A near cache drops its entries, so that its next lookups ask the store. A load in progress
    /// whose lease lapses is not cached. Everything else is measured by the process and does not
    /// change: [`wait_timeout`](crate::CacheBuilder::wait_timeout), load times and with them
    /// [`early_refresh`](crate::CacheBuilder::early_refresh), and the pauses of retries.
    ///
    /// ```
    /// # use std::{convert::Infallible, time::Duration};
    /// # use cache_aside::{Cache, Memory, Record, Source};
    /// # let load = |_: &str| Ok::<_, Infallible>(Some(Record::from([("name", "Rye Loaf")])));
    /// let memory = Memory::new(10_000);
    /// let ttl = Duration::from_secs(30);
    /// let cache: Cache = Cache::builder(&memory).prefix("cache:product:").ttl(ttl).build()?;
    /// cache.get("p-001", load)?;
    ///
    /// memory.advance(ttl / 2);
    /// assert_eq!(cache.get("p-001", load)?.source(), Source::Hit);
    /// memory.advance(ttl / 2);
    /// assert_eq!(cache.get("p-001", load)?.source(), Source::Loaded);
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    pub fn advance(&self, time: Duration) {
        self.store.get().advance(time);
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}
