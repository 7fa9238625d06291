//! Where connections come from: a server at an address, or whichever the sentinels say.

use std::sync::Arc;

use redis::{Client, Connection, ConnectionInfo, ProtocolVersion, RedisError, RedisResult};

#[cfg(feature = "sentinel")]
use super::sentinel::Followed;
use super::{
    Failure,
    cause::{AtServer, failure, hint, unopened},
    open::open,
    timeouts::Timeouts,
};

/// A server to connect to.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// The one at an address.
    Fixed(Arc<Client>),
    /// Whichever the sentinels say.
    #[cfg(feature = "sentinel")]
    Followed(Arc<Followed>),
}

impl From<Client> for Source {
    fn from(client: Client) -> Source {
        Source::Fixed(Arc::new(client))
    }
}

impl Source {
    /// The login; and the address, where that is fixed.
    pub(super) fn info(&self) -> &ConnectionInfo {
        match self {
            Source::Fixed(client) => client.get_connection_info(),
            #[cfg(feature = "sentinel")]
            Source::Followed(followed) => followed.login(),
        }
    }

    /// Counts the servers that it has been. What was opened in another term leads to one that it is no more.
    pub(super) fn term(&self) -> u64 {
        match self {
            Source::Fixed(_) => 0,
            #[cfg(feature = "sentinel")]
            Source::Followed(followed) => followed.term(),
        }
    }

    /// Whether the server says that it isn't the one it was.
    pub(super) fn is_deposed(&self, error: &RedisError) -> bool {
        !matches!(self, Source::Fixed(_)) && error.code() == Some("READONLY")
    }

    /// Opens a connection, and says in which term.
    pub(super) fn open(
        &self,
        timeouts: Timeouts,
        protocol: Option<ProtocolVersion>,
    ) -> Result<(Connection, u64), Failure> {
        match self {
            Source::Fixed(client) => open(client.get_connection_info(), timeouts, protocol)
                .map(|connection| (connection, 0))
                .map_err(|error| unopened(error, timeouts.connect)),
            #[cfg(feature = "sentinel")]
            Source::Followed(followed) => followed.open(timeouts, protocol),
        }
    }

    /// Runs a request on a connection of its own, outside any pool, so that a refusal comes back at once, in the server's
    /// words, and with its address.
    pub(super) fn run_alone<T>(
        &self,
        timeouts: Timeouts,
        run: impl FnOnce(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, Failure> {
        let opened = self.open(timeouts, None);
        let done = opened.and_then(|(mut connection, _)| {
            run(&mut connection).map_err(|error| failure(error, timeouts.io))
        });
        done.map_err(|failure| self.at_server(failure))
    }

    /// A failure with the address of the server it came from.
    pub(super) fn at_server(&self, Failure { symptom, cause }: Failure) -> Failure {
        let cause = Arc::new(AtServer {
            address: self.name(),
            hint: hint(self.info().addr(), &*cause),
            cause,
        });
        Failure { symptom, cause }
    }

    pub(super) fn name(&self) -> String {
        match self {
            Source::Fixed(client) => client.get_connection_info().addr().to_string(),
            #[cfg(feature = "sentinel")]
            Source::Followed(followed) => followed.to_string(),
        }
    }
}
