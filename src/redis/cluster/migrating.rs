//! Requests for the keys of a record while its slot is being moved: one key at a time.
//!
//! Such a key is at its old node until one atomic step moves it to its new node. The old node
//! redirects a request for a key that it does not have to the new node, for that request only
//! (`ASK`). If a request has two keys, one of them nearly always does not exist, and both nodes
//! refuse (`TRYAGAIN`).
//!
//! So while a slot is being moved, nothing is filled, there are no leases, and lookups that miss
//! degrade. But a cached record is still read, and **it can be invalidated**, in two steps: first
//! the lease, then the record. If the record has a floor, a step before them raises the floor. So
//! a load that gets its lease after the first of these steps also gets the new floor.
//!
//! In this order, two steps are as safe as one. After the first step, no load that began before it
//! can fill. So every old record exists by then, and the second step deletes it. In the other
//! order, an old load could fill between the steps. (`clear.rs` uses the same order for all
//! records.)
//!
//! Each step goes to both nodes. If a move was aborted (`IOERR`), a key may exist on both, and the
//! copy on the new node would be read once that node owns the slot.
//!
//! With `wait_for_replicas`, each step waits for the replicas of each node. (If the connection to
//! the old node is lost during the wait, that wait is not repeated. The key is gone by then, and
//! requests for it are redirected to the new node.)
//!
//! Called by the store on a cluster after a node has answered `ASK` or `TRYAGAIN`.

use std::time::Duration;

use redis::{Cmd, RedisResult, cmd};

use super::ClusterStore;
use crate::{
    redis::{
        command::{self, incomplete},
        connection::Connection,
        pool::run_request::RetryPolicy,
        script::{args, truth},
        single::RedisStore,
    },
    store::{Entry, Failure, FloorKey, TagKeys, TtlRemaining, keys::Keys, token::Token},
};

impl ClusterStore {
    /// `version`: the floor rises to it, or becomes unknown.
    pub(super) fn invalidate_migrating(
        &self,
        keys: &Keys,
        version: Option<u64>,
    ) -> Result<bool, Failure> {
        if let Some(floor) = &keys.floor {
            // Once: it stays at the node that has it, and the others redirect to that node.
            self.at(&floor.key, |store, asking| {
                store.raise_floor(floor, version, asking)
            })?;
        }
        self.delete_at_both_nodes(&keys.lease, true)?;
        self.delete_at_both_nodes(&keys.data, false)
    }

    /// Ends all entries under all tags of the namespace, because the clock begins a new epoch. The
    /// tags are deleted after it, so that near caches get their changes too.
    pub(super) fn invalidate_tags_migrating(
        &self,
        keys: &TagKeys,
        lag: Option<Duration>,
    ) -> Result<(), Failure> {
        if let Some(lag) = lag {
            let key = keys.floor.clone();
            let floor = FloorKey { key, lag };
            self.at(&floor.key, |store, asking| {
                store.raise_floor(&floor, None, asking)
            })?;
        }
        for key in [&keys.clock].into_iter().chain(&keys.tags) {
            self.delete_at_both_nodes(key, false)?;
        }
        Ok(())
    }

    /// Deletes a key at both nodes. The old node redirects only requests for keys that it does not
    /// have, so the second request goes to the new one. True: one of them had the key.
    fn delete_at_both_nodes(&self, key: &str, is_lease: bool) -> Result<bool, Failure> {
        let end = || self.at(key, |store, asking| store.delete_key(key, is_lease, asking));
        let (here, there) = (end()?, end()?);
        Ok(here || there)
    }
}

/// Calls a script on one key, at the node that is getting its slot if `asking` is set.
fn ask_for_truth(connection: &mut Connection, request: &Cmd, asking: bool) -> RedisResult<bool> {
    if asking {
        // Without `ASKING`, the node would redirect this request back.
        cmd("ASKING").exec(connection)?;
    }
    truth(&request.query(connection)?)
}

impl RedisStore {
    fn delete_key(&self, key: &str, is_lease: bool, asking: bool) -> Result<bool, Failure> {
        let delete_key = &self.scripts.delete_key;
        self.run_replicated(RetryPolicy::Idempotent, |connection| {
            delete_key.load(connection)?;
            let nonce = is_lease.then(Token::random);
            let nonce = nonce.as_ref().map_or(&[][..], |nonce| nonce.as_bytes());
            let mut request = delete_key.request_on(key);
            request.arg(nonce).arg(self.forces_change());
            ask_for_truth(connection, &request, asking)
        })
    }

    fn raise_floor(
        &self,
        floor: &FloorKey,
        version: Option<u64>,
        asking: bool,
    ) -> Result<bool, Failure> {
        let raise_floor = &self.scripts.raise_floor;
        self.run_replicated(RetryPolicy::Idempotent, |connection| {
            raise_floor.load(connection)?;
            let mut request = raise_floor.request_on(&floor.key);
            args::write_raise_floor(&mut request, floor, version);
            ask_for_truth(connection, &request, asking)
        })
    }

    /// Does the first read of a key whose slot is still being moved to this node.
    pub(super) fn read_asking(
        &self,
        data: &str,
        with_ttl: bool,
    ) -> Result<(Entry, TtlRemaining), Failure> {
        self.run(RetryPolicy::Idempotent, |connection| {
            let commands = command::read_commands(data, with_ttl);
            let commands = commands.flat_map(|command| [cmd("ASKING"), command]);
            let replies = command::replies(connection, commands)?;
            let mut of_read = replies.into_iter().skip(1).step_by(2).collect();
            command::read_answer(with_ttl, &mut of_read).ok_or_else(incomplete)?
        })
    }
}
