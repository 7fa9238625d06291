//! What can be done with the keys of a record while its slot is being moved: one at a time.
//!
//! A key is then at its old node until it has been handed over in one step, and at its new one afterwards; the old node
//! sends those who ask for a key that it hasn't (any more) to the new one, for that once (`ASK`). With two keys, of which one is
//! nearly always not there, both nodes refuse (`TRYAGAIN`). So until the slot has been moved nothing is filled, no lease
//! is to be had, and lookups that miss go without Redis; but what stands there is still read, and **it can be
//! invalidated**: in two steps, first the lease, then the record.
//!
//! In this order that is as good as one. From the first step on no load that began before it can fill. So whatever
//! old record stands there after it stood there before, and the second step deletes it, or it has gone already. The other
//! way around, an old load could fill in between. (So does `clear.rs` with all of them.)
//!
//! And each at both nodes: where a handing over broke off (`IOERR`), a key may stand at both, and the one at the new node would be
//! read when the slot is its own.
//!
//! Where replicas are waited for, that is for what this call itself has changed: a mark, as `replicated.rs` sets one, would be sent to
//! the other node.

use redis::{Cmd, Connection, FromRedisValue, RedisResult, Value, cmd};

use super::ClusterStore;
use crate::{
    key::Keys,
    store::{
        Entry, Failure, TtlRemaining,
        command::{entry, entry_with_ttl},
        connection::Conduct,
        pipeline,
        redis::RedisStore,
    },
    token::Token,
};

impl ClusterStore {
    pub(super) fn invalidate_apart(&self, keys: &Keys) -> Result<bool, Failure> {
        self.wherever(&keys.lease, |store, asking| {
            store.end_lease_alone(&keys.lease, asking)
        })?;
        self.wherever(&keys.data, |store, asking| {
            store.unlink_alone(&keys.data, asking)
        })
    }

    /// Does so at each of the two nodes: the old one sends to the new one only those who ask for what it hasn't, so that is asked
    /// again. True: at one of them there was something.
    fn wherever(
        &self,
        key: &str,
        step: impl Fn(&RedisStore, bool) -> Result<bool, Failure>,
    ) -> Result<bool, Failure> {
        let here = self.at(key, &step)?;
        let there = self.at(key, &step)?;
        Ok(here || there)
    }
}

/// What the four commands of a look are answered.
type Asked = (Value, RedisResult<i64>, Value, RedisResult<Value>);

impl RedisStore {
    fn end_lease_alone(&self, lease: &str, asking: bool) -> Result<bool, Failure> {
        let end_lease = &self.scripts.end_lease;
        self.run_replicated(Conduct::Repeatable, None, |connection| {
            end_lease.load(connection)?;
            let mut request = end_lease.request_on(lease);
            request.arg(Token::random().as_bytes());
            one(connection, &request, asking)
        })
    }

    fn unlink_alone(&self, data: &str, asking: bool) -> Result<bool, Failure> {
        let mut unlink = cmd("UNLINK");
        unlink.arg(data);
        self.run_replicated(Conduct::Repeatable, None, |connection| {
            one(connection, &unlink, asking)
        })
    }

    /// The first look at a key that the node has not in its charge yet.
    pub(super) fn read_asking(
        &self,
        data: &str,
        with_ttl: bool,
    ) -> Result<(Entry, TtlRemaining), Failure> {
        self.run(Conduct::Repeatable, |connection| {
            let mut look = redis::pipe();
            look.ignore_errors();
            // In this order, as in `command.rs`.
            look.cmd("ASKING").cmd("PTTL").arg(data);
            look.cmd("ASKING").cmd("HGETALL").arg(data);
            let (_, left, _, fields): Asked = pipeline::query(&look, connection)?;
            if with_ttl {
                entry_with_ttl(left, fields)
            } else {
                entry(fields).map(|entry| (entry, TtlRemaining::NoTtl))
            }
        })
    }
}

/// Sends a command about one key; to the node to which its slot is being moved, with the word that lets it in.
fn one<T: FromRedisValue>(
    connection: &mut Connection,
    command: &Cmd,
    asking: bool,
) -> RedisResult<T> {
    if asking {
        cmd("ASKING").exec(connection)?;
    }
    command.query(connection)
}
