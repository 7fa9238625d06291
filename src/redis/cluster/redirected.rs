//! The nodes to which other nodes redirect requests.
//!
//! A node may redirect to any address, and each known node costs memory, and connections once it is
//! asked. Guarantees that a redirection makes no node known for good:
//!
//! - **`MOVED`**, the slot belongs to the node at this address. If no report has named the address,
//!   the node that redirects is asked for the slots, and only its report is followed. In a real
//!   cluster it names the address: a node finds both answers in the same table. Callers at the same
//!   time ask once.
//! - **`ASK`**, the slot is being moved to the node at this address. That node may be new, and no
//!   report names a node before it has a slot. So it is known as *unconfirmed*, without a report.
//!   Only a few such nodes are known at once: `slot_map.rs` has the number. A further one is
//!   refused until one of them has had no redirection for ten seconds. They share one set of
//!   threads, see `threads.rs`, and are not asked for the slots.
//!
//! Called by the store on a cluster. `topology.rs` has the order of the locks.

use std::sync::Arc;

use super::{node::Node, topology::Topology};
use crate::{
    redis::{address::node_address::NodeAddress, slot::Slot},
    store::{Failure, FailureKind},
};

impl Topology {
    /// The node to ask after one has reported that the slot belongs to another.
    pub(super) fn moved(
        &self,
        slot: Slot,
        to: &NodeAddress,
        reported_by: &Node,
    ) -> Result<Arc<Node>, Failure> {
        if !self.is_confirmed(to) {
            self.ask_about(to, reported_by);
        }
        let Some(node) = self.confirmed(to)? else {
            self.recovery.start();
            // The node may have two addresses, of which the report names the other one.
            let owner = self.owner(slot)?;
            if owner.address == reported_by.address {
                return Err(reported_by.store.at_server(unconfirmed(to)));
            }
            return Ok(owner);
        };
        {
            let _rebuilding = self.rebuilding.lock();
            let map = self.map();
            if !map.owns(to, slot) {
                self.replace(map.moved(slot, to));
            }
        }
        self.recovery.start();
        Ok(node)
    }

    /// The node to ask after one has reported that the key, if it exists, is at another.
    pub(super) fn asked(&self, to: &NodeAddress) -> Result<Arc<Node>, Failure> {
        if let Some(node) = self.confirmed(to)? {
            return Ok(node);
        }
        let rebuilding = self.rebuilding.lock();
        let map = self.map();
        if let Some(known) = map.at(to) {
            known.record_redirect();
            return Ok(Arc::clone(known));
        }
        let Some(map) = map.with_place_for_unconfirmed() else {
            let why = TooManyUnconfirmed {
                address: to.clone(),
            };
            return Err(Failure::new(FailureKind::Partial, why));
        };
        let (endpoint, pool) = (self.endpoint(to)?, self.threads.unconfirmed_pool());
        let node = Node::unconfirmed(endpoint, to.clone(), self.config, pool);
        let node = Arc::new(node);
        let map = map.with(Arc::clone(&node));
        let subscriptions = self.subscriptions();
        // Before anyone can read from the node: see `expect` below.
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
        // It may have slots that this process has not heard of.
        self.recovery.start();
        Ok(node)
    }

    /// Asks a node for the slots, unless another caller does so, or just did so in vain.
    fn ask_about(&self, address: &NodeAddress, node: &Node) {
        let mut rebuilt = None;
        let is_answered = || self.is_confirmed(address);
        self.question
            .ask(self.config.timeouts.checkout, is_answered, || {
                rebuilt = self.discover_from(node).ok();
                is_answered()
            });
        // Logged after the question has ended, because a logger may look something up.
        if let Some(rebuilt) = rebuilt {
            rebuilt.log();
        }
    }

    /// Whether a report has named this address. Before the first report, those that the program has
    /// named count as well.
    fn is_confirmed(&self, address: &NodeAddress) -> bool {
        let is_known = self.map().confirmed(address).is_some();
        is_known || self.replicas.lock().contains_key(address)
    }

    /// The node at this address, if it [is confirmed](Topology::is_confirmed). A replica becomes a
    /// node here: it has taken over.
    fn confirmed(&self, address: &NodeAddress) -> Result<Option<Arc<Node>>, Failure> {
        let rebuilding = self.rebuilding.lock();
        let map = self.map();
        let known = map.confirmed(address).cloned();
        let is_known = known.is_some();
        let node = match known {
            Some(node) => node,
            None if self.replicas.lock().contains_key(address) => self.open(address)?,
            None => return Ok(None),
        };
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
        Ok(Some(node))
    }
}

/// A node redirects to an address that its own report of the slots does not name.
#[derive(Debug, thiserror::Error)]
#[error("the node redirected the request to {address}, which is no node of the cluster")]
struct Unconfirmed {
    address: NodeAddress,
}

fn unconfirmed(address: &NodeAddress) -> Failure {
    let address = address.clone();
    Failure::new(FailureKind::Partial, Unconfirmed { address })
}

#[derive(Debug, thiserror::Error)]
#[error(
    "the request was redirected to {address}, but too many nodes without slots are known at the moment"
)]
struct TooManyUnconfirmed {
    address: NodeAddress,
}
