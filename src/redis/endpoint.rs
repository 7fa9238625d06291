//! Where connections lead: to a server at an address, or to the master that the sentinels name.

use std::sync::Arc;

use redis::{Client, ConnectionInfo, ProtocolVersion, RedisError, RedisResult};

#[cfg(feature = "sentinel")]
use super::sentinel::SentinelMaster;
use super::{
    error::{AtServer, failure, hint},
    opened::{Destination, Opened, open_at},
    other_server::is_read_only,
    server_epoch::ServerEpoch,
    timeouts::Timeouts,
};
use crate::store::Failure;

/// A server to connect to.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    route: Route,
    epoch: Arc<ServerEpoch>,
    /// What connections call themselves.
    client_name: Arc<str>,
}

/// How it is found.
#[derive(Debug, Clone)]
enum Route {
    /// At an address.
    Fixed(Arc<Client>),
    /// The sentinels say where.
    #[cfg(feature = "sentinel")]
    SentinelMaster(Arc<SentinelMaster>),
}

impl Endpoint {
    /// A server at an address.
    pub(crate) fn at(client: Client, client_name: Arc<str>) -> Endpoint {
        Endpoint {
            route: Route::Fixed(Arc::new(client)),
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
    /// The login; and the address, where that is fixed.
    pub(crate) fn info(&self) -> &ConnectionInfo {
        match &self.route {
            Route::Fixed(client) => client.get_connection_info(),
            #[cfg(feature = "sentinel")]
            Route::SentinelMaster(sentinel_master) => sentinel_master.login(),
        }
    }

    /// By which a connection is known that leads to a former server.
    pub(crate) fn epoch(&self) -> &ServerEpoch {
        &self.epoch
    }

    /// The sentinels that are to be asked where the server is.
    #[cfg(feature = "sentinel")]
    pub(crate) fn sentinel_master(&self) -> Option<&Arc<SentinelMaster>> {
        match &self.route {
            Route::Fixed(_) => None,
            Route::SentinelMaster(sentinel_master) => Some(sentinel_master),
        }
    }

    /// Whether the server refuses a write because it is a master no more. One that was a replica
    /// all the time always refused.
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
            Route::Fixed(client) => {
                let to = Destination {
                    info: client.get_connection_info(),
                    client_name: &self.client_name,
                    epoch: &self.epoch,
                    opening: self.epoch.opening(),
                };
                open_at(to, timeouts, protocol, |_| Ok(()))
            }
            #[cfg(feature = "sentinel")]
            Route::SentinelMaster(sentinel_master) => sentinel_master.open(timeouts, protocol),
        }
    }

    /// Runs a request on a connection of its own, outside any pool, so that a refusal comes back at
    /// once, in the server's words, and with its address.
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

    /// A failure with the address of the server it came from.
    pub(crate) fn at_server(&self, Failure { kind, cause }: Failure) -> Failure {
        let cause = Arc::new(AtServer {
            address: self.name(),
            hint: hint(self.info().addr(), &*cause),
            cause,
        });
        Failure { kind, cause }
    }

    pub(crate) fn name(&self) -> String {
        match &self.route {
            Route::Fixed(client) => client.get_connection_info().addr().to_string(),
            #[cfg(feature = "sentinel")]
            Route::SentinelMaster(sentinel_master) => sentinel_master.to_string(),
        }
    }
}
