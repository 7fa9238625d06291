//! The steps for entries under tags, on a cluster.
//!
//! All tags of a namespace are in one slot, and a record is usually in another. So their nodes are
//! asked side by side. Called through [`TaggedStore`]. While the slot of the tags is being moved,
//! `migrating.rs` does the invalidation, and nothing else is done.

use std::{sync::Arc, time::Duration};

use super::{
    ClusterStore,
    parallel::in_parallel,
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
        let read_entry = || self.read_entry(data, with_ttl);
        let ((entry, left), values) = self.beside(read_entry, keys, life)?;
        Ok((entry, left, values))
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

/// One of two requests that are sent side by side.
enum Side<T> {
    Record(T),
    Tags(TagValues),
}

impl ClusterStore {
    /// Does a step on a record, and reads the tags at the same time.
    fn beside<T: Send>(
        &self,
        step: impl Fn() -> Result<T, Failure> + Sync,
        keys: &TagKeys,
        life: Duration,
    ) -> Result<(T, TagValues), Failure> {
        let mut sides = in_parallel(&[true, false], |&is_record| {
            if is_record {
                step().map(Side::Record)
            } else {
                self.read_tags(keys, life).map(Side::Tags)
            }
        });
        match (sides.pop(), sides.pop()) {
            (Some(Ok(Side::Tags(values))), Some(Ok(Side::Record(done)))) => Ok((done, values)),
            (Some(Err(failure)), _) | (_, Some(Err(failure))) => Err(failure),
            _ => unreachable!("there are two sides"),
        }
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
