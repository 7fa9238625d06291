//! Scans the keys of all masters, one after the other.
//!
//! A scan of one node returns each key that exists from its start to its end. In a cluster this
//! holds only under two conditions. No slot moves from a later node to one that was already
//! scanned. No replica takes over, because its keys are at other positions.
//!
//! So before the first step and after the last, the scan asks all masters which slots they have and
//! whether they are moving any. It fails if there was a move in between, even one that was undone:
//! each move raises the *configuration epoch* of the node that gets the slots.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use redis::cmd;

use super::{ClusterStore, node::Node, slot_map::SlotMap, slots::NodeSlots};
use crate::{
    redis::{error, invalid_reply::invalid_reply, pool::run_request::RetryPolicy},
    store::{Cursor, Failure, FailureKind, KeyKind, ScanPage},
};

impl ClusterStore {
    pub(super) fn scan_step(
        &self,
        prefix: &str,
        kind: KeyKind,
        cursor: Cursor,
    ) -> Result<ScanPage, Failure> {
        let epoch = match cursor.epoch {
            0 => self.settled()?,
            epoch => epoch,
        };
        let map = self.topology.map();
        let masters = in_order(&map);
        let at = usize::try_from(cursor.node).unwrap_or(usize::MAX);
        let master = masters.get(at).ok_or_else(unsettled)?;
        let (_, step) = self.ask(master, |store| store.scan_at(prefix, kind, cursor.position))?;
        let (node, position) = match step.next {
            Some(next) => (cursor.node, next.position),
            None => (cursor.node + 1, 0),
        };
        let count = masters.len() as u64;
        let next = (node < count).then_some(Cursor {
            node,
            position,
            epoch,
        });
        if next.is_none() && self.settled()? != epoch {
            return Err(unsettled());
        }
        Ok(ScanPage {
            keys: step.keys,
            epoch,
            next,
            fraction: fraction(cursor.node, step.next.map_or(1.0, |_| step.fraction), count),
        })
    }

    /// A number that identifies the assignment of slots to masters and the servers behind the
    /// addresses. It changes with each failover and each move of a slot. Never 0. Fails while a
    /// move is under way.
    fn settled(&self) -> Result<u64, Failure> {
        self.topology.discover()?;
        let map = self.topology.map();
        let mut hasher = DefaultHasher::new();
        for master in in_order(&map) {
            let nodes = self.nodes(master)?;
            let node_slots = NodeSlots::of(&nodes).ok_or_else(|| {
                let invalid = invalid_reply("CLUSTER NODES answers with the slots of the node");
                self.partly(error::failure(invalid, Duration::ZERO))
            })?;
            if let Some(slot) = node_slots.being_moved() {
                let why = format!("slot {slot} is being moved{LATER}");
                let moving = Failure::new(FailureKind::Rejected, why);
                return Err(master.store.at_server(moving));
            }
            let epoch = master.store.config().0.epoch().current();
            (&master.address, epoch, node_slots.epoch, node_slots.slots).hash(&mut hasher);
        }
        Ok(hasher.finish().max(1))
    }

    fn nodes(&self, master: &Node) -> Result<String, Failure> {
        self.ask(master, |store| {
            store.run(RetryPolicy::Idempotent, |connection| {
                cmd("CLUSTER").arg("NODES").query(connection)
            })
        })
    }
}

/// The masters, in the same order at each step, even if the map was rebuilt in between.
fn in_order(map: &SlotMap) -> Vec<&Arc<Node>> {
    let mut masters = map.masters();
    masters.sort_by(|one, other| one.address.cmp(&other.address));
    masters
}

const LATER: &str = "; try again when that is done";

fn unsettled() -> Failure {
    let why = "slots of the cluster were moved during the scan, or a replica took over".to_owned();
    Failure::new(FailureKind::Rejected, why + LATER)
}

/// The fraction of all nodes that was scanned: the nodes before this one, and a part of this one.
#[expect(
    clippy::cast_precision_loss,
    reason = "a fraction for people needs no 53rd bit"
)]
fn fraction(nodes: u64, of_this: f64, count: u64) -> f64 {
    ((nodes as f64 + of_this) / count.max(1) as f64).min(1.0)
}
