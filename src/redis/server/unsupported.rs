//! The reasons why a cache cannot use a server, as messages.

use super::version::{OLDEST, Version};

/// Why a cache cannot use a server, and what the user can do.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnsupportedServer {
    #[error(
        "this is Redis {0}, and a cache needs {OLDEST} or later: in older versions EXEC ignores that a \
         watched record has expired, and an update would leave a part of it"
    )]
    TooOld(Version),
    #[error(
        "this is a node of a Redis Cluster, which holds only some of the keys: write \
         `redis+cluster://host:port`, with the feature `cluster`"
    )]
    Cluster,
    #[error(
        "this is a Sentinel, which holds no keys: write `redis+sentinel://host:port/NAME`, with the \
         feature `sentinel` and the name of the master it watches"
    )]
    Sentinel,
}
