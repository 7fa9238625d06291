//! The meaning of replies on the connection of a listener. Pure: sends nothing.

use std::{fmt, io, time::Duration};

use redis::RedisError;

use crate::{
    redis::error,
    store::{Failure, FailureKind},
};

/// Whether the node owns the slot. While a slot is being moved, its owner answers `ASK` for a key
/// that it does not have.
pub(super) fn is_still_owner(code: Option<&str>) -> bool {
    code == Some("ASK")
}

/// The failure of a node that did not confirm that it owns the slot of the probe key.
pub(super) fn probe_failure(error: RedisError, within: Duration) -> Failure {
    if error.code() == Some("MOVED") {
        return Failure::new(
            FailureKind::Unavailable,
            "slots of the node have moved to another node",
        );
    }
    error::failure(error, within)
}

/// Whether nothing arrived in time, or a signal interrupted the read. A signal does so when this
/// process is stopped and continued.
pub(super) fn is_only_late(error: &RedisError) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    let kind = error::io_error(error).map(io::Error::kind);
    matches!(kind, Some(WouldBlock | TimedOut | Interrupted))
}

/// The reply is not an answer to a heartbeat.
#[derive(Debug)]
pub(super) struct Unexpected;

impl fmt::Display for Unexpected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the reply does not answer a PING")
    }
}

impl std::error::Error for Unexpected {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_wait_that_ended_is_late() {
        use io::ErrorKind::{
            ConnectionReset, Interrupted, InvalidData, TimedOut, UnexpectedEof, WouldBlock,
        };
        let is_late = |kind: io::ErrorKind| is_only_late(&io::Error::from(kind).into());
        assert!([WouldBlock, TimedOut, Interrupted].into_iter().all(is_late));
        // A push that is too large, or TLS that is broken, stays so at each read.
        assert!(
            ![InvalidData, UnexpectedEof, ConnectionReset]
                .into_iter()
                .any(is_late)
        );
    }
}
