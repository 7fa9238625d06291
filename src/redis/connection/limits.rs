//! The limits of one connection, and the errors of requests that exceed them.
//!
//! Used by the parts of a connection. The errors become the causes that callers get.

use std::{io, time::Duration};

use redis::RedisError;

use crate::record::fields::Fields;

/// The memory of one element of a reply, without its text. A little more than that of a
/// `redis::Value`.
pub(super) const ELEMENT: usize = 64;

/// How long a request on a connection may take, and how large its reply may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// For silence: while a request is written, and while its reply is awaited.
    pub(crate) io: Duration,
    /// For a whole request.
    pub(crate) request: Duration,
    /// The memory of one reply, in bytes.
    pub(crate) reply: usize,
}

/// A request whose reply arrives so slowly that it takes too long as a whole.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("no complete answer within {within:?}")]
pub(crate) struct RequestTimeout {
    pub(crate) within: Duration,
}

pub(super) fn too_slow(within: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, RequestTimeout { within })
}

/// A reply that is larger than allowed.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the reply takes more than {limit} bytes of memory, the limit that `max_reply_size` sets")]
pub(crate) struct ReplyTooLarge {
    pub(crate) limit: usize,
}

pub(super) fn too_large(limit: usize) -> RedisError {
    io::Error::new(io::ErrorKind::InvalidData, ReplyTooLarge { limit }).into()
}

/// The memory of the reply with this record.
pub(crate) fn reply_bytes(record: &Fields) -> usize {
    record
        .iter()
        .map(|(name, value)| 2 * ELEMENT + name.len() + value.len())
        .sum()
}
