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
//! Where replicas are waited for, each step at each node is. (Where the connection to the old node is lost in mid-wait, what it did
//! there is not waited for again: the key has gone, and whoever asks is sent to the new one.)

use redis::{RedisResult, Value, cmd};

use super::ClusterStore;
use crate::{
    redis::{
        command::{entry, entry_with_ttl},
        pipeline,
        pool::RetryPolicy,
        single::RedisStore,
    },
    store::{Entry, Failure, TtlRemaining, keys::Keys, token::Token},
};

impl ClusterStore {
    pub(super) fn invalidate_migrating(&self, keys: &Keys) -> Result<bool, Failure> {
        self.delete_at_both_nodes(&keys.lease, true)?;
        self.delete_at_both_nodes(&keys.data, false)
    }

    /// Ends a key at each of the two nodes: the old one sends to the new one only those who ask for what it hasn't, so that is
    /// asked again. True: at one of them something stood there.
    fn delete_at_both_nodes(&self, key: &str, is_lease: bool) -> Result<bool, Failure> {
        let end = || self.at(key, |store, asking| store.delete_key(key, is_lease, asking));
        let (here, there) = (end()?, end()?);
        Ok(here || there)
    }
}

/// What the four commands of a look are answered.
type Asked = (Value, RedisResult<i64>, Value, RedisResult<Value>);

impl RedisStore {
    fn delete_key(&self, key: &str, is_lease: bool, asking: bool) -> Result<bool, Failure> {
        let delete_key = &self.scripts.delete_key;
        self.run_replicated(RetryPolicy::Idempotent, |connection| {
            delete_key.load(connection)?;
            let nonce = is_lease.then(Token::random);
            let nonce = nonce.as_ref().map_or(&[][..], |nonce| nonce.as_bytes());
            let mut request = delete_key.request_on(key);
            request.arg(nonce).arg(self.tells());
            if asking {
                // The word that lets in who was sent here.
                cmd("ASKING").exec(connection)?;
            }
            request.query(connection)
        })
    }

    /// The first look at a key that the node has not in its charge yet.
    pub(super) fn read_asking(
        &self,
        data: &str,
        with_ttl: bool,
    ) -> Result<(Entry, TtlRemaining), Failure> {
        self.run(RetryPolicy::Idempotent, |connection| {
            let mut request = redis::pipe();
            request.ignore_errors();
            // In this order, as in `command.rs`.
            request.cmd("ASKING").cmd("PTTL").arg(data);
            request.cmd("ASKING").cmd("HGETALL").arg(data);
            let (_, left, _, fields): Asked = pipeline::query(&request, connection)?;
            if with_ttl {
                entry_with_ttl(left, fields)
            } else {
                entry(fields).map(|entry| (entry, TtlRemaining::NoTtl))
            }
        })
    }
}
