//! Which node has which slot. A map never changes; a new one replaces it as a whole.
//!
//! Guarantees that few nodes are known: those of the latest report, which `slots.rs` limits, those
//! to which a redirection corrected a slot since, and [`MOST_WITHOUT_SLOTS`] others.
//!
//! Called by the topology. Pure: sends nothing.

use std::{collections::HashMap, sync::Arc};

use super::{node::Node, slots::Range};
use crate::{
    redis::{
        address::node_address::NodeAddress,
        slot::{SLOTS, Slot},
    },
    store::Failure,
};

/// Marks a slot whose node is not known.
const NOBODY: u16 = u16::MAX;

/// How many nodes without slots are known because a redirection named them. Slots are moved to a
/// new node one after the other, so a cluster seldom has more than one such node.
const MOST_WITHOUT_SLOTS: usize = 16;

#[derive(Clone)]
pub(super) struct SlotMap {
    /// No two of them have the same address.
    nodes: Vec<Arc<Node>>,
    /// The index of each node. Copied only when a node is added.
    indices: Arc<HashMap<NodeAddress, u16>>,
    /// For each slot, the index of its node.
    owners: Box<[u16]>,
}

impl SlotMap {
    /// Creates a map in which only some nodes are known, and no slots.
    pub(super) fn of(nodes: Vec<Arc<Node>>) -> SlotMap {
        let mut map = SlotMap {
            nodes: Vec::new(),
            indices: Arc::default(),
            owners: vec![NOBODY; usize::from(SLOTS)].into(),
        };
        for node in nodes {
            map.put(node);
        }
        map
    }

    /// Creates a map from the report of a node. Known nodes are kept, with their connections. The
    /// others are opened. So are those that were not confirmed before: see [`Node`].
    pub(super) fn rebuild(
        &self,
        ranges: &[Range],
        open: impl Fn(&NodeAddress) -> Result<Arc<Node>, Failure>,
    ) -> Result<SlotMap, Failure> {
        let mut map = SlotMap::of(Vec::new());
        for range in ranges {
            let at = match (map.index(&range.master), self.confirmed(&range.master)) {
                (Some(at), _) => at,
                (None, Some(known)) => map.put(Arc::clone(known)),
                (None, None) => map.put(open(&range.master)?),
            };
            map.owners[range.first.index()..=range.last.index()].fill(at);
        }
        let others = self.nodes.iter().filter(|node| node.was_redirected_to());
        let others = others.filter(|node| !map.indices.contains_key(&node.address));
        let others: Vec<_> = others.take(MOST_WITHOUT_SLOTS).cloned().collect();
        for node in others {
            map.put(node);
        }
        Ok(map)
    }

    /// Adds a node, in the place of a node with the same address. Returns its index.
    fn put(&mut self, node: Arc<Node>) -> u16 {
        let next = self.nodes.len();
        // There are far fewer nodes than numbers: see the top of this file.
        let next = u16::try_from(next).unwrap_or(NOBODY);
        let indices = Arc::make_mut(&mut self.indices);
        let at = *indices.entry(node.address.clone()).or_insert(next);
        match self.nodes.get_mut(usize::from(at)) {
            Some(known) => *known = node,
            None => self.nodes.push(node),
        }
        at
    }

    /// The same map with one more node.
    pub(super) fn with(&self, node: Arc<Node>) -> SlotMap {
        let mut map = self.clone();
        map.put(node);
        map
    }

    /// The same map without those unconfirmed nodes that no redirection has named lately. `None`:
    /// there are too many others to add one more.
    pub(super) fn with_place_for_unconfirmed(&self) -> Option<SlotMap> {
        let is_kept = |node: &&Arc<Node>| node.is_confirmed || node.was_redirected_to();
        let kept: Vec<_> = self.nodes.iter().filter(is_kept).cloned().collect();
        let unconfirmed = kept.iter().filter(|node| !node.is_confirmed);
        if unconfirmed.count() >= MOST_WITHOUT_SLOTS {
            return None;
        }
        if kept.len() == self.nodes.len() {
            return Some(self.clone());
        }
        let mut map = SlotMap::of(kept);
        let index = |node: &Arc<Node>| map.index(&node.address).unwrap_or(NOBODY);
        let indices: Vec<_> = self.nodes.iter().map(index).collect();
        for (slot, before) in self.owners.iter().enumerate() {
            let at = indices.get(usize::from(*before));
            map.owners[slot] = at.copied().unwrap_or(NOBODY);
        }
        Some(map)
    }

    /// The same map, with the slot assigned to the known node at this address.
    pub(super) fn moved(&self, slot: Slot, to: &NodeAddress) -> SlotMap {
        let mut map = self.clone();
        map.owners[slot.index()] = map.index(to).unwrap_or(NOBODY);
        map
    }

    fn index(&self, address: &NodeAddress) -> Option<u16> {
        self.indices.get(address).copied()
    }

