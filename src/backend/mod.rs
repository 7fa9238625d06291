//! What a cache is built on: a Redis server, the embedded store, or a custom store.

pub(crate) mod client;
pub(crate) mod memory;
pub(crate) mod pending;
pub(crate) mod redis;

use std::{fmt, sync::Arc};

use self::{
    client::{BREAKER_THRESHOLD, PROBE_INTERVAL, StoreClient},
    memory::Memory,
    redis::{Redis, RedisBuilder},
};
use crate::{error::Error, store::Store, util::per_process::PerProcess};

/// A client that caches share. A process that was forked gets a client of its own.
pub(crate) type SharedClient = PerProcess<Arc<StoreClient>>;

/// The place where a [`Cache`](crate::cache::Cache) keeps its records. It is made from an address,
/// a [`Redis`], a [`RedisBuilder`], a [`Memory`], or a [`Store`] of your own.
#[derive(Debug, Clone)]
pub struct Backend(Origin);

#[derive(Clone)]
enum Origin {
    Shared(SharedClient),
    /// Boxed, because it is large and short-lived.
    Settings(Box<RedisBuilder>),
}

impl Backend {
    /// Uses a store of your own. Clones share its circuit breaker and its pending invalidations. So
    /// caches with the same prefix should use clones of one `Backend`.
    ///
    /// After a `fork`, the child continues to use this store: what is safe there is for the store
    /// to say.
    ///
    /// ```
    /// use std::{convert::Infallible, sync::Arc};
    ///
    /// use cache_aside::{Backend, Cache, Memory, Record, store::Store};
    ///
    /// let store: Arc<dyn Store> = Memory::new(10_000).store(); // here, one of your own
    /// let cache: Cache = Cache::builder(Backend::new(store)).prefix("cache:product:").build()?;
    /// # let load = |_: &str| Ok::<_, Infallible>(Some(Record::from([("name", "Rye Loaf")])));
    /// # assert!(!cache.get("p-001", load)?.is_hit());
    /// # assert!(cache.get("p-001", load)?.is_hit());
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Backend {
        Backend(Origin::Shared(PerProcess::new(move || {
            let store = Arc::clone(&store);
            Arc::new(StoreClient::new(store, BREAKER_THRESHOLD, PROBE_INTERVAL))
        })))
    }

    pub(crate) fn client(self) -> Result<SharedClient, Error> {
        match self.0 {
            Origin::Shared(client) => Ok(client),
            Origin::Settings(settings) => Ok(settings.build()?.client),
        }
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Shared(_) => f.write_str("a shared store"),
            Origin::Settings(settings) => settings.fmt(f),
        }
    }
}

impl From<&str> for Backend {
    fn from(url: &str) -> Backend {
        Redis::builder(url).into()
    }
}

impl From<String> for Backend {
    fn from(url: String) -> Backend {
        Redis::builder(url).into()
    }
}

impl From<&String> for Backend {
    fn from(url: &String) -> Backend {
        Redis::builder(url).into()
    }
}

impl From<RedisBuilder> for Backend {
    fn from(settings: RedisBuilder) -> Backend {
        Backend(Origin::Settings(Box::new(settings)))
    }
}

impl From<Redis> for Backend {
    fn from(redis: Redis) -> Backend {
        Backend(Origin::Shared(redis.client))
    }
}

impl From<&Redis> for Backend {
    fn from(redis: &Redis) -> Backend {
        redis.clone().into()
    }
}

impl From<&Backend> for Backend {
    fn from(backend: &Backend) -> Backend {
        backend.clone()
    }
}

impl From<Memory> for Backend {
    fn from(memory: Memory) -> Backend {
        Backend(Origin::Shared(memory.client))
    }
}

impl From<&Memory> for Backend {
    fn from(memory: &Memory) -> Backend {
        memory.clone().into()
    }
}
