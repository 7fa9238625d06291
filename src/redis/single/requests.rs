//! The requests that many threads send at the same time in normal operation: the first read, and
//! the request for a lease. One thread can send them for all.
//!
//! Called by `shared_requests.rs`. Knows the commands and the meaning of their replies. Knows
//! nothing of connections.

use std::{iter, time::Duration};

use redis::{Cmd, RedisResult, Value};

use crate::{
    redis::{
        command::{incomplete, read_answer, read_commands},
        pool::run_request::RetryPolicy,
        reply_size::{ReplySize, bytes},
        request_batcher::CombiningQueue,
        script::{self, Scripts, args, reply, tags},
    },
    store::{
        Acquire, Entry, Failure, Recheck, TagKeys, TagValues, TtlRemaining, keys::Keys,
        token::Token,
    },
};

/// At most this many requests are sent together.
const MOST: usize = 64;

/// The replies together should have at most this many bytes. More bytes take longer than a round
/// trip. The thread that distributes the replies would be delayed, although another connection may
/// be free.
const SHARED_BYTES: usize = 256 << 10;

/// The requests that wait for a connection.
#[derive(Default)]
pub(super) struct CombiningQueues {
    reads: CombiningQueue<ReadRequest, AskResult<ReadRequest>>,
    tagged_reads: CombiningQueue<TaggedReadRequest, AskResult<TaggedReadRequest>>,
    leases: CombiningQueue<LeaseRequest, AskResult<LeaseRequest>>,
    /// Of recent records.
    pub(super) reply_size: ReplySize,
}

/// A request that one thread can send for another.
pub(super) trait Ask: Sized {
    type Answer: Clone;
    const RETRY_POLICY: RetryPolicy;

    /// The queue of the requests of the same kind.
    fn queue(queues: &CombiningQueues) -> &CombiningQueue<Self, AskResult<Self>>;

    /// Whether the two requests are the same, so that one reply answers both.
    fn is_same(&self, other: &Self) -> bool;

    fn commands(&self, scripts: &Scripts) -> impl Iterator<Item = Cmd>;

    /// Converts the complete replies to the commands of this request.
    fn answer(
        &self,
        replies: &mut Vec<RedisResult<Value>>,
        queues: &CombiningQueues,
    ) -> Option<RedisResult<Self::Answer>>;
}

pub(super) type AskResult<Q> = Result<<Q as Ask>::Answer, Failure>;

impl CombiningQueues {
    pub(super) fn most(&self) -> usize {
        (SHARED_BYTES / self.reply_size.bytes().max(1)).clamp(1, MOST)
    }

    /// Learns the size of a record that was read.
    pub(super) fn met(&self, read: &RedisResult<(Entry, TtlRemaining)>) {
        if let Ok((Entry::Record(fields), _)) = read {
            self.reply_size.met(bytes(fields));
        }
    }
}

/// Reads the entry at a data key, and its TTL if `with_ttl` is set.
pub(super) struct ReadRequest {
    pub(super) data: String,
    pub(super) with_ttl: bool,
}

impl Ask for ReadRequest {
    type Answer = (Entry, TtlRemaining);
    const RETRY_POLICY: RetryPolicy = RetryPolicy::Idempotent;

    fn queue(queues: &CombiningQueues) -> &CombiningQueue<ReadRequest, AskResult<ReadRequest>> {
        &queues.reads
    }

    fn is_same(&self, other: &ReadRequest) -> bool {
        self.with_ttl == other.with_ttl && self.data == other.data
    }

    fn commands(&self, _: &Scripts) -> impl Iterator<Item = Cmd> {
        read_commands(&self.data, self.with_ttl)
    }

    fn answer(
        &self,
        replies: &mut Vec<RedisResult<Value>>,
        queues: &CombiningQueues,
    ) -> Option<RedisResult<Self::Answer>> {
        let seen = read_answer(self.with_ttl, replies)?;
        queues.met(&seen);
        Some(seen)
    }
}

/// Reads the entry at a data key, with its TTL if `with_ttl` is set, and some tags.
pub(super) struct TaggedReadRequest {
    pub(super) data: String,
    pub(super) with_ttl: bool,
    pub(super) keys: TagKeys,
}

/// What it reads. `None`: a value is missing.
pub(super) type TaggedRead = (Entry, TtlRemaining, Option<TagValues>);

impl Ask for TaggedReadRequest {
    type Answer = TaggedRead;
    const RETRY_POLICY: RetryPolicy = RetryPolicy::Idempotent;

    fn queue(queues: &CombiningQueues) -> &CombiningQueue<Self, AskResult<Self>> {
        &queues.tagged_reads
    }

    fn is_same(&self, other: &Self) -> bool {
        self.with_ttl == other.with_ttl && self.data == other.data && self.keys == other.keys
    }

    fn commands(&self, _: &Scripts) -> impl Iterator<Item = Cmd> {
        tagged_commands(&self.data, self.with_ttl, &self.keys)
    }

    fn answer(
        &self,
        replies: &mut Vec<RedisResult<Value>>,
        queues: &CombiningQueues,
    ) -> Option<RedisResult<TaggedRead>> {
        let count = if self.with_ttl { 3 } else { 2 };
        (replies.len() == count)
            .then(|| tagged_answer(self.with_ttl, &self.keys, replies.drain(..), queues))
    }
}

/// The order does not matter: see `lua/README.md`.
pub(super) fn tagged_commands(
    data: &str,
    with_ttl: bool,
    keys: &TagKeys,
) -> impl Iterator<Item = Cmd> {
    iter::once(tags::read(keys)).chain(read_commands(data, with_ttl))
}

pub(super) fn tagged_answer(
    with_ttl: bool,
    keys: &TagKeys,
    mut replies: impl Iterator<Item = RedisResult<Value>>,
    queues: &CombiningQueues,
) -> RedisResult<TaggedRead> {
    let values = replies.next().ok_or_else(incomplete)?;
    let read = read_answer(with_ttl, &mut replies.collect()).ok_or_else(incomplete)?;
    queues.met(&read);
    let (entry, left) = read?;
    Ok((entry, left, tags::values(&values?, keys)?))
}

/// Asks for the lease of a record.
pub(super) struct LeaseRequest {
    pub(super) keys: Keys,
    pub(super) token: Token,
    pub(super) ttl: Duration,
    pub(super) recheck: Recheck,
}

impl Ask for LeaseRequest {
    /// `None`: the server does not know the script.
    type Answer = Option<Acquire>;
    const RETRY_POLICY: RetryPolicy = RetryPolicy::Never;

    fn queue(queues: &CombiningQueues) -> &CombiningQueue<LeaseRequest, AskResult<LeaseRequest>> {
        &queues.leases
    }

    /// Never the same: each request has its own token.
    fn is_same(&self, _: &LeaseRequest) -> bool {
        false
    }

    fn commands(&self, scripts: &Scripts) -> impl Iterator<Item = Cmd> {
        let mut ask = scripts.acquire.request(&self.keys);
        args::write_acquire(&mut ask, &self.keys, self.token, self.ttl, self.recheck);
        iter::once(ask)
    }

    fn answer(
        &self,
        replies: &mut Vec<RedisResult<Value>>,
        _: &CombiningQueues,
    ) -> Option<RedisResult<Self::Answer>> {
        Some(match replies.pop()? {
            Ok(reply) => reply::acquired(reply, self.keys.floor.is_some()).map(Some),
            Err(error) if script::is_unknown(&error) => Ok(None),
            Err(error) => Err(error),
        })
    }
}
