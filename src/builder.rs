//! Every setting, its default and its check.

use std::{sync::Arc, time::Duration};

use redis::{Client, ConnectionInfo, IntoConnectionInfo};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    cache::Cache,
    error::Error,
    inner::Settings,
    key::LEASE_PREFIX,
    record::Record,
    store::{connection::Timeouts, redis::Redis},
};

/// No duration setting is longer: Redis takes no expiry that overflows its clock, and a TTL of more than
/// ten years is a mistake.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The settings of a [`Cache`]. Made by [`Cache::builder`].
#[derive(Debug)]
#[must_use = "a builder does nothing before `build`"]
pub struct CacheBuilder {
    server: Server,
    settings: Settings,
}

/// The server of a cache: an address, a [`Redis`] that is shared, or the settings of one.
#[derive(Debug)]
pub struct Server(Origin);

#[derive(Debug)]
enum Origin {
    Shared(Redis),
    Settings(RedisBuilder),
}

impl From<&str> for Server {
    fn from(url: &str) -> Server {
        Redis::builder(url).into()
    }
}

impl From<String> for Server {
    fn from(url: String) -> Server {
        Redis::builder(url).into()
    }
}

impl From<&String> for Server {
    fn from(url: &String) -> Server {
        Redis::builder(url).into()
    }
}

impl From<RedisBuilder> for Server {
    fn from(settings: RedisBuilder) -> Server {
        Server(Origin::Settings(settings))
    }
}

impl From<Redis> for Server {
    fn from(redis: Redis) -> Server {
        Server(Origin::Shared(redis))
    }
}

impl From<&Redis> for Server {
    fn from(redis: &Redis) -> Server {
        redis.clone().into()
    }
}

impl Cache<Record> {
    /// Begins a cache. `server` is an address (`redis://user:password@host:port/db`, `unix:///path`), a
    /// [`Redis`] that several caches share, or a [`RedisBuilder`] with settings of its own.
    ///
    /// The record type is chosen by [`build`](CacheBuilder::build), not here: annotate what you assign it to.
    pub fn builder(server: impl Into<Server>) -> CacheBuilder {
        CacheBuilder {
            server: server.into(),
            settings: Settings {
                prefix: String::new(),
                ttl: Duration::from_secs(30),
                lease_ttl: Duration::from_secs(2),
                max_load_time: Duration::from_secs(60),
                wait_timeout: Duration::from_secs(10),
                fail_on_wait_timeout: false,
                poll: Duration::from_millis(25),
                keep_ttl_on_update: false,
            },
        }
    }
}

impl CacheBuilder {
    /// Sets what the key of every record begins with; the id follows. End it with a separator:
    /// `cache:product:`. Other programs find the records under the same keys.
    ///
    /// There is no default: two kinds of records under one prefix would overwrite each other.
    pub fn prefix(mut self, prefix: impl Into<String>) -> CacheBuilder {
        self.settings.prefix = prefix.into();
        self
    }

    /// Sets how long a record lives in Redis after its fill: the longest time for which a change of the
    /// primary that nobody told the cache about stays unseen. 1 ms to ten years.
    ///
    /// Defaults to 30 s: short enough to live with a forgotten `invalidate`, long enough to spare the
    /// primary nearly all reads of a record that is read every second.
    pub fn ttl(mut self, ttl: Duration) -> CacheBuilder {
        self.settings.ttl = ttl;
        self
    }

    /// Sets how long a lease lasts without being renewed: how long the others wait when a process dies
    /// in mid-load. Renewed every third of it while a loader runs. 10 ms to ten years.
    ///
    /// Defaults to 2 s: many round trips even of a slow network, and a wait that a person sits through.
    pub fn lease_ttl(mut self, lease_ttl: Duration) -> CacheBuilder {
        self.settings.lease_ttl = lease_ttl;
        self
    }

    /// Sets how long a lease is renewed at most. A loader that takes longer has hung, for all we know: its
    /// lease lapses, another caller loads, and what it brings in the end is returned but not cached.
    /// At least `lease_ttl`.
    ///
    /// Defaults to 60 s, longer than any request should take.
    pub fn max_load_time(mut self, max_load_time: Duration) -> CacheBuilder {
        self.settings.max_load_time = max_load_time;
        self
    }

