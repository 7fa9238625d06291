//! From an address to the store behind it: a server, a cluster, or the server that sentinels name.

use std::sync::Arc;

use redis::{Client, ConnectionInfo};

use super::RedisBuilder;
#[cfg(feature = "sentinel")]
use crate::redis::sentinel::SentinelMaster;
#[cfg(feature = "cluster")]
use crate::redis::{
    cluster::{ClusterStore, node::NodeConfig},
    error::is_in_no_cluster,
};
use crate::{
    error::Error,
    redis::{endpoint::Endpoint, server_info::ServerMode, single::RedisStore, url::Address},
    store::{Failure, Store},
    util::limits::{failed, refuse},
};

impl RedisBuilder {
    /// What the address leads to, checked unless that is not wanted.
    pub(super) fn store(&self) -> Result<Arc<dyn Store>, Error> {
        let address = Address::parse(&self.url)?;
        #[cfg(feature = "tls")]
        let address = address.map(|host| self.certificates.with(host))?;
        match address {
            Address::Server(info) => self.server(client(info)?.into()),
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
                let sentinel_master = SentinelMaster::new(sentinels, name, login, self.timeouts);
                self.server(sentinel_master.into())
            }
            #[cfg(not(feature = "sentinel"))]
            Address::Sentinel { .. } => refuse(
                "address",
                "for sentinels, add the feature `sentinel` of this crate",
            ),
        }
    }

    fn server(&self, endpoint: Endpoint) -> Result<Arc<dyn Store>, Error> {
        let store = RedisStore::new(endpoint, self.pool_size, self.timeouts, self.replicas);
        if !self.lazy {
            store.check(ServerMode::Single).map_err(unreached)?;
        }
        Ok(Arc::new(store.watched()))
    }

    #[cfg(feature = "cluster")]
    fn cluster(&self, nodes: Vec<ConnectionInfo>) -> Result<Arc<dyn Store>, Error> {
        if nodes.iter().any(|node| node.redis_settings().db() != 0) {
            return refuse("address", "of a cluster there is database 0 only");
        }
        let seeds = nodes.into_iter().map(client).collect::<Result<_, _>>()?;
        let terms = NodeConfig {
            pool_size: self.pool_size,
            timeouts: self.timeouts,
            breaker_threshold: self.breaker_threshold,
            replicas: self.replicas,
        };
        let store = ClusterStore::new(seeds, terms, self.probe_interval);
        if !self.lazy {
            store.check().or_else(|failure| {
                if is_in_no_cluster(&failure) {
                    let other = "that server is none of a cluster; write `redis://host:6379`, or, if it is a Sentinel, \
                                 `redis+sentinel://host:26379/NAME`";
                    return refuse("address", other);
                }
                Err(unreached(failure))
            })?;
        }
        Ok(Arc::new(store))
    }
}

fn unreached(failure: Failure) -> Error {
    failure.at("connect")
}

fn client(info: ConnectionInfo) -> Result<Client, Error> {
    Client::open(info).map_err(|error| failed("address", &error))
}
