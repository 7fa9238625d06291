//! The settings of a connection pool, and their defaults.

use std::{fmt, sync::Arc, time::Duration};

#[cfg(feature = "sentinel")]
use redis::RedisConnectionInfo;

use crate::backend::client::{BREAKER_THRESHOLD, PROBE_INTERVAL};
use crate::redis::timeouts::Timeouts;
#[cfg(feature = "tls")]
use crate::redis::tls::Certificates;

/// The default name of connections.
const CLIENT_NAME: &str = "cache-aside";

/// The settings of a [`Redis`](super::Redis). Made by [`Redis::builder`](super::Redis::builder).
#[derive(Clone)]
#[must_use = "a builder does nothing before `build`"]
pub struct RedisBuilder {
    pub(super) url: String,
    pub(super) pool_size: u32,
    pub(super) timeouts: Timeouts,
    pub(super) breaker_threshold: u32,
    pub(super) probe_interval: Duration,
    pub(super) replicas: u32,
    pub(super) require_connection: bool,
    pub(super) client_name: Arc<str>,
    #[cfg(feature = "tls")]
    pub(super) certificates: Certificates,
    #[cfg(feature = "sentinel")]
    pub(super) sentinel_login: Option<RedisConnectionInfo>,
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
            .field("require_connection", &self.require_connection)
            .field("client_name", &self.client_name)
            .finish_non_exhaustive()
    }
}

impl RedisBuilder {
    pub(super) fn new(url: String) -> RedisBuilder {
        RedisBuilder {
            url,
            pool_size: 16,
            timeouts: Timeouts::default(),
            breaker_threshold: BREAKER_THRESHOLD,
            probe_interval: PROBE_INTERVAL,
            replicas: 0,
            require_connection: false,
            client_name: CLIENT_NAME.into(),
            #[cfg(feature = "tls")]
            certificates: Certificates::default(),
            #[cfg(feature = "sentinel")]
            sentinel_login: None,
        }
    }

    /// Sets how many connections are opened at most, to each node of a cluster. 1 to 10,000.
    ///
    /// Connections are opened when they are needed, and closed after
    /// [`idle_timeout`](RedisBuilder::idle_timeout). No caller holds one while its loader runs.
    /// Lookups that find none free share the next one, in one pipeline. So a program needs far
    /// fewer connections than threads. While some are open, a pool of one server opens one more for
    /// a moment each second, to see whether the address leads to another server.
    ///
    /// Defaults to 16. Leave it: lookups use only as many of them at the same time as serve them
    /// best, at least four, so a larger pool is hardly slower. More help only if many
    /// threads write at the same time.
    pub fn pool_size(mut self, connections: u32) -> RedisBuilder {
        self.pool_size = connections;
        self
    }

    /// Sets how long a call waits for a free connection, including the time to open one. 1 ms to
    /// ten years. If no connection is open and the server refuses new ones, a call waits for about
    /// 10 ms only.
    ///
    /// Defaults to 1 s, which is thousands of round trips of other callers. So a lookup goes
    /// on without Redis only if the pool is much too small or the server is silent.
    pub fn checkout_timeout(mut self, timeout: Duration) -> RedisBuilder {
        self.timeouts.checkout = timeout;
        self
    }

    /// Sets how long each step of opening a connection may take: the lookup of the host name, the
    /// connection itself, the login, the choice of a database, the first answer. 1 ms to ten years.
    ///
    /// The resolver of the system has no timeout of its own. So one thread for each host name waits
    /// for it, and callers wait no longer than this. A later attempt uses an answer that came too
    /// late. An address that is a number starts no such thread.
    ///
    /// Defaults to 500 ms. A working server answers sooner, even during the fork for a snapshot or
    /// a slow script. A person does not give up that soon.
    pub fn connect_timeout(mut self, timeout: Duration) -> RedisBuilder {
        self.timeouts.connect = timeout;
        self
    }

