//! Where connections lead: to a server at an address, or to the master that the sentinels name.

use std::sync::Arc;

use redis::{Client, ConnectionInfo, ProtocolVersion, RedisError, RedisResult};

#[cfg(feature = "sentinel")]
use super::sentinel::SentinelMaster;
use super::{
    error::{failure, hint},
    opened::{Opened, open_at},
    other_server::is_read_only,
    server_epoch::ServerEpoch,
    timeouts::Timeouts,
};
use crate::{error::cause::AtServer, store::Failure};

/// A server to connect to.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    route: Route,
    epoch: Arc<ServerEpoch>,
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

impl From<Client> for Endpoint {
    fn from(client: Client) -> Endpoint {
        Endpoint {
            route: Route::Fixed(Arc::new(client)),
            epoch: Arc::default(),
        }
    }
}

#[cfg(feature = "sentinel")]
impl From<Arc<SentinelMaster>> for Endpoint {
    fn from(sentinel_master: Arc<SentinelMaster>) -> Endpoint {
        Endpoint {
            epoch: Arc::clone(sentinel_master.epoch()),
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
                let opening = self.epoch.opening();
                let at = (client.get_connection_info(), &*self.epoch, opening);
                open_at(at, timeouts, protocol, |_| Ok(()))
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

    /// A failure of the first request to a server: with the address, and what may be wrong with it.
    pub(crate) fn at_server(&self, failure: Failure) -> Failure {
        let cause = Arc::new(AtServer {
            address: self.name(),
            hint: hint(self.info().addr(), &failure),
            cause: failure.cause,
        });
        Failure { cause, ..failure }
    }

    pub(crate) fn name(&self) -> String {
        match &self.route {
            Route::Fixed(client) => client.get_connection_info().addr().to_string(),
            #[cfg(feature = "sentinel")]
            Route::SentinelMaster(sentinel_master) => sentinel_master.to_string(),
        }
    }
}
