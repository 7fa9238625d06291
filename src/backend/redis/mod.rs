//! A server as a program names it: the handle, every setting of it, its default and its check.

pub(crate) mod connect;

use std::{fmt, sync::Arc, time::Duration};

#[cfg(feature = "sentinel")]
use redis::RedisConnectionInfo;

use super::client::{BREAKER_THRESHOLD, PROBE_INTERVAL, StoreClient};
#[cfg(feature = "tls")]
use crate::redis::tls::Certificates;
use crate::{
    error::Error,
    redis::timeouts::Timeouts,
    store::Store,
    util::limits::{between, refuse},
};

/// More than Redis itself admits by default.
const MOST_CONNECTIONS: u32 = 10_000;

/// A pool of connections to one Redis server, or to each node of a cluster, for any number of caches. Cheap to clone: all clones share
/// the pool, its circuit breaker, and the invalidations that have not reached the server yet. (Pools share
/// nothing: in one process, caches with the same prefix belong on one `Redis`.)
///
/// A cache with settings of its own for one server needs no `Redis`; it takes an address. A `Redis` is for
/// pool settings, and for several caches on one pool:
///
/// ```no_run
/// use cache_aside::{Cache, Record, Redis};
///
/// let redis = Redis::builder("redis://localhost:6379").pool_size(8).build()?;
/// let products: Cache = Cache::builder(&redis).prefix("cache:product:").build()?;
/// let customers: Cache = Cache::builder(&redis).prefix("cache:customer:").build()?;
/// # Ok::<_, cache_aside::Error>(())
/// ```
#[derive(Clone)]
pub struct Redis {
    pub(crate) client: Arc<StoreClient>,
}

impl fmt::Debug for Redis {
    /// Without the address: it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").finish_non_exhaustive()
    }
}

/// The settings of a [`Redis`]. Made by [`Redis::builder`].
#[derive(Clone)]
#[must_use = "a builder does nothing before `build`"]
pub struct RedisBuilder {
    url: String,
    pool_size: u32,
    timeouts: Timeouts,
    breaker_threshold: u32,
    probe_interval: Duration,
    replicas: u32,
    lazy: bool,
    #[cfg(feature = "tls")]
    certificates: Certificates,
    #[cfg(feature = "sentinel")]
    sentinel_login: Option<RedisConnectionInfo>,
}

impl fmt::Debug for RedisBuilder {
    /// Without the address: it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBuilder")
            .field("pool_size", &self.pool_size)
            .field("timeouts", &self.timeouts)
            .field("breaker_threshold", &self.breaker_threshold)
            .field("probe_interval", &self.probe_interval)
            .field("replicas", &self.replicas)
            .field("lazy", &self.lazy)
            .finish_non_exhaustive()
    }
}

impl Redis {
    /// Begins a pool of connections to the server at this address:
    ///
    /// | address | leads to | feature |
    /// |---|---|---|
    /// | `redis://user:password@host:port/db` | a server | |
    /// | `unix:///path` | a server, by its socket | |
    /// | `rediss://…` | a server, by TLS | `tls` |
    /// | `redis+cluster://user:password@host:port,host:port` | a cluster, by any of its nodes | `cluster` |
    /// | `redis+sentinel://user:password@host:port,host:port/NAME/db` | the master that these sentinels know by that name | `sentinel` |
    ///
    /// The last two by TLS as `rediss+cluster` and `rediss+sentinel`. With `?protocol=resp3` it speaks RESP3.
    pub fn builder(url: impl Into<String>) -> RedisBuilder {
        RedisBuilder {
            url: url.into(),
            pool_size: 16,
            timeouts: Timeouts {
                checkout: Duration::from_secs(1),
                connect: Duration::from_millis(500),
                io: Duration::from_millis(500),
            },
            breaker_threshold: BREAKER_THRESHOLD,
            probe_interval: PROBE_INTERVAL,
            replicas: 0,
            lazy: false,
            #[cfg(feature = "tls")]
            certificates: Certificates::default(),
            #[cfg(feature = "sentinel")]
            sentinel_login: None,
        }
    }

