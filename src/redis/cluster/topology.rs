//! What is known of a cluster, kept right: from what redirections say, and by asking its nodes.
//!
//! A redirection corrects one slot, before whoever was redirected goes on. And it calls the
//! recovery, which asks for all of them; so does a node that doesn't answer, until another has
//! taken its place or it answers again. Nobody waits for that.
//!
//! # Locks
//!
//! `map` is held to take or replace the `Arc` in it, and not beyond; `rebuilding` by whoever
//! replaces it, from before the new one is made until whoever listens has been told of it, so that
//! they are told in the order in which the maps were drawn. First `rebuilding`, then `map`.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use redis::Client;

use super::{
    node::{Node, NodeConfig, address_of, client_of, slots_by},
    parallel::in_parallel,
    slot_map::SlotMap,
    slots::Range,
    tracking::ClusterSubscription,
};
use crate::{
    redis::{
        endpoint::Endpoint,
        error,
        node_address::NodeAddress,
        reachability::{NotReady, is_away},
        slot::Slot,
    },
    store::{Failure, FailureKind, token::Token},
    telemetry::trace,
    util::retry::RetryWorker,
};

pub(super) struct Topology {
    /// Those in the address. They are asked where no node that was heard of answers.
    seeds: Vec<Endpoint>,
    terms: NodeConfig,
    client_name: Arc<str>,
    map: RwLock<Arc<SlotMap>>,
    rebuilding: Mutex<()>,
    /// The replicas as they were told of last. Each may be a master by the time that no master
    /// answers any more.
    replicas: Mutex<Vec<NodeAddress>>,
    /// Those that listen to all masters.
    subscriptions: Mutex<Vec<Weak<ClusterSubscription>>>,
    recovery: RetryWorker,
}