    /// Sets how long a connection may be silent while a request is written or its reply is awaited.
    /// The connection is then closed. 1 ms to ten years. It limits idle time: a record of megabytes
    /// is written in several pieces, and each piece may take this long.
    ///
    /// Defaults to 500 ms, for the same reason as `connect_timeout`.
    pub fn io_timeout(mut self, timeout: Duration) -> RedisBuilder {
        self.timeouts.io = timeout;
        self
    }

    /// Sets how long a request may take as a whole, even if its reply arrives byte by byte. The
    /// connection is then closed. 1 ms to ten years. Each part of a batch, of at most 2 MiB or one
    /// record, may take this long, and up to two `io_timeout` more.
    ///
    /// Defaults to 30 s. Then 2 MiB may come at 1 Mbit a second, and 60 MiB at 2 MiB a second.
    pub fn request_timeout(mut self, timeout: Duration) -> RedisBuilder {
        self.timeouts.request = timeout;
        self
    }

    /// Sets the most memory that one reply may take, in bytes. At least 2 MiB. A larger reply is
    /// refused as soon as the server announces it, and the lookup is degraded. A larger record is
    /// not cached. Each field counts with its name, its value and 128 bytes.
    ///
    /// Defaults to 64 MiB. A broken server or proxy can announce any size.
    pub fn max_reply_size(mut self, bytes: usize) -> RedisBuilder {
        self.timeouts.max_reply = bytes;
        self
    }

    /// Sets how long a connection may be idle in the pool before it is closed. 1 s to ten years. A
    /// thread of the pool looks every 30 s, so a connection is closed up to 30 s later.
    ///
    /// A NAT, a firewall or a load balancer forgets an idle connection after some minutes, often
    /// without a sign. The next request on it then waits for `io_timeout`. The
    /// [guide](crate::guide::failures#connections-that-break) has a table of such limits. A pool
    /// that needs fewer connections after a peak also closes the others after this time.
    ///
    /// Defaults to 3 minutes. With the 30 s, that is less than the shortest common limit: 4
    /// minutes.
    pub fn idle_timeout(mut self, timeout: Duration) -> RedisBuilder {
        self.timeouts.idle = timeout;
        self
    }

    /// Sets after how much idle time the kernel checks whether a connection still works (TCP
    /// keepalive), in whole seconds. 1 s to 32,767 s, the limit of Linux. If the other side does
    /// not answer three checks, a third of this time apart, the kernel closes the connection. The
    /// checks also keep a NAT or a firewall from forgetting the connection. It applies to every
    /// connection, except those through a unix socket.
    ///
    /// Costs no round trip of a request: a check is one empty packet of the kernel.
    ///
    /// Defaults to 1 minute. Common limits of idle connections begin at 4 minutes, so a lost packet
    /// does no harm.
    pub fn tcp_keepalive(mut self, idle: Duration) -> RedisBuilder {
        self.timeouts.keepalive = idle;
        self
    }

    /// Sets how many requests in a row must fail before the breaker opens. At least 1. While it is
    /// open, no request is sent until the server answers a probe. Lookups call their loaders at
    /// once. Writes fail at once and are remembered. Neither waits for a timeout. A rejection is
    /// not such a failure: a server that is full or read-only still answers.
    ///
    /// Defaults to 5: one lost connection does not open the breaker, and at most five callers wait
    /// for a timeout.
    pub fn breaker_threshold(mut self, failures: u32) -> RedisBuilder {
        self.breaker_threshold = failures;
        self
    }

    /// Sets the longest pause between two probes while the breaker is open. 1 ms to ten years.
    /// Pauses start at 10 ms and grow up to this value. Each pause is shortened at random by up to
    /// a half. A thread of the pool sends the probes; no caller waits for it.
    ///
    /// Defaults to 500 ms: a recovery is noticed at most this much later, and the probes cost two
    /// small requests a second.
    pub fn probe_interval(mut self, interval: Duration) -> RedisBuilder {
        self.probe_interval = interval;
        self
    }

