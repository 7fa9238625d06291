//! The known topology of a cluster, kept up to date from redirections and by asking the nodes.
//!
//! A redirection corrects one slot before the redirected request continues. It also starts the
//! recovery, which asks a node for all slots. A node that does not answer also starts the recovery.
//! The recovery then continues until that node answers again, or another node takes its place. No
//! caller waits for the recovery.
//!
//! # Lock order
//!
//! First `rebuilding`, then `map`. `map` is held only to read or replace the `Arc` in it.
//! `rebuilding` is held by the thread that replaces the map: from before it makes the new map until
//! the subscriptions know it. So the subscriptions get the maps in the order in which the maps were
//! made.
//!
//! No user code runs under any lock of this file: nothing is logged there, and listeners are
//! dropped after it. One exception is the listener of a store without a cache; see `tracking.rs`.

use std::{
    collections::HashSet,
    mem,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::{Mutex, RwLock};

use super::{
    node::{Node, NodeConfig, address_of, slots_by},
    recovery::Recovery,
    slot_map::SlotMap,
    slots::Range,
    tracking::ClusterSubscription,
};
use crate::{
    redis::{
        endpoint::Endpoint,
        node_address::NodeAddress,
        reachability::{NotReady, is_away},
        server_address::ServerAddress,
        slot::Slot,
    },
    store::{Failure, FailureKind, token::Token},
    telemetry::trace,
};

pub(super) struct Topology {
    /// The nodes in the address. They are asked if none of the known nodes answers.
    seeds: Vec<Endpoint>,
    config: NodeConfig,
    client_name: Arc<str>,
    map: RwLock<Arc<SlotMap>>,
    rebuilding: Mutex<()>,
    /// The replicas in the latest report. If no master answers any more, any of these replicas may
    /// be a master by now. Kept with their endpoints, so that each has one thread to look its name
    /// up.
    replicas: Mutex<Vec<(NodeAddress, Endpoint)>>,
    /// The subscriptions that listen to all masters.
    subscriptions: Mutex<Vec<Weak<ClusterSubscription>>>,
    pub(super) recovery: Recovery,
}

impl Topology {
    /// Creates a topology that knows only these nodes. Opens no connection.
    pub(super) fn new(
        seeds: Vec<ServerAddress>,
        config: NodeConfig,
        client_name: Arc<str>,
        probe_interval: Duration,
    ) -> Arc<Topology> {
        let endpoint = |seed| Endpoint::at(seed, Arc::clone(&client_name));
        let seeds: Vec<_> = seeds.into_iter().map(endpoint).collect();
        let nodes = seeds.iter().filter_map(|seed| {
            let address = address_of(seed.info())?;
            Some(Arc::new(Node::new(seed.clone(), address, config)))
        });
        let map = SlotMap::of(nodes.collect());
        Arc::new_cyclic(|topology: &Weak<Topology>| {
            let topology = Weak::clone(topology);
            Topology {
                seeds,
                config,
                client_name,
                map: RwLock::new(Arc::new(map)),
                rebuilding: Mutex::default(),
                replicas: Mutex::default(),
                subscriptions: Mutex::default(),
                // If the topology was dropped, there is nothing to recover.
                recovery: Recovery::new(probe_interval, move || {
                    topology
                        .upgrade()
                        .is_none_or(|topology| topology.try_recover())
                }),
            }
        })
    }

    pub(super) fn map(&self) -> Arc<SlotMap> {
        Arc::clone(&self.map.read())
    }

    /// The node that has this slot.
    pub(super) fn owner(&self, slot: Slot) -> Result<Arc<Node>, Failure> {
        let owner = self.map.read().owner(slot).cloned();
        owner.ok_or_else(|| {
            Failure::new(FailureKind::Unavailable, "no node of the cluster is known")
        })
    }

    /// Records the report of a node that the slot belongs to another.
    pub(super) fn moved(&self, slot: Slot, to: &NodeAddress) -> Result<Arc<Node>, Failure> {
        let node = self.node(to)?;
        {
            let _rebuilding = self.rebuilding.lock();
            let map = self.map();
            if !map.owns(to, slot) {
                self.replace(map.moved(slot, to));
            }
        }
        self.start_recovery();
        Ok(node)
    }

    /// The node at an address that another node reported.
    pub(super) fn node(&self, address: &NodeAddress) -> Result<Arc<Node>, Failure> {
        let rebuilding = self.rebuilding.lock();
        let map = self.map();
        let known = map.at(address).cloned();
        let is_known = known.is_some();
        let node = known.map_or_else(|| self.open(address), Ok)?;
        node.record_redirect();
        // Before anyone can read from the node. A record that is read there does not enter a near
        // cache until a listener follows the node.
        let subscriptions = self.subscriptions();
        for subscription in &subscriptions {
            subscription.expect(&node);
        }
        if !is_known {
            self.replace(map.with(Arc::clone(&node)));
        }
        drop(rebuilding);
        for subscription in subscriptions {
            subscription.report_failure();
        }
        Ok(node)
    }

    fn open(&self, address: &NodeAddress) -> Result<Arc<Node>, Failure> {
        let endpoint = self.endpoint(address)?;
        Ok(Arc::new(Node::new(endpoint, address.clone(), self.config)))
    }

    /// The endpoint of a node at this address, with the login of the nodes in the builder's
    /// address.
    fn endpoint(&self, address: &NodeAddress) -> Result<Endpoint, Failure> {
        let seed = self.seeds.first().ok_or_else(|| {
            Failure::new(
                FailureKind::Unavailable,
                "the address of the cluster names no node",
            )
        })?;
        let address = seed.address().elsewhere(address.host.clone(), address.port);
        Ok(Endpoint::at(address, Arc::clone(&self.client_name)))
    }

    /// Call this with `rebuilding` held.
    fn replace(&self, map: SlotMap) {
        let before = mem::replace(&mut *self.map.write(), Arc::new(map));
        // Closes the connections to nodes that are gone. Lookups do not wait for that.
        drop(before);
    }

    pub(super) fn subscriptions(&self) -> Vec<Arc<ClusterSubscription>> {
        let mut subscriptions = self.subscriptions.lock();
        subscriptions.retain(|subscription| subscription.strong_count() > 0);
        subscriptions.iter().filter_map(Weak::upgrade).collect()
    }

    /// Makes a subscription follow the topology from now on.
    pub(super) fn tell(&self, subscription: &Arc<ClusterSubscription>) {
        let rebuilding = self.rebuilding.lock();
        self.subscriptions.lock().push(Arc::downgrade(subscription));
        // It is new, so no listener is replaced.
        subscription.follow(&self.map());
        drop(rebuilding);
        subscription.report_failure();
    }

    /// Asks one node after the other for the assignment of slots, until one reports it.
    pub(super) fn discover(&self) -> Result<(), Failure> {
        let map = self.map();
        let mut nodes: Vec<_> = map.nodes().iter().collect();
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
            let replicas = self.replicas.lock().clone();
            ranges = replicas
                .iter()
                .find_map(|(_, endpoint)| reported_by(endpoint));
        }
        match (ranges, failure) {
            (Some(ranges), _) => self.rebuild(ranges),
            (None, Some(failure)) => Err(failure),
            (None, None) => {
                let nowhere = NotReady("no node of the cluster has any slots");
                Err(Failure::new(FailureKind::Unavailable, nowhere))
            }
        }
    }

    fn rebuild(&self, ranges: Vec<Range>) -> Result<(), Failure> {
        let rebuilding = self.rebuilding.lock();
        let before = self.map();
        let map = before.rebuild(&ranges, |address| self.open(address))?;
        let masters = map.masters();
        let is_new = |master: &&Arc<Node>| before.at(&master.address).is_none();
        let places = masters.iter().any(is_new).then(|| {
            let places = masters.iter().map(|master| master.address.to_string());
            places.collect::<Vec<_>>().join(", ")
        });
        let mut replicas: Vec<_> = ranges
            .into_iter()
            .flat_map(|range| range.replicas)
            .collect();
        replicas.sort();
        replicas.dedup();
        self.keep_replicas(replicas);
        let subscriptions = self.subscriptions();
        let gone: Vec<_> = subscriptions
            .iter()
            .map(|subscription| subscription.follow(&map))
            .collect();
        self.replace(map);
        drop(rebuilding);
        // Dropped after the lock is released, so that no caller waits for listeners to end.
        drop(gone);
        for subscription in subscriptions {
            subscription.report_failure();
        }
        if let Some(places) = places {
            trace::info!("the masters of the cluster are {places}");
        }
        Ok(())
    }

    fn keep_replicas(&self, addresses: Vec<NodeAddress>) {
        let mut replicas = self.replicas.lock();
        let before = mem::take(&mut *replicas);
        let endpoint = |address: &NodeAddress| {
            let mut known = before.iter().filter(|(known, _)| known == address);
            match known.next() {
                Some((_, endpoint)) => Some(endpoint.clone()),
                None => self.endpoint(address).ok(),
            }
        };
        replicas.extend(addresses.into_iter().filter_map(|address| {
            let endpoint = endpoint(&address)?;
            Some((address, endpoint))
        }));
    }
}
