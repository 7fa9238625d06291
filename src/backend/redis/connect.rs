//! Builds the store of an address: of a server, a cluster, or the server that Sentinels name.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{Redis, RedisBuilder};
#[cfg(feature = "sentinel")]
use crate::redis::sentinel::SentinelMaster;
use crate::{
    backend::client::{
        StoreClient,
        startup::{StartupCheck, Unusable},
    },
    error::Error,
    redis::{
        address::{
            server_address::{ServerAddress, Tls},
            url::Address,
        },
        endpoint::Endpoint,
        pool::lazy_pool::check_process,
        reachability::is_away,
        server::info::ServerMode,
        single::RedisStore,
        timeouts::SMALLEST_REPLY,
    },
    store::{Failure, Store},
    util::{
        limits::{between, refuse, within},
        per_process::PerProcess,
    },
};
#[cfg(feature = "cluster")]
use crate::{
    error::cause::AtServer,
    redis::{
        cluster::{ClusterStore, node::NodeConfig},
        error::is_in_no_cluster,
    },
    store::FailureKind,
};

/// Redis itself admits at most this many clients by default.
const MOST_CONNECTIONS: u32 = 10_000;

/// Linux refuses a longer time.
const LONGEST_KEEPALIVE: Duration = Duration::from_secs(32_767);

/// A store that has not been checked yet.
struct Unchecked {
    store: Arc<dyn Store>,
    check: StartupCheck,
}

impl RedisBuilder {
    /// Checks the settings, connects once, identifies the server, and loads the scripts into it.
    ///
    /// It logs the name and version of the server, and a warning if the server is a replica. If the
    /// server cannot push changes, only a cache with
    /// [`near_cache`](crate::CacheBuilder::near_cache) or
    /// [`tracking`](crate::CacheBuilder::tracking) logs that. Such a cache then reads from Redis
    /// and polls. [`require_connection`](RedisBuilder::require_connection) decides what happens if
    /// the server cannot be reached.
    ///
    /// # Cost
    ///
    /// One connection, which is closed again, and two round trips: one for the identity of the
    /// server, and one for the scripts. If the server does not know `HELLO`, there is a third one.
    /// A cluster costs the same for each master, and one more connection that asks for the masters.
    ///
    /// A server that cannot be reached costs at most one `connect_timeout` for each address of its
    /// host name. If something accepts the connection and does not answer, it costs one more. The
    /// lookup of a host name costs at most one more. The nodes of a cluster and the Sentinels in an
    /// address are tried one after the other.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] names the invalid setting. All other errors are [`Error::Store`]:
    ///
    /// - The server rejected the user, the password or a command. The error has its message.
    /// - The server is a Redis before 6.0.9, has no scripts, or does not answer like a Redis.
    /// - The server is a node of a cluster or a Sentinel, and the address is for another kind; or
    ///   the reverse.
    /// - A Sentinel does not know the name, or rejects the login.
    /// - This process was [forked](crate::guide::operations) from one that had sent requests to
    ///   Redis.
    /// - The TLS handshake failed, for instance because no trusted certificate signed the server's
    ///   certificate.
    /// - Only with [`require_connection(true)`](RedisBuilder::require_connection): the server
    ///   cannot be reached, no master of a cluster can, or no thread can be started.
    pub fn build(self) -> Result<Redis, Error> {
        self.check_settings()?;
        check_process().map_err(|failure| failure.at("connect"))?;
        let has_passed = Arc::new(AtomicBool::new(false));
        let Unchecked { store, check } = self.open(&has_passed)?;
        let (threshold, interval) = (self.breaker_threshold, self.probe_interval);
        let client = match check() {
            Ok(()) => StoreClient::new(store, threshold, interval),
            Err(Unusable { error, is_away }) if is_away && !self.require_connection => {
                StoreClient::not_reached(store, threshold, interval, (check, &error))
            }
            Err(Unusable { error, .. }) => return Err(error),
        };
        let in_child = move || Arc::new(self.in_child(&has_passed));
        Ok(Redis {
            client: PerProcess::with(Arc::new(client), in_child),
        })
    }

    /// The client of a process that was forked from the one that called `build`. Sends nothing. If
    /// the server has not passed the check by now, a thread checks it before it is used.
    fn in_child(&self, has_passed: &Arc<AtomicBool>) -> StoreClient {
        let (threshold, interval) = (self.breaker_threshold, self.probe_interval);
        let opened = self.open(has_passed);
        let Unchecked { store, check } = opened.expect("the parent opened it with these settings");
        if has_passed.load(Ordering::Acquire) {
            return StoreClient::new(store, threshold, interval);
        }
        let error = Error::Store {
            request: "connect",
            cause: Arc::new(NotReachedYet),
        };
        StoreClient::not_reached(store, threshold, interval, (check, &error))
    }

