//! The destination of connections: a server at an address, or the master that the sentinels name.
//!
//! Called by pools, listeners and checks. Knows no pools.

use std::sync::Arc;

use redis::{ConnectionInfo, ProtocolVersion, RedisError, RedisResult};

#[cfg(feature = "sentinel")]
use super::sentinel::SentinelMaster;
use super::{
    address::{resolver::Resolver, server_address::ServerAddress},
    error::{failure, hint},
    opened::{Destination, Opened, open_at},
    server::{
        epoch::{Opening, ServerEpoch},
        other_server::is_read_only,
        text::printable,
    },
    timeouts::Timeouts,
};
use crate::{error::cause::AtServer, store::Failure};

/// A server to connect to.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    route: Route,
    epoch: Arc<ServerEpoch>,
    /// The name of connections.
    client_name: Arc<str>,
}

/// How the server is found.
#[derive(Debug, Clone)]
enum Route {
    /// By a fixed address. `None`: it contains no host name.
    Fixed(Arc<ServerAddress>, Option<Arc<Resolver<Opening>>>),
    /// By asking the sentinels.
    #[cfg(feature = "sentinel")]
    SentinelMaster(Arc<SentinelMaster>),
}

impl Endpoint {
    /// A server at an address.
    pub(crate) fn at(address: ServerAddress, client_name: Arc<str>) -> Endpoint {
        let resolver = Resolver::of(address.info().addr()).map(Arc::new);
        Endpoint {
            route: Route::Fixed(Arc::new(address), resolver),
            epoch: Arc::default(),
            client_name,
        }
    }
}

#[cfg(feature = "sentinel")]
impl From<Arc<SentinelMaster>> for Endpoint {
    fn from(sentinel_master: Arc<SentinelMaster>) -> Endpoint {
        Endpoint {
            epoch: Arc::clone(sentinel_master.epoch()),
            client_name: Arc::clone(sentinel_master.client_name()),
            route: Route::SentinelMaster(sentinel_master),
        }
    }
}

impl Endpoint {
    /// The login, and the address if it is fixed.
    pub(crate) fn info(&self) -> &ConnectionInfo {
        self.address().info()
    }

    /// The address if it is fixed. Otherwise that of a sentinel, with the login of the server.
    pub(crate) fn address(&self) -> &ServerAddress {
        match &self.route {
            Route::Fixed(address, _) => address,
            #[cfg(feature = "sentinel")]
            Route::SentinelMaster(sentinel_master) => sentinel_master.login(),
        }
    }

    /// The epoch that identifies connections to a former server.
    pub(crate) fn epoch(&self) -> &ServerEpoch {
        &self.epoch
    }

    /// The sentinels that know where the server is, if there are any.
    #[cfg(feature = "sentinel")]
    pub(crate) fn sentinel_master(&self) -> Option<&Arc<SentinelMaster>> {
        match &self.route {
            Route::Fixed(..) => None,
            Route::SentinelMaster(sentinel_master) => Some(sentinel_master),
        }
    }

    /// Whether the server refuses a write because it is no longer the master. A server that has
    /// always been a replica does not count.
    pub(crate) fn is_demoted(&self, error: &RedisError) -> bool {
        is_read_only(error) && !self.epoch.is_replica()
    }

    /// Opens a connection.
    pub(crate) fn open(
        &self,
        timeouts: Timeouts,
        protocol: Option<ProtocolVersion>,
    ) -> Result<Opened, Failure> {
        match &self.route {
            Route::Fixed(address, resolver) => {
                let to = Destination {
                    address,
                    client_name: &self.client_name,
                    epoch: &self.epoch,
                    opening: self.epoch.opening(),
                    resolver: resolver.as_deref(),
                };
                open_at(to, timeouts, protocol, |_| Ok(()))
            }
            #[cfg(feature = "sentinel")]
            Route::SentinelMaster(sentinel_master) => sentinel_master.open(timeouts, protocol),
        }
    }

    /// Runs a request on a separate connection, outside any pool. So a refusal is returned at once,
    /// with the server's own message and address.
    pub(crate) fn run_alone<T>(
        &self,
        timeouts: Timeouts,
        run: impl FnOnce(&mut Opened) -> RedisResult<T>,
    ) -> Result<T, Failure> {
        let opened = self.open(timeouts, None);
        let done = opened
            .and_then(|mut opened| run(&mut opened).map_err(|error| failure(error, timeouts.io)));
        done.map_err(|failure| self.at_server(failure))
    }

    /// Adds the address of the server to a failure.
    pub(crate) fn at_server(&self, failure: Failure) -> Failure {
        let cause = Arc::new(AtServer {
            address: self.name(),
            hint: hint(self.info().addr(), &failure),
            cause: failure.cause,
        });
        Failure { cause, ..failure }
    }

    /// The address, for messages. Other servers may have reported it.
    pub(crate) fn name(&self) -> String {
        let name = match &self.route {
            Route::Fixed(address, _) => address.info().addr().to_string(),
            #[cfg(feature = "sentinel")]
            Route::SentinelMaster(sentinel_master) => sentinel_master.to_string(),
        };
        printable(&name).into_owned()
    }
}
