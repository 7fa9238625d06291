//! The store on a Redis Cluster: each step goes to the node that has the record's slot.
//!
//! Called through [`Store`]. Every node is a [`RedisStore`], with its own connections, request
//! queue and breaker. This module decides which node gets a request, and follows redirections.
//!
//! redis-rs has a cluster client. It is not used, for four reasons. It repeats requests that timed
//! out, but a request for a lease must not be repeated. It does not follow redirections in a
//! pipeline. It cannot watch keys. It receives no pushes.
//!
//! Both keys of a record are in one slot (`store/keys.rs`), so one node does each step, as
//! atomically as a single server. A node refuses requests for a slot that it does not have. The
//! guarantees depend on that refusal. They do not depend on the slot map of this process.
//! `migrating.rs` handles a slot that is being moved.

pub(crate) mod check;
pub(crate) mod clear;
mod crc16;
mod discover;
pub(crate) mod many;
pub(crate) mod migrating;
pub(crate) mod node;
pub(crate) mod parallel;
mod probe_key;
mod recovery;
pub(crate) mod redirect;
mod redirected;
mod shared_question;
pub(crate) mod slot_map;
pub(crate) mod slots;
pub(crate) mod steps;
mod tagged;
mod threads;
pub(crate) mod topology;
pub(crate) mod tracking;
mod versioned;

use std::{sync::Arc, thread, time::Duration};

use self::{
    node::{Node, NodeConfig},
    redirect::{Redirect, SlotMigrating, TooManyRedirects},
    slots::slot_of,
    topology::Topology,
};
use super::{address::server_address::ServerAddress, single::RedisStore};
use crate::{
    store::{Entry, Failure, FailureKind, Store, TtlRemaining, keys::Keys},
    util::{backoff::Backoff, random::shortened},
};

/// The most redirections of one request. Two are expected: one for an outdated map, and one for a
/// slot that is being moved. If the slots change meanwhile, two more can follow.
const MOST_REDIRECTS: u32 = 5;

/// The pause before the third redirection is followed. The pause doubles before each further one:
/// at most 28 ms in total.
const FIRST_PAUSE: Duration = Duration::from_millis(4);

/// The longest of these pauses.
const LONGEST_PAUSE: Duration = Duration::from_millis(16);

/// The nodes of a cluster, and the known assignment of slots to nodes.
pub(crate) struct ClusterStore {
    topology: Arc<Topology>,
}

impl ClusterStore {
    /// Creates a store. Opens no connection. Each seed must be an address with a port.
    pub(crate) fn new(
        seeds: Vec<ServerAddress>,
        config: NodeConfig,
        client_name: Arc<str>,
        probe_interval: Duration,
    ) -> ClusterStore {
        ClusterStore {
            topology: Topology::new(seeds, config, client_name, probe_interval),
        }
    }

    /// Asks the node that has this key, or the node to which that one redirects. The second
    /// argument of `step` is true if the redirection is for this request only (`ASK`). `ASKING`
    /// must then precede each command.
    fn at<T>(
        &self,
        key: &str,
        mut step: impl FnMut(&RedisStore, bool) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.topology.recovery.start_postponed();
        let mut node = self.topology.owner(slot_of(key))?;
        let mut asking = false;
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        for redirects in 0..=MOST_REDIRECTS {
            // One or two redirections are normal. More of them show that the nodes do not agree
            // yet.
            if redirects > 2 {
                thread::sleep(shortened(backoff.next()));
            }
            let failure = match self.ask(&node, |store| step(store, asking)) {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            match Redirect::of(&failure, &node.address) {
                Some(Redirect::Moved(slot, to)) => {
                    node = self.topology.moved(slot, &to, &node)?;
                    asking = false;
                }
                Some(Redirect::Ask(to)) => {
                    node = self.topology.asked(&to)?;
                    asking = true;
                }
                Some(Redirect::SlotMigrating) => {
                    return Err(node.store.at_server(SlotMigrating::failure()));
                }
                None => return Err(failure),
            }
        }
        let times = MOST_REDIRECTS + 1;
        let failure = Failure::new(FailureKind::Partial, TooManyRedirects { times });
        Err(node.store.at_server(failure))
    }

    /// The same for a step with both keys of a record. Refused while their slot is being moved.
    fn with<T>(
        &self,
        keys: &Keys,
        mut step: impl FnMut(&RedisStore) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.at(&keys.data, |store, asking| {
            if asking {
                return Err(store.at_server(SlotMigrating::failure()));
            }
            step(store)
        })
    }

    /// Asks one node.
    fn ask<T>(
        &self,
        node: &Node,
        step: impl FnOnce(&RedisStore) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        node.ask(step).map_err(|failure| self.partly(failure))
    }

    /// Marks a failure as that of one node, if other nodes answer.
    fn partly(&self, failure: Failure) -> Failure {
        if failure.kind != FailureKind::Unavailable {
            return failure;
        }
        self.topology.recovery.start();
        let map = self.topology.map();
        let is_all = map.nodes().len() < 2 || map.nodes().iter().all(|node| node.is_broken());
        let kind = if is_all {
            FailureKind::Unavailable
        } else {
            FailureKind::Partial
        };
        Failure { kind, ..failure }
    }

    fn read_entry(&self, data: &str, with_ttl: bool) -> Result<(Entry, TtlRemaining), Failure> {
        self.at(data, |store, asking| {
            if asking {
                store.read_asking(data, with_ttl)
            } else if with_ttl {
                store.read_with_ttl(data)
            } else {
                Ok((store.read(data)?, TtlRemaining::NoTtl))
            }
        })
    }
}
