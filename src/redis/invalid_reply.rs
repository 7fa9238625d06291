//! Replies that do not fit their request. A Redis server never sends them.

#[cfg(feature = "cluster")]
use redis::ServerErrorKind;
use redis::{ErrorKind, RedisError};

#[cfg(feature = "cluster")]
use super::{address::node_address::host_and_port, slot::Slot};

/// The reply does not fit the request. Has no cause: redis-rs quotes the reply in its error, and
/// the reply may contain a record.
#[derive(Debug, thiserror::Error)]
#[error("the reply is invalid; is that a Redis server?")]
pub(crate) struct InvalidReply;

/// The error for a reply that does not follow the protocol.
pub(crate) fn invalid_reply(what: &'static str) -> RedisError {
    (ErrorKind::UnexpectedReturnType, what).into()
}

pub(crate) fn is_invalid_reply(error: &RedisError) -> bool {
    let is_unreadable = matches!(
        error.kind(),
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType
    );
    is_unreadable || redirects_nowhere(error)
}

/// Whether the reply redirects to a slot or an address that cannot exist.
#[cfg(feature = "cluster")]
fn redirects_nowhere(error: &RedisError) -> bool {
    let ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask) = error.kind() else {
        return false;
    };
    let target = error.redirect_node();
    target
        .is_none_or(|(address, slot)| Slot::new(slot).is_none() || host_and_port(address).is_none())
}

#[cfg(not(feature = "cluster"))]
fn redirects_nowhere(_: &RedisError) -> bool {
    false
}