    fn check_settings(&self) -> Result<(), Error> {
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
        between("request_timeout", self.timeouts.request, least)?;
        if self.timeouts.max_reply < SMALLEST_REPLY {
            return refuse("max_reply_size", "it must be at least 2 MiB");
        }
        let second = Duration::from_secs(1);
        between("idle_timeout", self.timeouts.idle, second)?;
        within(
            "tcp_keepalive",
            self.timeouts.keepalive,
            second,
            LONGEST_KEEPALIVE,
        )?;
        if self.breaker_threshold == 0 {
            return refuse("breaker_threshold", "it must be at least 1");
        }
        between("probe_interval", self.probe_interval, least)?;
        // Redis refuses any other character.
        let is_printable = self.client_name.bytes().all(|byte| byte.is_ascii_graphic());
        if self.client_name.is_empty() || !is_printable {
            return refuse(
                "client_name",
                "it must be printable ASCII without spaces, and not be empty",
            );
        }
        Ok(())
    }

    /// The store at the address. Sends nothing. Its check sets `has_passed` when it passes.
    fn open(&self, has_passed: &Arc<AtomicBool>) -> Result<Unchecked, Error> {
        let Unchecked { store, check } = self.open_address()?;
        let has_passed = Arc::clone(has_passed);
        let check = move || {
            check()?;
            has_passed.store(true, Ordering::Release);
            Ok(())
        };
        Ok(Unchecked {
            store,
            check: Arc::new(check),
        })
    }

    /// The parsed address, with the login and the certificates.
    fn address(&self) -> Result<Address<ServerAddress>, Error> {
        let address = Address::parse(&self.url)?;
        #[cfg(feature = "tls")]
        let tls: Tls = self.certificates.config(address.is_tls())?;
        #[cfg(not(feature = "tls"))]
        let tls = Tls::default();
        Ok(address.map(|info| ServerAddress::new(info, &tls)))
    }

    fn open_address(&self) -> Result<Unchecked, Error> {
        match self.address()? {
            Address::Server(server) => {
                let endpoint = Endpoint::at(server, Arc::clone(&self.client_name));
                Ok(self.server(endpoint))
            }
            #[cfg(feature = "cluster")]
            Address::Cluster(nodes) => self.cluster(nodes),
            #[cfg(not(feature = "cluster"))]
            Address::Cluster(_) => refuse(
                "address",
                "for a cluster, add the feature `cluster` of this crate",
            ),
            #[cfg(feature = "sentinel")]
            Address::Sentinel { sentinels, name } => {
                let login = self.sentinel_login.as_ref();
                let client_name = Arc::clone(&self.client_name);
                let sentinel_master =
                    SentinelMaster::new(sentinels, name, login, self.timeouts, client_name);
                Ok(self.server(sentinel_master.into()))
            }
            #[cfg(not(feature = "sentinel"))]
            Address::Sentinel { .. } => refuse(
                "address",
                "for sentinels, add the feature `sentinel` of this crate",
            ),
        }
    }

    fn server(&self, endpoint: Endpoint) -> Unchecked {
        let store = RedisStore::new(endpoint, self.pool_size, self.timeouts, self.replicas);
        let store = Arc::new(store.watched());
        let checked = Arc::clone(&store);
        let check = move || checked.check(ServerMode::Single).map_err(unusable);
        Unchecked {
            store,
            check: Arc::new(check),
        }
    }

    #[cfg(feature = "cluster")]
    fn cluster(&self, nodes: Vec<ServerAddress>) -> Result<Unchecked, Error> {
        if nodes
            .iter()
            .any(|node| node.info().redis_settings().db() != 0)
        {
            return refuse("address", "of a cluster there is database 0 only");
        }
        let config = NodeConfig {
            pool_size: self.pool_size,
            timeouts: self.timeouts,
            breaker_threshold: self.breaker_threshold,
            replicas: self.replicas,
        };
        let client_name = Arc::clone(&self.client_name);
        let store = Arc::new(ClusterStore::new(
            nodes,
            config,
            client_name,
            self.probe_interval,
        ));
        let checked = Arc::clone(&store);
        let check = move || {
            checked.check().map_err(|failure| {
                unusable(if is_in_no_cluster(&failure) {
                    not_a_cluster(&failure)
                } else {
                    failure
                })
            })
        };
        Ok(Unchecked {
            store,
            check: Arc::new(check),
        })
    }
}

/// Why a child does not use the server yet.
#[derive(Debug, thiserror::Error)]
#[error("the server was not reached before this process was forked")]
struct NotReachedYet;

fn unusable(failure: Failure) -> Unusable {
    Unusable {
        is_away: is_away(&failure),
        error: failure.at("connect"),
    }
}

/// Replaces the server's own words, which do not say what the address should be.
#[cfg(feature = "cluster")]
fn not_a_cluster(failure: &Failure) -> Failure {
    let replaced = Failure::new(FailureKind::Rejected, NotACluster);
    match AtServer::find(&failure.cause) {
        Some(at) => replaced.at_server(|| at.address.clone()),
        None => replaced,
    }
}

#[cfg(feature = "cluster")]
#[derive(Debug, thiserror::Error)]
#[error(
    "that server is none of a cluster; write `redis://host:6379`, or, if it is a Sentinel, \
     `redis+sentinel://host:26379/NAME`"
)]
struct NotACluster;
