//! The steps for entries under tags, on a cluster.
//!
//! All tags of a namespace are in one slot, and a record is usually in another. So their nodes are
//! asked side by side. Called through [`TaggedStore`]. While the slot of the tags is being moved,
//! `migrating.rs` does the invalidation, and nothing else is done.

use std::{sync::Arc, time::Duration};

use super::{
    ClusterStore,
    redirect::{Redirect, SlotMigrating},
    slots::slot_of,
};
use crate::{
    redis::single::RedisStore,
    store::{Entry, Failure, TagKeys, TagValues, TaggedStore, TtlRemaining},
};

impl TaggedStore for ClusterStore {
    fn read_tags(&self, keys: &TagKeys, life: Duration) -> Result<TagValues, Failure> {
        self.at_tags(keys, |store| store.read_tags(keys, life))
    }

    fn read_under_tags(
        &self,
        data: &str,
        with_ttl: bool,
        keys: &TagKeys,
        life: Duration,
    ) -> Result<(Entry, TtlRemaining, TagValues), Failure> {
        let nodes = [data, &keys.clock].map(|key| self.topology.owner(slot_of(key)));
        if let [Ok(node), Ok(other)] = &nodes
            && Arc::ptr_eq(node, other)
        {
            let read = |store: &RedisStore| store.read_under_tags(data, with_ttl, keys, life);
            match self.ask(node, read) {
                // One of the two slots is at another node by now.
                Err(failure) if Redirect::of(&failure, &node.address).is_some() => {}
                done => return done,
            }
        }
        self.read_beside_tags(data, with_ttl, keys, life)
    }

    fn keep_tags(&self, keys: &TagKeys, life: Duration) -> Result<(), Failure> {
        self.at_tags(keys, |store| store.keep_tags(keys, life))
    }

    fn invalidate_tags(
        &self,
        keys: &TagKeys,
        life: Duration,
        lag: Option<Duration>,
    ) -> Result<(), Failure> {
        match self.at_tags(keys, |store| store.invalidate_tags(keys, life, lag)) {
            Err(failure) if SlotMigrating::is(&failure) => {
                self.invalidate_tags_migrating(keys, lag)
            }
            done => done,
        }
    }
}

impl ClusterStore {
    /// Reads an entry. Its tags are asked for before, and their reply is read afterwards, so the
    /// two nodes work at the same time.
    fn read_beside_tags(
        &self,
        data: &str,
        with_ttl: bool,
        keys: &TagKeys,
        life: Duration,
    ) -> Result<(Entry, TtlRemaining, TagValues), Failure> {
        let node = self.topology.owner(slot_of(&keys.clock))?;
        let sent = if node.is_suspect() {
            None
        } else {
            node.store.send_tags(keys)
        };
        let read = self.read_entry(data, with_ttl);
        let values = sent.map(|sent| self.ask(&node, |store| store.finish_tags(keys, sent)));
        let (entry, left) = read?;
        let values = match values {
            Some(Ok(Some(values))) => values,
            Some(Err(failure)) if Redirect::of(&failure, &node.address).is_none() => {
                return Err(failure);
            }
            // The tags are at another node by now, or one has no value, or nothing was sent.
            _ => self.read_tags(keys, life)?,
        };
        Ok((entry, left, values))
    }

    /// Asks the node that has the tags. Refused while their slot is being moved.
    fn at_tags<T>(
        &self,
        keys: &TagKeys,
        mut step: impl FnMut(&RedisStore) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.at(&keys.clock, |store, asking| {
            if asking {
                return Err(store.at_server(SlotMigrating::failure()));
            }
            step(store)
        })
    }
}