    /// The server as the protocol sees it, past the circuit breaker: to look at, or to build a
    /// [`Store`] of your own upon.
    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(self.client.store())
    }
}

impl RedisBuilder {
    /// Sets how many connections are opened at most, to each node of a cluster. (While some are
    /// open, a pool of one server opens one more each second, for a moment, to see whether the
    /// address leads to another server.) They are opened when needed and closed after ten idle
    /// minutes. No connection is held while a loader runs, and lookups that find none free share
    /// the next one: all who wait are asked for in one pipeline. So far fewer are needed than there
    /// are threads. 1 to 10,000.
    ///
    /// Defaults to 16: one for each thread of a small server; on two cores four are as fast.
    pub fn pool_size(mut self, connections: u32) -> RedisBuilder {
        self.pool_size = connections;
        self
    }

    /// Sets how long a call waits for a free connection, opening one included. Where connections are refused
    /// and none is open, it waits a moment only. 1 ms to ten years.
    ///
    /// Defaults to 1 s: thousands of round trips of the others in line, so that only a pool that is much too
    /// small, or a server that is silent, makes a lookup go without Redis.
    pub fn checkout_timeout(mut self, timeout: Duration) -> RedisBuilder {
        self.timeouts.checkout = timeout;
        self
    }

    /// Sets how long each step of opening a connection may take: the connection itself, the password, the
    /// choice of a database. 1 ms to ten years.
    ///
    /// Defaults to 500 ms: more than a server that works ever takes (a snapshot's fork, a slow script), less
    /// than what makes a person leave.
    pub fn connect_timeout(mut self, timeout: Duration) -> RedisBuilder {
        self.timeouts.connect = timeout;
        self
    }

    /// Sets how long the wire may be silent, while a request is written and while its reply is awaited. A
    /// connection on which that happened is closed. A record of megabytes is written in a few pieces, each of
    /// which may take this long. 1 ms to ten years.
    ///
    /// Defaults to 500 ms, like `connect_timeout` and for its reason.
    pub fn io_timeout(mut self, timeout: Duration) -> RedisBuilder {
        self.timeouts.io = timeout;
        self
    }

    /// Sets after how many failed requests in a row the server is asked no more, until it answers a probe. Then
    /// lookups go straight to their loaders, and writes fail at once and are remembered, without waiting for
    /// timeouts. A refusal is no such failure: a server that is full or read-only still answers. At least 1.
    ///
    /// Defaults to 5: one lost connection is none, and five callers have waited for nothing.
    pub fn breaker_threshold(mut self, failures: u32) -> RedisBuilder {
        self.breaker_threshold = failures;
        self
    }

    /// Sets the longest pause between two probes of a server that is asked no more. Pauses grow up to it from 10 ms,
    /// each shortened by chance by up to a half. A thread of the pool probes; no caller waits for it. 1 ms to
    /// ten years.
    ///
    /// Defaults to 500 ms: what a recovery is late by at most, and two small questions a second.
    pub fn probe_interval(mut self, interval: Duration) -> RedisBuilder {
        self.probe_interval = interval;
        self
    }

    /// Has whatever ends a record (`invalidate`, the end of a `write`, `expire`, `clear`, an update) count as done only when so
    /// many replicas of the server have it as well (`WAIT`), within half of `io_timeout`. Where they haven't, the call
    /// fails as it does when Redis can't be reached: the invalidation is remembered and replayed, and until then this process
    /// doesn't read that record from Redis.
    ///
    /// Redis acknowledges a change before its replicas have it. Where a replica takes over from a master that is lost (Cluster,
    /// Sentinel), it may have an old record whose invalidation was acknowledged, and serve it until its TTL is over.
    /// With as many replicas as may take over, it hasn't. Where fewer are connected, also because one has just taken over, every
    /// such call fails, until there are so many again; `build` warns of it in the log, and fails where the user may not `WAIT`.
    /// Each call costs a round trip more, and the way to the replicas and back.
    ///
    /// Defaults to 0: as Redis itself does.
    pub fn wait_for_replicas(mut self, replicas: u32) -> RedisBuilder {
        self.replicas = replicas;
        self
    }