    /// Sets how long a caller waits for another caller's load. Then one caller of each process loads, without
    /// caching, and those whose wait is over share that load, for as long again at the most.
    /// At least `poll`.
    ///
    /// Defaults to 10 s: five leases of holders that died one after the other, and well before the 30 s
    /// after which many proxies give a request up.
    pub fn wait_timeout(mut self, wait_timeout: Duration) -> CacheBuilder {
        self.settings.wait_timeout = wait_timeout;
        self
    }

    /// Sets whether a caller whose `wait_timeout` is over gets [`Error::WaitTimeout`] instead of a load
    /// without the cache. For a primary that must be protected at any price.
    ///
    /// Defaults to false: an answer is better than none.
    pub fn fail_on_wait_timeout(mut self, fail: bool) -> CacheBuilder {
        self.settings.fail_on_wait_timeout = fail;
        self
    }

    /// Sets the longest pause between two questions to Redis while another process loads. Pauses grow up
    /// to it from 1 ms, each shortened by chance by up to a half. At least 1 ms.
    ///
    /// Defaults to 25 ms: 40 small questions a second from a waiter, and an answer that is late by
    /// no more than a person can see.
    pub fn poll(mut self, poll: Duration) -> CacheBuilder {
        self.settings.poll = poll;
        self
    }

    /// Sets whether `update_field` and `update` leave a record the TTL it has, instead of starting it anew.
    ///
    /// Defaults to false: what was just written is fresh. Set it where one field is updated much more often
    /// than the rest of the record is invalidated: each update would otherwise prolong the life of all the
    /// other fields, for ever if need be.
    pub fn keep_ttl_on_update(mut self, keep: bool) -> CacheBuilder {
        self.settings.keep_ttl_on_update = keep;
        self
    }

    /// Checks the settings, connects, and makes the cache.
    ///
    /// # Cost
    ///
    /// With an address or a [`RedisBuilder`], one connection and one round trip, unless it is
    /// [`lazy`](RedisBuilder::lazy). With a shared [`Redis`], none.
    ///
    /// # Errors
    ///
    /// - [`Error::Setting`] names the setting that makes no sense.
    /// - [`Error::Redis`]: the server could not be reached, or refused the user, the password or a
    ///   command; in its own words, where the client library passes them on.
    pub fn build<R: Serialize + DeserializeOwned>(self) -> Result<Cache<R>, Error> {
        check(&self.settings)?;
        let redis = match self.server.0 {
            Origin::Shared(redis) => redis,
            Origin::Settings(settings) => settings.build()?,
        };
        Ok(Cache::new(self.settings, Arc::new(redis)))
    }
}

fn check(settings: &Settings) -> Result<(), Error> {
    let Settings {
        prefix,
        ttl,
        lease_ttl,
        max_load_time,
        wait_timeout,
        poll,
        ..
    } = settings;
    if prefix.is_empty() {
        return refuse(
            "prefix",
            "it must not be empty; set one that ends with a separator, like `cache:product:`",
        );
    }
    if prefix.starts_with(LEASE_PREFIX) {
        return refuse("prefix", "keys that begin with `lock:` are the leases");
    }
    between("ttl", *ttl, Duration::from_millis(1))?;
    between("lease_ttl", *lease_ttl, Duration::from_millis(10))?;
    between("poll", *poll, Duration::from_millis(1))?;
    if max_load_time < lease_ttl {
        return refuse(
            "max_load_time",
            format!("{max_load_time:?} is shorter than one `lease_ttl` of {lease_ttl:?}"),
        );
    }
    between("max_load_time", *max_load_time, *lease_ttl)?;
    if wait_timeout < poll {
        return refuse(
            "wait_timeout",
            format!("{wait_timeout:?} is shorter than one `poll` of {poll:?}"),
        );
    }
    between("wait_timeout", *wait_timeout, *poll)
}

/// The settings of a [`Redis`]. Made by [`Redis::builder`].
#[must_use = "a builder does nothing before `build`"]
pub struct RedisBuilder {
    url: String,
    pool_size: u32,
    timeouts: Timeouts,
    lazy: bool,
}

impl std::fmt::Debug for RedisBuilder {
    /// Without the address: it may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisBuilder")
            .field("pool_size", &self.pool_size)
            .field("timeouts", &self.timeouts)
            .field("lazy", &self.lazy)
            .finish_non_exhaustive()
    }
}

