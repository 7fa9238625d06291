//! The embedded store, as a backend for programs.
//!
//! Called by programs, and by a cache that is built on it. The store itself is in `store/memory/`.

use std::{fmt, sync::Arc};

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
        let client = PerProcess::new(move || {
            let store = Arc::new(MemoryStore::new(bound));
            Arc::new(StoreClient::new(store, BREAKER_THRESHOLD, PROBE_INTERVAL))
        });
        Memory { client }
    }

    /// The store that the protocol uses. Use it to inspect records, or to build your own [`Store`]
    /// on it.
    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(self.client.get().store())
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}
