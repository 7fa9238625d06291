//! Going through the keys of all masters, one after the other.
//!
//! A scan of one node meets what stands there from its start to its end. Of a cluster that is so only if nothing is handed
//! from a node that comes late to one that has been gone through. So before the first step and after the last all masters are
//! asked whether they hand anything over, and which slots they have; if there was a move in between, the scan has failed.

use redis::cmd;

use super::{ClusterStore, node::Node, slots::being_moved};
use crate::store::{Failure, Kind, Scanned, Store, Symptom, connection::Conduct};

/// A cursor is the node's own (its table has fewer places than that, though the slot be part of it), the number of the node, and
/// the fingerprint of the map.
const PLACE_BITS: u32 = 38;
const NODE_BITS: u32 = 10;

impl ClusterStore {
    pub(super) fn scan_step(
        &self,
        prefix: &str,
        kind: Kind,
        cursor: u64,
    ) -> Result<Scanned, Failure> {
        let fingerprint = if cursor == 0 {
            self.settled()?
        } else {
            cursor >> (PLACE_BITS + NODE_BITS)
        };
        let map = self.atlas.map();
        let mut masters = map.masters();
        // In the same order at each step, also where the map was drawn anew in between.
        masters.sort_by(|one, other| one.place.cmp(&other.place));
        let number = cursor >> PLACE_BITS & ((1 << NODE_BITS) - 1);
        let place = cursor & ((1 << PLACE_BITS) - 1);
        let master = usize::try_from(number).ok().and_then(|at| masters.get(at));
        let Some(master) = master else {
            return Err(unsettled());
        };
        let step = self.ask(master, |store| store.scan(prefix, kind, place))?;
        let (number, place) = match step.next {
            Some(place) => (number, place),
            None => (number + 1, 0),
        };
        let count = u64::try_from(masters.len()).unwrap_or(u64::MAX);
        if place >> PLACE_BITS != 0 || number >> NODE_BITS != 0 {
            let too_large = "the cluster is too large to be gone through";
            return Err(Failure::new(Symptom::Refused, too_large));
        }
        let next = (number < count)
            .then_some(fingerprint << (PLACE_BITS + NODE_BITS) | number << PLACE_BITS | place);
        if next.is_none() && self.settled()? != fingerprint {
            return Err(unsettled());
        }
        Ok(Scanned {
            met: step.met,
            next,
            share: share(number, step.next.map_or(0.0, |_| step.share), count),
        })
    }

    /// The fingerprint of the map, if no slot is being moved.
    fn settled(&self) -> Result<u64, Failure> {
        self.atlas.survey()?;
        let map = self.atlas.map();
        for master in map.masters() {
            if let Some(slot) = self.being_moved(master)? {
                let place = &master.place;
                let why = format!("slot {slot} of the cluster is being moved, says {place}");
                return Err(Failure::new(Symptom::Refused, why + LATER));
            }
        }
        // Never 0 with the first node and its first place: that is the beginning.
        Ok(u64::from(map.fingerprint().max(1)))
    }

    fn being_moved(&self, master: &Node) -> Result<Option<u16>, Failure> {
        let nodes: String = self.ask(master, |store| {
            store.run(Conduct::Repeatable, |connection| {
                cmd("CLUSTER").arg("NODES").query(connection)
            })
        })?;
        Ok(being_moved(&nodes))
    }
}

const LATER: &str = "; again, when that is done";

fn unsettled() -> Failure {
    let why = "slots of the cluster were moved meanwhile".to_owned();
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