    pub(super) fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }

    pub(super) fn at(&self, address: &NodeAddress) -> Option<&Arc<Node>> {
        self.nodes.get(usize::from(self.index(address)?))
    }

    /// The node at this address, if a report or the program has named it.
    pub(super) fn confirmed(&self, address: &NodeAddress) -> Option<&Arc<Node>> {
        self.at(address).filter(|node| node.is_confirmed)
    }

    /// The node that has the slot. If that node is not known, any node: it redirects the request.
    pub(super) fn owner(&self, slot: Slot) -> Option<&Arc<Node>> {
        let at = self.owners[slot.index()];
        self.nodes.get(usize::from(at)).or_else(|| {
            let answers = |node: &&Arc<Node>| node.is_confirmed && !node.is_broken();
            self.nodes.iter().find(answers).or(self.nodes.first())
        })
    }

    /// Whether the node at this address has the slot.
    pub(super) fn owns(&self, address: &NodeAddress, slot: Slot) -> bool {
        self.index(address) == Some(self.owners[slot.index()])
    }

    /// For each node, its last slot. `None`: it has no slots.
    pub(super) fn last_slots(&self) -> Vec<Option<Slot>> {
        let mut last_slots = vec![None; self.nodes.len()];
        for (slot, at) in (0..SLOTS).zip(&self.owners) {
            if let Some(last_slot) = last_slots.get_mut(usize::from(*at)) {
                *last_slot = Slot::new(slot);
            }
        }
        last_slots
    }

    /// The nodes that have any slots.
    pub(super) fn masters(&self) -> Vec<&Arc<Node>> {
        let nodes = self.nodes.iter().zip(self.last_slots());
        nodes
            .filter_map(|(node, last_slot)| last_slot.map(|_| node))
            .collect()
    }

    /// Whether every slot has a node.
    pub(super) fn is_whole(&self) -> bool {
        !self.owners.contains(&NOBODY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::cluster::node::testing::{forget_redirect, node, unconfirmed};

    fn address(port: u16) -> NodeAddress {
        NodeAddress {
            host: "127.0.0.1".to_owned(),
            port,
        }
    }

    fn slot(number: u16) -> Slot {
        Slot::new(number).unwrap()
    }

    fn range(first: u16, last: u16, port: u16) -> Range {
        Range {
            first: slot(first),
            last: slot(last),
            master: address(port),
            replicas: Vec::new(),
        }
    }

    /// Two masters, and unconfirmed nodes with the ports from 100 on, until no more are taken.
    fn full() -> SlotMap {
        let ranges = [range(0, 8_191, 1), range(8_192, 16_383, 2)];
        let map = SlotMap::of(Vec::new());
        let mut map = map.rebuild(&ranges, |to| Ok(node(to))).unwrap();
        for port in 100.. {
            let Some(place) = map.with_place_for_unconfirmed() else {
                return map;
            };
            map = place.with(unconfirmed(&address(port)));
        }
        unreachable!("they have a bound")
    }

    #[test]
    fn only_a_few_unconfirmed_nodes_are_known_at_once() {
        let map = full();
        assert_eq!(map.nodes().len(), 2 + MOST_WITHOUT_SLOTS);
        assert_eq!(map.masters().len(), 2);
        // A master that is confirmed is no longer among them.
        let place = map.with(node(&address(100))).with_place_for_unconfirmed();
        assert_eq!(place.unwrap().nodes().len(), 2 + MOST_WITHOUT_SLOTS);
    }

    #[test]
    fn an_unconfirmed_node_without_redirections_leaves_its_place_and_no_slot_changes_its_node() {
        let map = full();
        let map = map.with(node(&address(3))).moved(slot(5), &address(3));
        forget_redirect(map.at(&address(100)).unwrap());
        let map = map.with_place_for_unconfirmed().unwrap();
        assert!(map.at(&address(100)).is_none());
        assert_eq!(map.nodes().len(), 2 + MOST_WITHOUT_SLOTS);
        for (number, port) in [(0, 1), (4, 1), (5, 3), (8_192, 2), (16_383, 2)] {
            assert!(map.owns(&address(port), slot(number)), "{number}");
        }
    }

    #[test]
    fn a_report_confirms_a_node_and_keeps_only_a_few_without_slots() {
        let map = full();
        let former = (200..300).map(|port| node(&address(port)));
        let map = former.fold(map, |map, former| {
            former.record_redirect();
            map.with(former)
        });
        let report = [range(0, 16_383, 100)];
        let map = map.rebuild(&report, |to| Ok(node(to))).unwrap();
        assert!(map.confirmed(&address(100)).is_some());
        assert_eq!(map.nodes().len(), 1 + MOST_WITHOUT_SLOTS);
    }

    #[test]
    fn the_last_slot_of_each_node_is_known() {
        let map = full().moved(slot(16_383), &address(1));
        let last_slots = map.last_slots();
        let last = |port| last_slots[usize::from(map.index(&address(port)).unwrap())];
        assert_eq!(last(1), Some(slot(16_383)));
        assert_eq!(last(2), Some(slot(16_382)));
        assert_eq!(last(100), None);
    }
}
