//! The steps for entries under tags, on one server.
//!
//! Called through [`TaggedStore`]. Knows no loaders.

#[cfg(feature = "cluster")]
use std::iter;
use std::time::Duration;

use redis::{RedisResult, Value};

use super::{
    requests::{TaggedReadRequest, tagged_answer, tagged_commands},
    store::RedisStore,
};
#[cfg(feature = "cluster")]
use crate::redis::pool::send_ahead::SentAhead;
use crate::{
    redis::{
        command::incomplete,
        connection::Connection,
        pipeline::{self, FEW_REQUESTS},
        pool::run_request::RetryPolicy,
        script::{tags, truth},
    },
    store::{Entry, Failure, TagKeys, TagValues, TaggedStore, TtlRemaining},
};

impl TaggedStore for RedisStore {
    fn read_tags(&self, keys: &TagKeys, life: Duration) -> Result<TagValues, Failure> {
        self.run(RetryPolicy::Idempotent, |connection| {
            let reply = tags::read(keys).query(connection)?;
            match tags::values(&reply, keys)? {
                Some(values) => Ok(values),
                None => self.give(connection, keys, life),
            }
        })
    }

    fn read_under_tags(
        &self,
        data: &str,
        with_ttl: bool,
        keys: &TagKeys,
        life: Duration,
    ) -> Result<(Entry, TtlRemaining, TagValues), Failure> {
        let alone = |connection: &mut Connection| {
            let commands = tagged_commands(data, with_ttl, keys);
            // The replies to `MGET` and `HGETALL` have one form. The `PING` at the end shows that
            // none is missing.
            let replies = pipeline::stream(connection, FEW_REQUESTS, commands)?;
            let replies = replies.into_iter().map(Value::extract_error);
            tagged_answer(with_ttl, keys, replies, &self.queues)
        };
        let read = self.ask(alone, || TaggedReadRequest {
            data: data.to_owned(),
            with_ttl,
            keys: keys.clone(),
        });
        let (entry, left, values) = read.map_err(|failure| self.or_cut(failure))?;
        let values = match values {
            Some(values) => values,
            None => self.run(RetryPolicy::Idempotent, |connection| {
                self.give(connection, keys, life)
            })?,
        };
        Ok((entry, left, values))
    }

    fn keep_tags(&self, keys: &TagKeys, life: Duration) -> Result<(), Failure> {
        self.run(RetryPolicy::Idempotent, |connection| {
            self.give(connection, keys, life).map(drop)
        })
    }

    fn invalidate_tags(
        &self,
        keys: &TagKeys,
        life: Duration,
        lag: Option<Duration>,
    ) -> Result<(), Failure> {
        let script = &self.tag_scripts.invalidate_tags;
        // It always changes something, so there is something to wait for.
        self.run_replicated(RetryPolicy::Idempotent, |connection| {
            let request = tags::invalidate(script, keys, life, lag);
            truth(&script.send(connection, &request)?).map(drop)
        })
    }
}

impl RedisStore {
    /// Sends the command that reads the tags on a free connection, and reads no reply. `None`: no
    /// connection is free.
    #[cfg(feature = "cluster")]
    pub(in crate::redis) fn send_tags(&self, keys: &TagKeys) -> Option<SentAhead> {
        self.connections.send_ahead(iter::once(tags::read(keys)))
    }

    /// Reads the reply. `None`: a value is missing, or the connection broke off.
    #[cfg(feature = "cluster")]
    pub(in crate::redis) fn finish_tags(
        &self,
        keys: &TagKeys,
        sent: SentAhead,
    ) -> Result<Option<TagValues>, Failure> {
        let mut values = None;
        let done = self.connections.read_sent(sent, |reply| {
            values = tags::values(&reply.extract_error()?, keys)?;
            Ok(())
        });
        match done {
            Ok(()) => Ok(values),
            Err(broken) if broken.may_repeat => Ok(None),
            Err(broken) => Err(broken.failure),
        }
    }

    /// Gives values where they are missing, and lengthens the lives of all.
    fn give(
        &self,
        connection: &mut Connection,
        keys: &TagKeys,
        life: Duration,
    ) -> RedisResult<TagValues> {
        let script = &self.tag_scripts.read_tags;
        let request = tags::read_or_give(script, keys, life);
        let reply = script.send(connection, &request)?;
        tags::values(&reply, keys)?.ok_or_else(incomplete)
    }
}
