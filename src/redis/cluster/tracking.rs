//! Tracks changes on a cluster, with one listener for each node from which records are read.
//!
//! A push comes only from the node that made the change. So the [`ChangeListener`] may rely on the
//! stream only while *every* node is heard. It is confirmed up to the earliest instant that any
//! node has confirmed. Called by the topology and by the store on a cluster.
//!
//! # Why that is enough
//!
//! 1. Before a record is read from a node without a listener, [`ClusterSubscription::expect`] is
//!    called. From then on no near entry is used until that node is heard too. A record that is
//!    read in the meantime is never used from the near cache.
//! 2. A near entry was read from a node that is listened to. If its slot is moved to another node,
//!    the first node deletes the record when the move ends, and pushes that.
//! 3. Another node may take over because this one is cut off from the rest of the cluster. This
//!    node does not know that, and would answer each `PING`. So each `PING` is preceded by a read
//!    of a [probe key](probe_key_for), whose slot the node must own. The node refuses this read if
//!    another node owns the slot, or if it considers the cluster to be down. After the node timeout
//!    it refuses all keys, and no other node takes over sooner.
//!
//! The listener is called under the lock of the state. That of a cache runs no user code there. A
//! program's own listener must keep the promises of [`ChangeListener`].

use std::{
    collections::HashMap,
    io, mem,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{node::Node, probe_key::probe_key_for, slot_map::SlotMap, slots::slot_of};
use crate::{
    redis::{
        address::node_address::NodeAddress,
        tracking::{self, RunningListener, TrackedPrefix},
    },
    store::{ChangeListener, tracking::SharedListener},
    telemetry::trace,
    util::log_throttle::LogThrottle,
};

pub(super) struct ClusterSubscription {
    prefix: String,
    bound: Duration,
    listener: SharedListener,
    /// Called, with no lock held, when a node is not heard.
    when_lost: Box<dyn Fn() + Send + Sync>,
    /// Held while the listener is confirmed or disconnected, so that these calls are in order. They
    /// do not come back here, because a listener must not call the store.
    state: Mutex<SubscriptionState>,
    /// Limits the log messages about threads that cannot be started.
    throttle: LogThrottle,
}

#[derive(Default)]
struct SubscriptionState {
    listeners: HashMap<NodeAddress, NodeListener>,
    /// The number of the latest listener.
    number: u64,
    /// Whether the stream is confirmed to the listener.
    is_on: bool,
    /// Whether the subscription has ended: no node is followed any more.
    has_ended: bool,
    /// Why no thread could be started for the latest listener that has none, until it is logged.
    unlogged: Option<io::Error>,
}

/// The listener to one node.
pub(super) struct NodeListener {
    /// Distinguishes a listener from the one that replaces it.
    number: u64,
    probe_key: Option<String>,
    /// The instant until which the node is confirmed to be heard. `None`: it is not heard.
    until: Option<Instant>,
    /// Dropped with no lock held. The drop ends the listener. `None`: no thread could be started.
    running: Option<RunningListener>,
}

impl ClusterSubscription {
    pub(super) fn new(
        prefix: &str,
        bound: Duration,
        listener: SharedListener,
        when_lost: impl Fn() + Send + Sync + 'static,
    ) -> Arc<ClusterSubscription> {
        Arc::new(ClusterSubscription {
            prefix: prefix.to_owned(),
            bound,
            listener,
            when_lost: Box::new(when_lost),
            state: Mutex::default(),
            throttle: LogThrottle::default(),
        })
    }

    /// Listens to the masters that have keys of the prefix, and to nodes that may soon become
    /// masters. Tries again where there was no thread. Returns the listeners that are not needed.
    /// Drop them with no lock held: the drop waits for a call, which may wait for a lock.
    pub(super) fn follow(self: &Arc<ClusterSubscription>, map: &SlotMap) -> Vec<NodeListener> {
        let mut gone = Vec::new();
        let mut state = self.state.lock();
        if !state.has_ended {
            let mut before = mem::take(&mut state.listeners);
            for (node, last_slot) in map.nodes().iter().zip(map.last_slots()) {
                let is_master = last_slot.is_some();
                let is_right = |listener: &NodeListener| match &listener.probe_key {
                    Some(probe_key) => map.owns(&node.address, slot_of(probe_key)),
                    None => !is_master,
                };
                match before.remove(&node.address) {
                    Some(listener) if listener.running.is_some() && is_right(&listener) => {
                        state.listeners.insert(node.address.clone(), listener);
                        continue;
                    }
                    other => gone.extend(other),
                }
                let probe_key = probe_key_for(map, &node.address, last_slot, &self.prefix);
                // A master without a slot for the prefix needs no listener.
                if probe_key.is_some() || !is_master {
                    self.listen(&mut state, node, probe_key);
                }
            }
            gone.extend(before.into_values());
        }
        gone
    }

    /// Listens to this node too. Until the node is heard, no record that is read from it after this
    /// call enters a near cache.
    pub(super) fn expect(self: &Arc<ClusterSubscription>, node: &Node) {
        let mut state = self.state.lock();
        if !state.has_ended && !state.listeners.contains_key(&node.address) {
            self.listen(&mut state, node, None);
        }
    }

    fn listen(
        self: &Arc<ClusterSubscription>,
        state: &mut SubscriptionState,
        node: &Node,
        probe_key: Option<String>,
    ) {
        self.disconnected(state);
        state.number += 1;
        let number = state.number;
        let address = node.address.clone();
        let listener = Arc::new(NodeChangeListener {
            subscription: Arc::downgrade(self),
            address: address.clone(),
            number,
        });
        let (client, timeouts) = node.store.config();
        let task = TrackedPrefix {
            prefix: self.prefix.clone(),
            probe_key: probe_key.clone(),
            bound: self.bound,
        };
        let running = tracking::start(client, timeouts, task, listener);
        let listener = NodeListener {
            number,
            probe_key,
            until: None,
            running: running.map_err(|error| state.unlogged = Some(error)).ok(),
        };
        state.listeners.insert(address, listener);
    }

    /// Logs why a node has no listener, and starts the recovery. Call it with no lock held.
    pub(super) fn report_failure(&self) {
        let Some(error) = self.state.lock().unlogged.take() else {
            return;
        };
        if self.throttle.is_due() {
            trace::error!("no thread to receive changes could be started: {error}");
        }
        (self.when_lost)();
    }

    /// Whether no thread could be started for a listener.
    pub(super) fn lacks_thread(&self) -> bool {
        let state = self.state.lock();
        state.listeners.values().any(|one| one.running.is_none())
    }

    /// Records that a node is not heard.
    fn disconnected(&self, state: &mut SubscriptionState) {
        if mem::replace(&mut state.is_on, false) {
            self.listener.on_disconnect();
        }
    }

    fn confirmed(&self, address: &NodeAddress, number: u64, until: Instant) {
        let mut state = self.state.lock();
        if let Some(listener) = state.listener(address, number) {
            listener.until = Some(until);
            let all: Option<Vec<_>> = state
                .listeners
                .values()
                .map(|listener| listener.until)
                .collect();
            if let Some(until) = all.and_then(|all| all.into_iter().min()) {
                state.is_on = true;
                self.listener.on_confirmed(until);
            }
        }
    }

    fn lost(&self, address: &NodeAddress, number: u64) {
        let mut state = self.state.lock();
        if let Some(listener) = state.listener(address, number) {
            listener.until = None;
            self.disconnected(&mut state);
        }
    }

    /// Ends all listeners.
    fn end(&self) {
        let listeners = {
            let mut state = self.state.lock();
            state.has_ended = true;
            mem::take(&mut state.listeners)
        };
        drop(listeners);
    }
}

impl SubscriptionState {
    fn listener(&mut self, address: &NodeAddress, number: u64) -> Option<&mut NodeListener> {
        let listener = self.listeners.get_mut(address);
        listener.filter(|listener| listener.number == number)
    }
}

/// Held by a cache while it listens. Dropping it ends all listeners.
pub(super) struct SubscriptionHandle(pub(super) Arc<ClusterSubscription>);

impl Drop for SubscriptionHandle {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Passes the calls of one listener on to the subscription.
struct NodeChangeListener {
    subscription: Weak<ClusterSubscription>,
    address: NodeAddress,
    number: u64,
}

impl ChangeListener for NodeChangeListener {
    fn on_confirmed(&self, until: Instant) {
        if let Some(subscription) = self.subscription.upgrade() {
            subscription.confirmed(&self.address, self.number, until);
        }
    }

    fn on_change(&self, data: &str) {
        if let Some(subscription) = self.subscription.upgrade() {
            subscription.listener.on_change(data);
        }
    }

    fn on_lease_change(&self, lease: &str) {
        if let Some(subscription) = self.subscription.upgrade() {
            subscription.listener.on_lease_change(lease);
        }
    }

    fn on_flush(&self) {
        if let Some(subscription) = self.subscription.upgrade() {
            subscription.listener.on_flush();
        }
    }

    fn on_disconnect(&self) {
        let Some(subscription) = self.subscription.upgrade() else {
            return;
        };
        subscription.lost(&self.address, self.number);
        (subscription.when_lost)();
    }
}
