//! Records so large that a server may close the connection: during the fill, or during a reply.
//!
//! A server closes the connection in the middle of a value that is longer than its
//! `proto-max-bulk-len`. A managed service or a proxy may have its own limit. To the client, that
//! looks like a lost server. `availability.rs` distinguishes the two. Such a record is also
//! not sent repeatedly, because each attempt costs the pool its connections. The cache cannot ask
//! for the limit, because an ACL may deny it `CONFIG`.
//!
//! It also closes a connection whose unread replies exceed its `client-output-buffer-limit`, or
//! that takes too much of its `maxmemory-clients`. A record may be filled and yet be too large to
//! be read. Nothing is remembered in that case: the limit may be that of a batch.
//!
//! Called by the steps on one server.

use redis::RedisResult;

use super::{refused_length::ALWAYS_TAKEN, store::RedisStore};
use crate::{
    record::fields::Fields,
    redis::{
        connection::{Connection, limits::reply_bytes},
        error::{is_lost, is_protocol_error, redis_error},
        pool::run_request::RetryPolicy,
        reply_size::bytes,
    },
    store::{BatchResult, Completion, CompletionKind, Failure, FailureKind, batch::one_by_one},
};

fn longest(record: &Fields) -> usize {
    let values = record
        .iter()
        .map(|(name, value)| name.len().max(value.len()));
    values.max().unwrap_or_default()
}

impl RedisStore {
    fn is_large(&self, load: &Completion<'_>) -> bool {
        let (CompletionKind::Fill(_, record) | CompletionKind::FillAt(_, record, _)) = load.end
        else {
            return false;
        };
        self.is_large_record(record)
    }

    pub(super) fn is_large_record(&self, record: &Fields) -> bool {
        bytes(record) > ALWAYS_TAKEN || self.is_unreadable(record)
    }

    /// Whether the reply with this record would be larger than a reply may be.
    fn is_unreadable(&self, record: &Fields) -> bool {
        reply_bytes(record) > self.connections.timeouts().max_reply
    }

    /// Sends the fill of a record.
    pub(super) fn send_fill(
        &self,
        record: &Fields,
        send: impl FnMut(&mut Connection) -> RedisResult<bool>,
    ) -> Result<bool, Failure> {
        let bytes = bytes(record);
        if self.is_unreadable(record) {
            let limit = self.connections.timeouts().max_reply;
            let unreadable = Unreadable { bytes, limit };
            return Err(Failure::new(FailureKind::Rejected, unreadable));
        }
        self.queues.reply_size.met(bytes);
        if bytes <= ALWAYS_TAKEN {
            return self.run(RetryPolicy::Idempotent, send);
        }
        let longest = longest(record);
        let refused = || {
            let too_large = TooLarge { bytes, longest };
            let failure = Failure::new(FailureKind::Rejected, too_large);
            self.connections.at_server(failure)
        };
        if self.refused_length.is_reached(longest) {
            return Err(refused());
        }
        let failure = match self.run(RetryPolicy::Idempotent, send) {
            Err(failure) if is_cut_off(&failure) => failure,
            done => return done,
        };
        // The connection was lost twice, or the server has said why it closes it. If the server is
        // alive, it closed both because of this request.
        if !matches!(failure.kind, FailureKind::Partial | FailureKind::Rejected) {
            return Err(failure);
        }
        self.refused_length.note(longest);
        Err(refused())
    }

    /// Names the probable reason if the server closed the connection during the reply, twice, and
    /// yet is alive.
    pub(super) fn or_cut(&self, failure: Failure) -> Failure {
        if failure.kind != FailureKind::Partial || !is_cut_off(&failure) {
            return failure;
        }
        self.connections
            .at_server(Failure::new(FailureKind::Partial, ReplyCut))
    }

    /// Ends many loads. A large record is sent in a separate request. If the server closes the
    /// connection because of it, no other request in the pipeline is lost.
    pub(super) fn finish_many(&self, loads: &[Completion<'_>]) -> BatchResult<bool> {
        for load in loads {
            if let CompletionKind::Fill(_, record) | CompletionKind::FillAt(_, record, _) = load.end
            {
                self.queues.reply_size.met(bytes(record));
            }
        }
        if !loads.iter().any(|load| self.is_large(load)) {
            return self.finish_together(loads);
        }
        let (large, small): (Vec<_>, Vec<_>) =
            loads.iter().copied().partition(|load| self.is_large(load));
        let small = if small.is_empty() {
            Vec::new()
        } else {
            self.finish_together(&small)?
        };
        let large = one_by_one(&large, |load| load.finish(self))?;
        let (mut small, mut large) = (small.into_iter(), large.into_iter());
        let done = loads.iter().filter_map(|load| {
            if self.is_large(load) {
                large.next()
            } else {
                small.next()
            }
        });
        Ok(done.collect())
    }
}

/// Whether the connection was closed during this request, for any reason.
fn is_cut_off(failure: &Failure) -> bool {
    redis_error(failure).is_some_and(|error| is_lost(error) || is_protocol_error(error))
}

/// The record would be refused when it is read.
#[derive(Debug, thiserror::Error)]
#[error("a record of {bytes} bytes takes more than {limit} bytes as a reply; see `max_reply_size`")]
struct Unreadable {
    bytes: usize,
    limit: usize,
}

/// The server, or a proxy before it, does not accept a record of this size.
#[derive(Debug, thiserror::Error)]
#[error(
    "the server closes the connection on a record of {bytes} bytes, whose longest value has \
     {longest}; see `proto-max-bulk-len`, or the limits of your service"
)]
struct TooLarge {
    bytes: usize,
    longest: usize,
}

/// The server closed the connections on which it should have sent a reply.
#[derive(Debug, thiserror::Error)]
#[error(
    "the server closes the connection during its reply; see `client-output-buffer-limit` and \
     `maxmemory-clients`, or the limits of your service"
)]
struct ReplyCut;
