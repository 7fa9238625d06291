//! The embedded store as a program names it.

use std::{fmt, sync::Arc};

use super::client::{BREAKER_THRESHOLD, PROBE_INTERVAL, StoreClient};
use crate::store::{
    Store,
    memory::{Bound, MemoryStore},
};

/// A store in this process, in the place of Redis: for programs that are one process, for tests of
/// your own, and to start without a server. Cheap to clone; caches on clones of one `Memory` share its records and
/// its bound.
///
/// Everything is as on Redis: leases and guards, TTLs to the millisecond, negative entries, updates. Only that nobody else
/// sees it, and that it ends with the process. Where it is full, records that were not read lately go first;
/// one whose time is over takes up room until then, or until it is asked for.
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
    pub(crate) client: Arc<StoreClient>,
}

impl Memory {
    /// A store for this many records at most. With 0 it keeps none, and every lookup loads.
    #[must_use]
    pub fn new(max_entries: usize) -> Memory {
        Memory::bounded(Bound::Entries(max_entries.try_into().unwrap_or(u64::MAX)))
    }

    /// A store for so many bytes at most: of keys, names and values, and about 160 a record and 64 a field for
    /// renewal them. An estimate: what the process takes from the system may be a third more. A record that takes more than an eighth of it is not kept.
    #[must_use]
    pub fn with_max_bytes(max_bytes: u64) -> Memory {
        Memory::bounded(Bound::Bytes(max_bytes))
    }

    fn bounded(bound: Bound) -> Memory {
        let store = Arc::new(MemoryStore::new(bound));
        let client = StoreClient::new(store, BREAKER_THRESHOLD, PROBE_INTERVAL);
        Memory {
            client: Arc::new(client),
        }
    }

    /// The store as the protocol sees it: to look at, or to build a [`Store`] of your own upon.
    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(self.client.store())
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}