    /// Sets how many replicas of the server must have an invalidation before it counts as done
    /// (`WAIT`). They have half of `io_timeout` to confirm it. This applies to `invalidate`, the
    /// end of a `write`, `expire`, `clear` and updates. If too few replicas have it in time, the
    /// call fails as it does if Redis cannot be reached. The invalidation is then remembered and
    /// replayed. Until then this process does not read that record from Redis.
    ///
    /// Redis acknowledges a change before its replicas have it. If a replica takes over from a lost
    /// master (Cluster, Sentinel), it may lack an acknowledged invalidation. It then serves the old
    /// record until its TTL ends. That cannot happen if this number covers every replica that may
    /// take over. While too few replicas are connected, every such call fails. `build` logs a
    /// warning in that case, and fails if the user has no permission for `WAIT`. Each call costs
    /// one more round trip, plus one between the server and its replicas.
    ///
    /// Defaults to 0, as in Redis itself.
    pub fn wait_for_replicas(mut self, replicas: u32) -> RedisBuilder {
        self.replicas = replicas;
        self
    }

    /// Sets whether `build` fails while the server cannot be reached.
    ///
    /// With `false`, `build` then logs one warning and succeeds. Lookups call their loaders,
    /// without a wait for Redis. Invalidations are remembered, as in any outage. A thread of the
    /// pool connects again, with the pauses of [`probe_interval`](RedisBuilder::probe_interval). It
    /// runs the whole check of `build` before the server is used. If the server will never work,
    /// the reason is logged once as an error, and the caches go on without Redis.
    ///
    /// A server cannot be reached if it refuses the connection, does not answer in time, is loading
    /// its data or has no master yet, or if its name cannot be resolved in time. If the system has
    /// no threads for the pool, that counts as well. If the server answers but will never work,
    /// `build` fails with either value. [`build`](RedisBuilder::build) lists these
    /// cases.
    ///
    /// A server that is full (`maxclients`) counts as one that cannot be reached.
    ///
    /// ```
    /// use cache_aside::Redis;
    ///
    /// // Nothing listens there.
    /// let away = Redis::builder("redis://127.0.0.1:1");
    /// assert!(away.clone().build().is_ok());
    /// assert!(away.require_connection(true).build().is_err());
    /// ```
    ///
    /// Defaults to false: a missing cache should not prevent a program from starting. Set it in
    /// tools that are useless without Redis, and in tests.
    pub fn require_connection(mut self, required: bool) -> RedisBuilder {
        self.require_connection = required;
        self
    }

    /// Sets the name that `CLIENT LIST` shows for every connection of the pool, including those
    /// that listen for changes, and those to Sentinels. Printable ASCII without spaces.
    ///
    /// The name is part of the first request on a connection (`HELLO … SETNAME`). So it costs no
    /// round trip and takes no permission. A server that does not know `HELLO` or refuses the name
    /// shows none.
    ///
    /// Defaults to `cache-aside`. Programs that share a server may set their own name.
    pub fn client_name(mut self, name: impl Into<String>) -> RedisBuilder {
        self.client_name = name.into().into();
        self
    }

    /// Sets the certificates, one or more in PEM, that may have signed the certificate of a server.
    /// They replace the certificates that the system trusts. For addresses with TLS.
    ///
    /// Defaults to the certificates that the system trusts.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn tls_root_certificate(mut self, pem: impl Into<Vec<u8>>) -> RedisBuilder {
        self.certificates.root = Some(pem.into());
        self
    }

    /// Sets the client certificate, followed by the certificates of its signers, and its private
    /// key. Both are in PEM. For servers with `tls-auth-clients yes`, which is the default of
    /// Redis.
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

    /// Sets the login for Sentinels that want a password. If `user` is `None`, the user is
    /// `default`. The user and the password in the address are those of the server.
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
}
