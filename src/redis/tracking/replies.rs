//! The meaning of replies on the connection of a listener. Pure: sends nothing.

use std::{fmt, time::Duration};

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
    error.is_io_error() && !error.is_connection_dropped()
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
