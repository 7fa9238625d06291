//! Going through the keys of all masters, one after the other.
//!
//! A scan of one node meets what stands there from its start to its end. Of a cluster that is so only if nothing is handed
//! from a node that comes late to one that has been gone through, and no replica has taken over, which has its keys in other
//! places. So before the first step and after the last all masters are asked which slots they have and whether they hand anything
//! over; if there was a move in between, the scan has failed. Also one that was undone: each raises a *configuration epoch*, of
//! the node that gets the slots.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use redis::cmd;

use super::{ClusterStore, node::Node, slot_map::Map, slots::Holding};
use crate::{
    redis::{error, pool::Conduct, script::nonsense},
    store::{Cursor, Failure, Kind, Scanned, Symptom},
};

impl ClusterStore {
    pub(super) fn scan_step(
        &self,
        prefix: &str,
        kind: Kind,
        cursor: Cursor,
    ) -> Result<Scanned, Failure> {
        let of = match cursor.of {
            0 => self.settled()?,
            of => of,
        };
        let map = self.atlas.map();
        let masters = in_order(&map);
        let at = usize::try_from(cursor.part).unwrap_or(usize::MAX);
        let master = masters.get(at).ok_or_else(unsettled)?;
        let (_, step) = self.ask(master, |store| store.scan_at(prefix, kind, cursor.place))?;
        let (part, place) = match step.next {
            Some(next) => (cursor.part, next.place),
            None => (cursor.part + 1, 0),
        };
        let count = masters.len() as u64;
        let next = (part < count).then_some(Cursor { part, place, of });
        if next.is_none() && self.settled()? != of {
            return Err(unsettled());
        }
        Ok(Scanned {
            met: step.met,
            of,
            next,
            share: share(cursor.part, step.next.map_or(1.0, |_| step.share), count),
        })
    }

    /// A number for who has which slots, by which failover or move, if none is under way, and for
    /// the servers behind their addresses. Never 0.
    fn settled(&self) -> Result<u64, Failure> {
        self.atlas.survey()?;
        let map = self.atlas.map();
        let mut hasher = DefaultHasher::new();
        for master in in_order(&map) {
            let nodes = self.nodes(master)?;
            let holding = Holding::of(&nodes).ok_or_else(|| {
                let nonsense = nonsense("CLUSTER NODES answers with the slots of the node");
                self.partly(error::failure(nonsense, Duration::ZERO))
            })?;
            if let Some(slot) = holding.being_moved() {
                let place = &master.place;
                let why = format!("slot {slot} of the cluster is being moved, says {place}");
                return Err(Failure::new(Symptom::Refused, why + LATER));
            }
            let epoch = master.store.terms().0.epoch().current();
            (&master.place, epoch, holding.epoch, holding.slots).hash(&mut hasher);
        }
        Ok(hasher.finish().max(1))
    }

    fn nodes(&self, master: &Node) -> Result<String, Failure> {
        self.ask(master, |store| {
            store.run(Conduct::Repeatable, |connection| {
                cmd("CLUSTER").arg("NODES").query(connection)
            })
        })
    }
}

/// In the same order at each step, also where the map was drawn anew in between.
fn in_order(map: &Map) -> Vec<&Arc<Node>> {
    let mut masters = map.masters();
    masters.sort_by(|one, other| one.place.cmp(&other.place));
    masters
}

const LATER: &str = "; again, when that is done";

fn unsettled() -> Failure {
    let why = "slots of the cluster were moved meanwhile, or a replica took over".to_owned();
    Failure::new(Symptom::Refused, why + LATER)
}

/// How much of all nodes has been gone through, the nodes before this one and a share of it.
#[expect(
    clippy::cast_precision_loss,
    reason = "a share for people needs no 53rd bit"
)]
fn share(nodes: u64, of_this: f64, count: u64) -> f64 {
    ((nodes as f64 + of_this) / count.max(1) as f64).min(1.0)
}
