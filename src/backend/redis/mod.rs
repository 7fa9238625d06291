//! The public handle of a Redis server.

mod builder;
pub(crate) mod connect;

use std::{fmt, sync::Arc, time::Duration};

pub use self::builder::RedisBuilder;
use super::SharedClient;
use crate::store::Store;

/// A pool of connections to one Redis server, or to each node of a cluster. Any number of caches
/// may use it. A clone is cheap and shares the pool, its circuit breaker, and the invalidations
/// that have not reached the server yet.
///
/// Two pools share nothing. So caches with the same prefix in one process belong on one `Redis`.
///
/// When the last clone and the last cache on it are dropped, invalidations that have not reached
/// the server are lost. One line of the log, an error, says how many. Each cache reports its own
/// number ([`Event::InvalidationsLost`](crate::Event::InvalidationsLost)). The drop does not wait
/// for them.
///
/// After a `fork`, the child opens a pool of its own at the first call. See
/// [Operations](crate::guide::operations).
///
/// A cache that shares no pool needs no `Redis`: it takes an address or a [`RedisBuilder`]. A
/// `Redis` is for several caches on one pool:
///
/// ```no_run
/// use cache_aside::{Cache, Record, Redis};
///
/// let redis = Redis::builder("redis://localhost:6379").pool_size(8).build()?;
/// let products = Cache::<Record>::builder(&redis).prefix("cache:product:").build()?;
/// let customers = Cache::<Record>::builder(&redis).prefix("cache:customer:").build()?;
/// # Ok::<_, cache_aside::Error>(())
/// ```
#[derive(Clone)]
pub struct Redis {
    pub(crate) client: SharedClient,
}

impl fmt::Debug for Redis {
    /// Without the address: it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").finish_non_exhaustive()
    }
}

impl Redis {
    /// Starts a pool of connections to the server at an address:
    ///
    /// | address | leads to | feature |
    /// |---|---|---|
    /// | `redis://user:password@host:port/db` | a server | |
    /// | `unix:///path` | a server, through its socket | |
    /// | `rediss://…` | a server, with TLS | `tls` |
    /// | `redis+cluster://host:port,host:port` | a cluster, through any of its nodes | `cluster` |
    /// | `redis+sentinel://host:port,host:port/NAME` | the master `NAME` of Sentinel | `sentinel` |
    ///
    /// The last two may contain the user and the password of the server too. A database follows the
    /// name of the master: `/NAME/db`.
    /// `rediss+cluster` and `rediss+sentinel` are the last two with TLS. `?protocol=resp3` at the
    /// end selects RESP3. A socket has its user, password and database there too:
    /// `unix:///path?user=…&pass=…&db=3&protocol=resp3`.
    ///
    /// White space around an address is ignored. An empty user or password counts as none. In both,
    /// write any character but letters and digits as `%` and its code: `#` is `%23`, `/` is `%2F`,
    /// `?` is `%3F`, `@` is `%40`. `build` refuses what it would otherwise have to ignore: an
    /// unknown parameter, a fragment, a line break, a user without a password.
    pub fn builder(url: impl Into<String>) -> RedisBuilder {
        RedisBuilder::new(url.into())
    }

    /// Waits until no invalidation of any cache on it is pending, at most for `timeout`. Returns
    /// whether that is so. See [`Cache::flush`](crate::Cache::flush).
    ///
    /// # Cost
    ///
    /// No round trip of its own.
    #[must_use = "false: some invalidations are still pending"]
    pub fn flush(&self, timeout: Duration) -> bool {
        self.client.get().flush(timeout)
    }

    /// Returns the server as the protocol sees it, without the circuit breaker: to inspect it, or
    /// to build your own [`Store`] on it.
    ///
    /// The store belongs to this process. After a `fork`, its requests fail in the child. There,
    /// call this again.
    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(self.client.get().store())
    }
}