impl Redis {
    /// Begins a pool of connections to the server at this address: `redis://user:password@host:port/db`,
    /// `unix:///path`. With `?protocol=resp3` it speaks RESP3.
    pub fn builder(url: impl Into<String>) -> RedisBuilder {
        RedisBuilder {
            url: url.into(),
            pool_size: 16,
            timeouts: Timeouts {
                checkout: Duration::from_millis(500),
                connect: Duration::from_millis(500),
                io: Duration::from_millis(500),
            },
            lazy: false,
        }
    }
}

impl RedisBuilder {
    /// Sets how many connections are opened at most. They are opened when needed and closed after ten idle
    /// minutes. No connection is held while a loader runs, so far fewer are needed than there are threads.
    /// At least 1.
    ///
    /// Defaults to 16: one for each thread of a small server; on two cores four are as fast.
    pub fn pool_size(mut self, connections: u32) -> RedisBuilder {
        self.pool_size = connections;
        self
    }

    /// Sets how long a call waits for a free connection, opening one included. 1 ms to ten years.
    ///
    /// Defaults to 500 ms, like the other two timeouts: more than a server that works ever takes (a
    /// snapshot's fork, a slow script), less than what makes a person leave.
    pub fn checkout_timeout(mut self, timeout: Duration) -> RedisBuilder {
        self.timeouts.checkout = timeout;
        self
    }

    /// Sets how long each step of opening a connection may take: the connection itself, the password, the
    /// choice of a database. 1 ms to ten years.
    ///
    /// Defaults to 500 ms.
    pub fn connect_timeout(mut self, timeout: Duration) -> RedisBuilder {
        self.timeouts.connect = timeout;
        self
    }

    /// Sets how long the wire may be silent, while a request is written and while its reply is awaited. A
    /// connection on which that happened is closed. 1 ms to ten years.
    ///
    /// Defaults to 500 ms.
    pub fn io_timeout(mut self, timeout: Duration) -> RedisBuilder {
        self.timeouts.io = timeout;
        self
    }

    /// Lets `build` succeed without asking the server anything, for programs that must start while Redis is
    /// away. Lookups are then degraded until it answers. A wrong password is no longer found at the start.
    pub fn lazy(mut self) -> RedisBuilder {
        self.lazy = true;
        self
    }

    /// Checks the settings, connects once, and tells the server the scripts.
    ///
    /// # Cost
    ///
    /// One connection, closed again, and one round trip; none when [`lazy`](RedisBuilder::lazy).
    ///
    /// # Errors
    ///
    /// - [`Error::Setting`] names the setting that makes no sense.
    /// - [`Error::Redis`]: the server could not be reached, or refused the user, the password or a
    ///   command; in its own words, where the client library passes them on.
    pub fn build(self) -> Result<Redis, Error> {
        if self.pool_size == 0 {
            return refuse("pool_size", "it must be at least 1");
        }
        let least = Duration::from_millis(1);
        between("checkout_timeout", self.timeouts.checkout, least)?;
        between("connect_timeout", self.timeouts.connect, least)?;
        between("io_timeout", self.timeouts.io, least)?;
        let redis = Redis::new(client(&self.url)?, self.pool_size, self.timeouts);
        if !self.lazy {
            redis.check()?;
        }
        Ok(redis)
    }
}

/// The client for an address. The address is in no message: it may hold a password.
fn client(url: &str) -> Result<Client, Error> {
    let address = |cause: redis::RedisError| Error::Setting {
        setting: "address",
        reason: format!("{cause}; it looks like `redis://host:6379` or `unix:///path`"),
    };
    let info: ConnectionInfo = url.into_connection_info().map_err(address)?;
    let tcp = info
        .tcp_settings()
        .clone()
        // A request larger than a packet would else wait for the server's delayed acknowledgement.
        .set_nodelay(true);
    // Without the name of the client library: its two replies would each get the whole connect timeout.
    let login = info.redis_settings().clone().set_skip_set_lib_name();
    Client::open(info.set_tcp_settings(tcp).set_redis_settings(login)).map_err(address)
}

fn between(setting: &'static str, value: Duration, least: Duration) -> Result<(), Error> {
    if value < least {
        return refuse(
            setting,
            format!("{value:?} is too short, it must be at least {least:?}"),
        );
    }
    if value > LONGEST {
        return refuse(
            setting,
            format!("{value:?} is too long, it must be at most ten years"),
        );
    }
    Ok(())
}

fn refuse<T>(setting: &'static str, reason: impl Into<String>) -> Result<T, Error> {
    Err(Error::Setting {
        setting,
        reason: reason.into(),
    })
}
