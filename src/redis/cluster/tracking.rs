//! Tracks changes on a cluster: one listener for each node from which records are read.
//!
//! A push comes from the node that made the change, and from no other. So an [`ChangeListener`] is told that it can rely on what it heard
//! as long as *every* one of them is heard, and no longer than the one that was heard last the longest time ago.
//!
//! # What makes that enough
//!
//! 1. Whoever is about to read from a node that nobody listens to says so before ([`ClusterSubscription::expect`]): then nothing is used near
//!    until that node is heard as well, and what is read meanwhile never is.
//! 2. A record that is near was read from a node that is listened to. Where its slot is moved to another node, it is deleted
//!    from that node when it has been handed over, which is pushed.
//! 3. Where another node takes over because this one is cut off from the rest of the cluster, this one doesn't know yet, and
//!    would answer each `PING`. So with each goes a question for a key in one of its slots, which it refuses when the slot is another's
//!    or the cluster is down for it: the [probe key](probe_key_for) of its listener. A node refuses all keys after the node
//!    timeout, and another takes its place no sooner.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{node::Node, slot_map::SlotMap, slots::slot_of};
use crate::{
    redis::{
        node_address::NodeAddress,
        tracking::{self, Task},
    },
    store::{ChangeListener, Subscription, tracking::SharedListener},
};

pub(super) struct ClusterSubscription {
    prefix: String,
    bound: Duration,
    listener: SharedListener,
    /// Called when a node is heard no longer, under no lock.
    when_lost: Box<dyn Fn() + Send + Sync>,
    /// Held while the listener is told whether it can rely on what it hears, so that it is told in the order in which that was so.
    state: Mutex<SubscriptionState>,
}

#[derive(Default)]
struct SubscriptionState {
    listeners: HashMap<NodeAddress, NodeListener>,
    /// Of the latest listener.
    number: u64,
    /// The listener relies on what it hears.
    is_on: bool,
    /// Nobody is to be followed any more.
    has_ended: bool,
}

/// One node.
pub(super) struct NodeListener {
    /// Another one for each listener, so that one that was replaced is not taken for the one that replaced it.
    number: u64,
    probe_key: Option<String>,
    /// `None`: it isn't heard.
    until: Option<Instant>,
    /// Held, and dropped under no lock: then the listener ends.
    _listener: Subscription,
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
        })
    }

    /// Listens to the masters of the prefix, and to nodes that are about to be some. Returns those that are to be heard no
    /// longer: to be dropped under no lock, which waits for them to end, as they may for a lock.
    pub(super) fn follow(self: &Arc<ClusterSubscription>, map: &SlotMap) -> Vec<NodeListener> {
        let masters = map.masters();
        let mut gone = Vec::new();
        let mut state = self.state.lock();
        if !state.has_ended {
            let mut before = mem::take(&mut state.listeners);
            for node in map.nodes() {
                let is_master = masters.iter().any(|master| master.address == node.address);
                let is_right = |listener: &NodeListener| match &listener.probe_key {
                    Some(probe_key) => map.owns(&node.address, slot_of(probe_key)),
                    None => !is_master,
                };
                match before.remove(&node.address) {
                    Some(listener) if is_right(&listener) => {
                        state.listeners.insert(node.address.clone(), listener);
                        continue;
                    }
                    other => gone.extend(other),
                }
                let probe_key = probe_key_for(map, &node.address, &self.prefix);
                // Not to a master of which no slot is one of the prefix.
                if probe_key.is_some() || !is_master {
                    self.listen(&mut state, node, probe_key);
                }
            }
            gone.extend(before.into_values());
        }
        gone
    }

    /// Listens to this node as well. What is read from it after this has returned is not used near before it is heard.
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
        self.silence(state);
        state.number += 1;
        let number = state.number;
        let address = node.address.clone();
        let listener = Arc::new(NodeChangeListener {
            subscription: Arc::downgrade(self),
            address: address.clone(),
            number,
        });
        let (client, timeouts) = node.store.config();
        let task = Task {
            prefix: self.prefix.clone(),
            probe_key: probe_key.clone(),
            bound: self.bound,
        };
        let listener = NodeListener {
            number,
            probe_key,
            until: None,
            _listener: tracking::track(client, timeouts, task, listener),
        };
        state.listeners.insert(address, listener);
    }

    /// Somebody isn't heard.
    fn silence(&self, state: &mut SubscriptionState) {
        if mem::replace(&mut state.is_on, false) {
            self.listener.on_disconnect();
        }
    }

    fn heard(&self, address: &NodeAddress, number: u64, until: Instant) {
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
            self.silence(&mut state);
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

/// What a program holds while it listens.
pub(super) struct SubscriptionHandle(pub(super) Arc<ClusterSubscription>);

impl Drop for SubscriptionHandle {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// What one listener tells.
struct NodeChangeListener {
    subscription: Weak<ClusterSubscription>,
    address: NodeAddress,
    number: u64,
}

impl ChangeListener for NodeChangeListener {
    fn on_confirmed(&self, until: Instant) {
        if let Some(subscription) = self.subscription.upgrade() {
            subscription.heard(&self.address, self.number, until);
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

/// How many keys are tried. A node with a hundredth of the slots is hit by one of a hundred.
const TRIES: u32 = 50_000;

/// A key with this prefix in one of the slots of the node at this place; `None`: it has none. Nothing need stand there.
fn probe_key_for(map: &SlotMap, address: &NodeAddress, prefix: &str) -> Option<String> {
    let is_here = |key: &String| map.owns(address, slot_of(key));
    let key = |number| format!("{prefix}{{{number}}}");
    if slot_of(&key(0)) == slot_of(&key(1)) && slot_of(&key(1)) == slot_of(&key(2)) {
        // The prefix has a tag, and so one slot.
        return Some(key(0)).filter(is_here);
    }
    (0..TRIES).map(key).find(is_here)
}