impl Topology {
    /// One that knows nothing but these nodes. Connects to none.
    pub(super) fn new(
        seeds: Vec<Client>,
        terms: NodeConfig,
        client_name: Arc<str>,
        probe_interval: Duration,
    ) -> Arc<Topology> {
        let endpoint = |seed| Endpoint::at(seed, Arc::clone(&client_name));
        let seeds: Vec<_> = seeds.into_iter().map(endpoint).collect();
        let nodes = seeds.iter().filter_map(|seed| {
            let address = address_of(seed.info())?;
            Some(Arc::new(Node::new(seed.clone(), address, terms)))
        });
        let map = SlotMap::of(nodes.collect());
        Arc::new_cyclic(|topology: &Weak<Topology>| {
            let topology = Weak::clone(topology);
            Topology {
                seeds,
                terms,
                client_name,
                map: RwLock::new(Arc::new(map)),
                rebuilding: Mutex::default(),
                replicas: Mutex::default(),
                subscriptions: Mutex::default(),
                // One that is gone has nothing to mend.
                recovery: RetryWorker::new(probe_interval, move || {
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

    /// Who has this slot.
    pub(super) fn owner(&self, slot: Slot) -> Result<Arc<Node>, Failure> {
        let owner = self.map.read().owner(slot).cloned();
        owner.ok_or_else(|| {
            Failure::new(FailureKind::Unavailable, "no node of the cluster is known")
        })
    }

    /// A node says that a slot is another's.
    pub(super) fn moved(&self, slot: Slot, to: &NodeAddress) -> Result<Arc<Node>, Failure> {
        let node = self.node(to)?;
        {
            let _drawing = self.rebuilding.lock();
            let map = self.map();
            if !map.owns(to, slot) {
                self.replace(map.moved(slot, to));
            }
        }
        self.start_recovery();
        Ok(node)
    }

    /// The node at a place that another one named.
    pub(super) fn node(&self, address: &NodeAddress) -> Result<Arc<Node>, Failure> {
        let _drawing = self.rebuilding.lock();
        let map = self.map();
        let known = map.at(address).cloned();
        let is_known = known.is_some();
        let node = known.map_or_else(|| self.open(address), Ok)?;
        node.hear_of();
        // Before anybody can read from it: what is read there is not used near until it is listened
        // to.
        for subscription in self.subscriptions() {
            subscription.expect(&node);
        }
        if !is_known {
            self.replace(map.with(Arc::clone(&node)));
        }
        Ok(node)
    }

    fn open(&self, address: &NodeAddress) -> Result<Arc<Node>, Failure> {
        let endpoint = self.endpoint(address)?;
        Ok(Arc::new(Node::new(endpoint, address.clone(), self.terms)))
    }

    /// A node at this place: with the same login as those in the address.
    fn endpoint(&self, address: &NodeAddress) -> Result<Endpoint, Failure> {
        let io = self.terms.timeouts.io;
        let seed = self.seeds.first().ok_or_else(|| {
            Failure::new(
                FailureKind::Unavailable,
                "the address of the cluster names no node",
            )
        })?;
        let client = client_of(seed.info(), address).map_err(|error| error::failure(error, io))?;
        Ok(Endpoint::at(client, Arc::clone(&self.client_name)))
    }

    /// Under `rebuilding`.
    fn replace(&self, map: SlotMap) {
        *self.map.write() = Arc::new(map);
    }

    fn subscriptions(&self) -> Vec<Arc<ClusterSubscription>> {
        let mut subscriptions = self.subscriptions.lock();
        subscriptions.retain(|subscription| subscription.strong_count() > 0);
        subscriptions.iter().filter_map(Weak::upgrade).collect()
    }

    /// Has somebody follow what is known, from now on.
    pub(super) fn tell(&self, subscription: &Arc<ClusterSubscription>) {
        let _drawing = self.rebuilding.lock();
        self.subscriptions.lock().push(Arc::downgrade(subscription));
        subscription.follow(&self.map());
    }

    /// Asks one node after the other which slots are whose, until one says.
    pub(super) fn discover(&self) -> Result<(), Failure> {
        let map = self.map();
        let mut nodes: Vec<_> = map.nodes().iter().collect();
        // From anywhere, for the first may be one that has been left behind by the others.
        if !nodes.is_empty() {
            let most = u64::try_from(nodes.len() - 1).unwrap_or_default();
            let first = Token::random().spread(0, most);
            nodes.rotate_left(usize::try_from(first).unwrap_or_default());
        }
        nodes.sort_by_key(|node| node.is_broken());
        let known = nodes.into_iter().map(|node| node.store.config().0);
        let mut failure: Option<Failure> = None;
        let mut reported_by = |endpoint: &Endpoint| match slots_by(endpoint, self.terms.timeouts) {
            Ok(ranges) => (!ranges.is_empty()).then_some(ranges),
            Err(refused) => {
                // Rather why one would have nothing to do with us than that another one is away.
                let tells_more = failure
                    .as_ref()
                    .is_none_or(|known| is_away(known) && !is_away(&refused));
                if tells_more {
                    failure = Some(refused);
                }
                None
            }
        };
        let mut ranges = known.chain(&self.seeds).find_map(&mut reported_by);
        if ranges.is_none() {
            let replicas = self.replicas.lock().clone();
            let mut sources = replicas
                .iter()
                .filter_map(|address| self.endpoint(address).ok());
            ranges = sources.find_map(|endpoint| reported_by(&endpoint));
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
        if masters
            .iter()
            .any(|master| before.at(&master.address).is_none())
        {
            let places: Vec<_> = masters.iter().map(|it| it.address.to_string()).collect();
            trace::info!("the masters of the cluster are {}", places.join(", "));
        }
        let mut replicas: Vec<_> = ranges
            .into_iter()
            .flat_map(|range| range.replicas)
            .collect();
        replicas.sort();
        replicas.dedup();
        *self.replicas.lock() = replicas;
        let subscriptions = self.subscriptions();
        let gone: Vec<_> = subscriptions
            .iter()
            .map(|subscription| subscription.follow(&map))
            .collect();
        self.replace(map);
        drop(rebuilding);
        // Nobody is to wait for listeners that end.
        drop(gone);
        Ok(())
    }

    /// Something is not as it was.
    pub(super) fn start_recovery(&self) {
        if let Err(error) = self.recovery.call() {
            trace::error!("there is no thread to ask the nodes of the cluster with: {error}");
        }
    }

    fn try_recover(&self) -> bool {
        let surveyed = self.discover().is_ok();
        let map = self.map();
        let suspect = map.nodes().iter().filter(|node| node.is_suspect());
        let suspect: Vec<_> = suspect.collect();
        let probed = in_parallel(&suspect, |node| node.probe());
        surveyed && probed.iter().all(Result::is_ok)
    }
}