    /// Lets `build` succeed without asking the server anything, for programs that must start while Redis is
    /// away. Lookups are then degraded until it answers. A wrong password is no longer found at the start.
    pub fn lazy(mut self) -> RedisBuilder {
        self.lazy = true;
        self
    }

    /// Sets whose signature proves a server's certificate, for addresses of TLS: one or several certificates in PEM. Then
    /// nobody else's does.
    ///
    /// Defaults to those whom the system trusts.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn tls_root_certificate(mut self, pem: impl Into<Vec<u8>>) -> RedisBuilder {
        self.certificates.root = Some(pem.into());
        self
    }

    /// Sets the certificate that the server is shown, followed by those of who signed it, and its private key, each in
    /// PEM; for servers with `tls-auth-clients yes`, as Redis has it by default.
    ///
    /// Defaults to none.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn tls_client_certificate(
        mut self,
        certificate_pem: impl Into<Vec<u8>>,
        key_pem: impl Into<Vec<u8>>,
    ) -> RedisBuilder {
        self.certificates.client = Some((certificate_pem.into(), key_pem.into()));
        self
    }

    /// Sets how to log in to sentinels that want a password; with `None` for the user, as `default`. The user and the password
    /// in the address are those of the server.
    ///
    /// Defaults to no login.
    #[cfg(feature = "sentinel")]
    #[cfg_attr(docsrs, doc(cfg(feature = "sentinel")))]
    pub fn sentinel_login(mut self, user: Option<&str>, password: &str) -> RedisBuilder {
        let mut login = RedisConnectionInfo::default().set_password(password);
        if let Some(user) = user {
            login = login.set_username(user);
        }
        self.sentinel_login = Some(login);
        self
    }

    /// Checks the settings, connects once, asks the server who it is, and tells it the scripts.
    ///
    /// Its name and version are logged, and so is that it is a replica. What it may do without is
    /// found out by those who want it: where it can't push what changes, a cache with
    /// [`near_cache`](crate::CacheBuilder::near_cache) or
    /// [`tracking`](crate::CacheBuilder::tracking) logs that, reads from Redis, and polls.
    ///
    /// # Cost
    ///
    /// One connection, closed again, and two round trips: one asks the server who it is, one tells
    /// it the scripts. A third one where the server doesn't know `HELLO`. On a cluster the same for
    /// each master, and another connection that asks for them. None when
    /// [`lazy`](RedisBuilder::lazy), which finds none of this out.
    ///
    /// # Errors
    ///
    /// - [`Error::InvalidSetting`] names the setting that makes no sense.
    /// - [`Error::Store`]: the server could not be reached, or of a cluster no master; or it
    ///   refused the user, the password or a command; in its own words, where the client library
    ///   passes them on. Or it is a Redis before 6.0.9, has no scripts, or is a node of a cluster
    ///   or a Sentinel where the address says otherwise; the message says what to do.
    pub fn build(self) -> Result<Redis, Error> {
        if self.pool_size == 0 {
            return refuse("pool_size", "it must be at least 1");
        }
        if self.pool_size > MOST_CONNECTIONS {
            return refuse("pool_size", "it must be at most 10,000");
        }
        let least = Duration::from_millis(1);
        between("checkout_timeout", self.timeouts.checkout, least)?;
        between("connect_timeout", self.timeouts.connect, least)?;
        between("io_timeout", self.timeouts.io, least)?;
        if self.breaker_threshold == 0 {
            return refuse("breaker_threshold", "it must be at least 1");
        }
        between("probe_interval", self.probe_interval, least)?;
        let store = self.store()?;
        let client = StoreClient::new(store, self.breaker_threshold, self.probe_interval);
        Ok(Redis {
            client: Arc::new(client),
        })
    }
}
