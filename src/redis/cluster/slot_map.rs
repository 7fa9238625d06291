//! Which node has which slot. A map never changes; a new one replaces it as a whole.
//!
//! Called by the topology. Pure: sends nothing.

use std::sync::Arc;

use super::{node::Node, slots::Range};
use crate::{
    redis::{
        node_address::NodeAddress,
        slot::{SLOTS, Slot},
    },
    store::Failure,
};

/// Marks a slot whose node is not known.
const NOBODY: u16 = u16::MAX;

#[derive(Clone)]
pub(super) struct SlotMap {
    /// No two of them have the same address.
    nodes: Vec<Arc<Node>>,
    /// For each slot, the index of its node.
    owners: Box<[u16]>,
}

impl SlotMap {
    /// Creates a map in which only some nodes are known, and no slots.
    pub(super) fn of(nodes: Vec<Arc<Node>>) -> SlotMap {
        let owners = vec![NOBODY; usize::from(SLOTS)].into();
        SlotMap { nodes, owners }
    }

    /// Creates a map from the report of a node. Known nodes are kept, with their connections. The
    /// others are opened.
    pub(super) fn rebuild(
        &self,
        ranges: &[Range],
        open: impl Fn(&NodeAddress) -> Result<Arc<Node>, Failure>,
    ) -> Result<SlotMap, Failure> {
        let mut map = SlotMap::of(Vec::new());
        for range in ranges {
            let at = match (map.index(&range.master), self.at(&range.master)) {
                (Some(at), _) => at,
                (None, Some(known)) => map.add(Arc::clone(known)),
                (None, None) => map.add(open(&range.master)?),
            };
            map.owners[range.first.index()..=range.last.index()].fill(at);
        }
        for node in &self.nodes {
            if node.was_redirected_to() && map.index(&node.address).is_none() {
                map.add(Arc::clone(node));
            }
        }
        Ok(map)
    }

    fn add(&mut self, node: Arc<Node>) -> u16 {
        self.nodes.push(node);
        // There are no more masters than slots.
        u16::try_from(self.nodes.len() - 1).unwrap_or(NOBODY)
    }

    /// The same map with one more node.
    pub(super) fn with(&self, node: Arc<Node>) -> SlotMap {
        let mut map = self.clone();
        map.add(node);
        map
    }

    /// The same map, with the slot assigned to the known node at this address.
    pub(super) fn moved(&self, slot: Slot, to: &NodeAddress) -> SlotMap {
        let mut map = self.clone();
        map.owners[slot.index()] = map.index(to).unwrap_or(NOBODY);
        map
    }

    fn index(&self, address: &NodeAddress) -> Option<u16> {
        let at = self.nodes.iter().position(|node| node.address == *address);
        at.and_then(|at| u16::try_from(at).ok())
    }

    pub(super) fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }

    pub(super) fn at(&self, address: &NodeAddress) -> Option<&Arc<Node>> {
        self.nodes.iter().find(|node| node.address == *address)
    }

    /// The node that has the slot. If that node is not known, any node: it redirects the request.
    pub(super) fn owner(&self, slot: Slot) -> Option<&Arc<Node>> {
        let at = self.owners[slot.index()];
        self.nodes.get(usize::from(at)).or_else(|| {
            let answers = |node: &&Arc<Node>| !node.is_broken();
            self.nodes.iter().find(answers).or(self.nodes.first())
        })
    }

    /// Whether the node at this address has the slot.
    pub(super) fn owns(&self, address: &NodeAddress, slot: Slot) -> bool {
        self.index(address) == Some(self.owners[slot.index()])
    }

    /// The nodes that have any slots.
    pub(super) fn masters(&self) -> Vec<&Arc<Node>> {
        let mut has_slots = vec![false; self.nodes.len()];
        for at in &self.owners {
            if let Some(has_slots) = has_slots.get_mut(usize::from(*at)) {
                *has_slots = true;
            }
        }
        let nodes = self.nodes.iter().zip(has_slots);
        nodes
            .filter_map(|(node, has_slots)| has_slots.then_some(node))
            .collect()
    }

    /// Whether every slot has a node.
    pub(super) fn is_whole(&self) -> bool {
        !self.owners.contains(&NOBODY)
    }
}
