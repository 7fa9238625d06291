//! The known topology of a cluster, kept up to date from redirections and by asking the nodes.
//!
//! A redirection corrects one slot before the redirected request continues: `redirected.rs`. It
//! also starts the recovery, which asks a node for all slots: `discover.rs`. A node that does not
//! answer also starts the recovery. The recovery then continues until that node answers again, or
//! another node takes its place. No caller waits for the recovery.
//!
//! # Lock order
//!
//! First the lock of `question`, then `rebuilding`, then `map`, `replicas` or `subscriptions`. The
//! last three are held only to read or replace what is in them.
//! `rebuilding` is held by the thread that replaces the map: from before it makes the new map until
//! the subscriptions know it. So the subscriptions get the maps in the order in which the maps were
//! made.
//!
//! No user code runs under any lock of this file: nothing is logged there, and listeners are
//! dropped after it. One exception is the listener of a store without a cache; see `tracking.rs`.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::{Mutex, RwLock};

use super::{
    node::{Node, NodeConfig, address_of},
    parallel::in_parallel,
    recovery::Recovery,
    shared_question::SharedQuestion,
    slot_map::SlotMap,
    threads::NodeThreads,
    tracking::ClusterSubscription,
};
use crate::{
    redis::{
        address::{node_address::NodeAddress, server_address::ServerAddress},
        endpoint::Endpoint,
        slot::Slot,
    },
    store::{Failure, FailureKind},
};

pub(super) struct Topology {
    /// The nodes in the address. They are asked if none of the known nodes answers.
    pub(super) seeds: Vec<Endpoint>,
    pub(super) config: NodeConfig,
    client_name: Arc<str>,
    pub(super) threads: NodeThreads,
    map: RwLock<Arc<SlotMap>>,
    pub(super) rebuilding: Mutex<()>,
    /// The replicas in the latest report. If no master answers any more, any of these replicas may
    /// be a master by now. Kept with their endpoints, so that each has one thread to look its name
    /// up.
    pub(super) replicas: Mutex<HashMap<NodeAddress, Endpoint>>,
    /// Whether a caller asks for the slots, because a node redirected it to an unknown address.
    pub(super) question: SharedQuestion,
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
        let threads = NodeThreads::new();
        let nodes = seeds.iter().filter_map(|seed| {
            let address = address_of(seed.info())?;
            let node = Node::new(seed.clone(), address, config, threads.pool());
            Some(Arc::new(node))
        });
        let map = SlotMap::of(nodes.collect());
        Arc::new_cyclic(|topology: &Weak<Topology>| {
            let topology = Weak::clone(topology);
            Topology {
                seeds,
                config,
                client_name,
                threads,
                map: RwLock::new(Arc::new(map)),
                rebuilding: Mutex::default(),
                replicas: Mutex::default(),
                question: SharedQuestion::default(),
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

    /// Asks the nodes for the topology. False: it is not known yet, a node does not answer, or a
    /// subscription lacks a listener.
    fn try_recover(&self) -> bool {
        let discovered = self.discover().is_ok();
        let map = self.map();
        let suspect = map.nodes().iter().filter(|node| node.is_suspect());
        let suspect: Vec<_> = suspect.collect();
        let probed = in_parallel(&suspect, |node| node.probe());
        let subscriptions = self.subscriptions();
        let is_heard = !subscriptions.iter().any(|one| one.lacks_thread());
        discovered && is_heard && probed.iter().all(Result::is_ok)
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

    /// Creates a node that a report has named.
    pub(super) fn open(&self, address: &NodeAddress) -> Result<Arc<Node>, Failure> {
        let endpoint = self.endpoint(address)?;
        let node = Node::new(endpoint, address.clone(), self.config, self.threads.pool());
        Ok(Arc::new(node))
    }

    /// The endpoint of a node at this address, with the login of the nodes in the builder's
    /// address.
    pub(super) fn endpoint(&self, address: &NodeAddress) -> Result<Endpoint, Failure> {
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
    pub(super) fn replace(&self, map: SlotMap) {
        let before = mem::replace(&mut *self.map.write(), Arc::new(map));
        // Dropped with the lock of the map released. The last user of a node closes its
        // connections.
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
}
