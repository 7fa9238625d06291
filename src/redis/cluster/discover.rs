//! Asks the nodes of a cluster which node has which slot, and makes the map of that.
//!
//! Called by the recovery, by the check before a cache is built, by the scan, and after a
//! redirection to an unknown address. `topology.rs` has the order of the locks.

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::Arc,
};

use super::{
    node::{Node, address_of, slots_by},
    slots::Range,
    topology::Topology,
    tracking::ClusterSubscription,
};
use crate::{
    redis::{
        address::node_address::NodeAddress,
        endpoint::Endpoint,
        reachability::{NotReady, is_away},
        server::text::printable,
    },
    store::{Failure, FailureKind, token::Token},
    telemetry::trace,
};

/// What is to be logged after the map was replaced.
#[must_use]
pub(super) struct Rebuilt {
    /// The masters, if one of them is new.
    masters: Option<String>,
    subscriptions: Vec<Arc<ClusterSubscription>>,
}

impl Rebuilt {
    /// Call it with no lock held.
    pub(super) fn log(self) {
        for subscription in self.subscriptions {
            subscription.report_failure();
        }
        if let Some(masters) = self.masters {
            trace::info!("the masters of the cluster are {}", printable(&masters));
        }
    }
}

impl Topology {
    /// Asks one node after the other for the assignment of slots, until one reports it.
    pub(super) fn discover(&self) -> Result<(), Failure> {
        let map = self.map();
        // An unconfirmed node may be no member of the cluster.
        let nodes = map.nodes().iter().filter(|node| node.is_confirmed);
        let mut nodes: Vec<_> = nodes.collect();
        // Starts at a random node, because the first one may be cut off or removed.
        if !nodes.is_empty() {
            let most = u64::try_from(nodes.len() - 1).unwrap_or_default();
            let first = Token::random().spread(0, most);
            nodes.rotate_left(usize::try_from(first).unwrap_or_default());
        }
        nodes.sort_by_key(|node| node.is_broken());
        let known = nodes.into_iter().map(|node| node.store.config().0);
        let mut failure: Option<Failure> = None;
        // A node that does not answer is not waited for twice: it may be known, and a seed as well.
        let mut asked = HashSet::new();
        let mut reported_by = |endpoint: &Endpoint| {
            if !asked.insert(address_of(endpoint.info())) {
                return None;
            }
            match slots_by(endpoint, self.config.timeouts) {
                Ok(ranges) => (!ranges.is_empty()).then_some(ranges),
                Err(refused) => {
                    // Keeps the refusal of a node rather than the news that another cannot be
                    // reached.
                    let tells_more = failure
                        .as_ref()
                        .is_none_or(|known| is_away(known) && !is_away(&refused));
                    if tells_more {
                        failure = Some(refused);
                    }
                    None
                }
            }
        };
        let mut ranges = known.chain(&self.seeds).find_map(&mut reported_by);
        if ranges.is_none() {
            let replicas: Vec<_> = self.replicas.lock().values().cloned().collect();
            ranges = replicas.iter().find_map(&mut reported_by);
        }
        match (ranges, failure) {
            (Some(ranges), _) => {
                self.rebuild(ranges)?.log();
                Ok(())
            }
            (None, Some(failure)) => Err(failure),
            (None, None) => {
                let nowhere = NotReady("no node of the cluster has any slots");
                Err(Failure::new(FailureKind::Unavailable, nowhere))
            }
        }
    }

    /// Asks this node for the assignment of slots.
    pub(super) fn discover_from(&self, node: &Node) -> Result<Rebuilt, Failure> {
        let (endpoint, timeouts) = node.store.config();
        let ranges = slots_by(endpoint, timeouts)?;
        if ranges.is_empty() {
            let nowhere = NotReady("the node knows of no node with slots");
            return Err(Failure::new(FailureKind::Unavailable, nowhere));
        }
        self.rebuild(ranges)
    }

    fn rebuild(&self, ranges: Vec<Range>) -> Result<Rebuilt, Failure> {
        let rebuilding = self.rebuilding.lock();
        let before = self.map();
        let map = before.rebuild(&ranges, |address| self.open(address))?;
        let masters = map.masters();
        let is_new = |master: &&Arc<Node>| before.confirmed(&master.address).is_none();
        let masters = masters.iter().any(is_new).then(|| {
            let masters = masters.iter().map(|master| master.address.to_string());
            masters.collect::<Vec<_>>().join(", ")
        });
        self.keep_replicas(ranges.into_iter().flat_map(|range| range.replicas));
        let subscriptions = self.subscriptions();
        let gone: Vec<_> = subscriptions
            .iter()
            .map(|subscription| subscription.follow(&map))
            .collect();
        self.replace(map);
        drop(rebuilding);
        // Dropped after the lock is released, so that no caller waits for listeners to end.
        drop(gone);
        Ok(Rebuilt {
            masters,
            subscriptions,
        })
    }

    fn keep_replicas(&self, addresses: impl Iterator<Item = NodeAddress>) {
        let mut replicas = self.replicas.lock();
        let mut before = mem::take(&mut *replicas);
        let mut kept = HashMap::new();
        for address in addresses {
            if kept.contains_key(&address) {
                continue;
            }
            let known = before.remove(&address);
            if let Some(endpoint) = known.or_else(|| self.endpoint(&address).ok()) {
                kept.insert(address, endpoint);
            }
        }
        *replicas = kept;
    }
}
