//! Why there can be no cache on a server, in words for people.

use std::{error::Error as StdError, fmt};

use super::version::{OLDEST, Version};

/// Why there can be no cache on a server, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum UnsupportedServer {
    TooOld(Version),
    Cluster,
    Sentinel,
}

impl fmt::Display for UnsupportedServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnsupportedServer::TooOld(version) => write!(
                f,
                "this is Redis {version}, and a cache needs {OLDEST} or later: before, EXEC doesn't mind that a watched \
                 record has lapsed, and an update would leave a part of it"
            ),
            UnsupportedServer::Cluster => f.write_str(
                "this is a node of a Redis Cluster, which has only a part of the keys: write \
                 `redis+cluster://host:port`, with the feature `cluster`",
            ),
            UnsupportedServer::Sentinel => f.write_str(
                "this is a Sentinel, which has no keys: write `redis+sentinel://host:port/NAME`, with the feature \
                 `sentinel` and the name of the master it watches",
            ),
        }
    }
}

impl StdError for UnsupportedServer {}
