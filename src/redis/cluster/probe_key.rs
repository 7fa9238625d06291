//! A key with a given prefix in a given slot. Pure.
//!
//! Called by `tracking.rs`, which needs one for each master: see there. Such a key is computed. A
//! search would try as many keys as there are masters, for each master; for a master with a single
//! slot it would try 16,384 on average.
//!
//! # How
//!
//! The key is the prefix and 16 characters, each `0` or `1`. These differ in one bit. So, because
//! the checksum is [linear](super::crc16), each place has one number: the bits of the checksum that
//! flip if the character there is `1`. No combination of these 16 numbers is 0. So they are a
//! basis, and some combination turns the checksum of the sixteen `0` into that of the slot.
//! Gaussian elimination finds it; it is done once, by the compiler.

use super::{
    crc16::{crc16, with_byte},
    slot_map::SlotMap,
    slots::slot_of,
};
use crate::{
    redis::{address::node_address::NodeAddress, slot::Slot},
    store::keys::hashed,
};

/// As many characters as the checksum has bits.
const BITS: usize = 16;

/// For each bit of the checksum, a change of the text that flips this bit and no higher one.
const CHANGES: [Flips; BITS] = {
    let mut changes = [Flips {
        flips: 0,
        places: 0,
    }; BITS];
    // A change at the last character.
    let mut effect = with_byte(0, b'0' ^ b'1');
    let mut place = 0;
    while place < BITS {
        let mut change = Flips {
            flips: effect,
            places: 1 << place,
        };
        while change.flips != 0 {
            let highest = change.flips.ilog2() as usize;
            if changes[highest].flips == 0 {
                changes[highest] = change;
                break;
            }
            change = change.and(changes[highest]);
        }
        // The same change one character before.
        effect = with_byte(effect, 0);
        place += 1;
    }
    changes
};

/// Which bits of the checksum flip if the characters at some places are changed.
#[derive(Clone, Copy)]
struct Flips {
    flips: u16,
    /// A bit for each place. The lowest one is the last character.
    places: u16,
}

impl Flips {
    /// Both changes. What both change stays as it is.
    const fn and(self, other: Flips) -> Flips {
        Flips {
            flips: self.flips ^ other.flips,
            places: self.places ^ other.places,
        }
    }
}

/// A key with this prefix in a slot of the node at this address. The key need not exist. `None`:
/// the node has no slot for the prefix. `last_slot` is the last slot of the node, if it has any.
///
/// The last slot, because tools move the slots of a node in ascending order. A listener whose slot
/// has moved must be replaced.
pub(super) fn probe_key_for(
    map: &SlotMap,
    address: &NodeAddress,
    last_slot: Option<Slot>,
    prefix: &str,
) -> Option<String> {
    let last_slot = last_slot?;
    let key = key_in(prefix, last_slot);
    // If the prefix has a hash tag, all its keys are in one slot.
    map.owns(address, slot_of(&key)).then_some(key)
}

/// A key with this prefix in this slot. If the prefix has a hash tag: any key with this prefix.
fn key_in(prefix: &str, slot: Slot) -> String {
    let zeros = format!("{prefix}{:016b}", 0);
    if hashed(&zeros) != zeros {
        return zeros;
    }
    let mut change = Flips {
        flips: crc16(zeros.as_bytes()) ^ slot.number(),
        places: 0,
    };
    for highest in (0..BITS).rev() {
        if change.flips >> highest & 1 == 1 {
            change = change.and(CHANGES[highest]);
        }
    }
    format!("{prefix}{:016b}", change.places)
}

#[cfg(test)]
mod tests {
    use std::{hint::black_box, sync::Arc, time::Instant};

    use super::*;
    use crate::redis::{
        cluster::{node::testing::node, slots::Range},
        slot::SLOTS,
    };

    /// An open brace is no tag, and an empty tag neither.
    const WITHOUT_TAG: [&str; 6] = ["", "cache:product:", "ü", "cache:{", "cache:}", "cache:{}"];

    #[test]
    fn there_is_a_key_in_every_slot_with_every_prefix_that_has_no_hash_tag() {
        for prefix in WITHOUT_TAG {
            for slot in (0..SLOTS).filter_map(Slot::new) {
                let key = key_in(prefix, slot);
                assert_eq!(slot_of(&key), slot, "{key}");
                assert!(key.starts_with(prefix), "{key}");
            }
        }
    }

    #[test]
    fn a_prefix_with_a_hash_tag_has_a_probe_key_at_one_node_only() {
        let map = cluster(8);
        let slot = slot_of("{shop}:");
        for (node, last_slot) in map.nodes().iter().zip(map.last_slots()) {
            let key = probe_key_for(&map, &node.address, last_slot, "{shop}:");
            assert_eq!(key.is_some(), map.owns(&node.address, slot));
            assert!(key.is_none_or(|key| key.starts_with("{shop}:") && slot_of(&key) == slot));
        }
    }

    /// A search that tries a limited number of keys may find none for a node with few slots. Then
    /// there would be no listener to that node.
    #[test]
    fn a_node_with_a_single_slot_has_a_probe_key() {
        let map = cluster(usize::from(SLOTS) / 16);
        for (node, last_slot) in map.nodes().iter().zip(map.last_slots()) {
            assert!(probe_key_for(&map, &node.address, last_slot, "test:").is_some());
        }
        let ranges = [(0, 16_382, 1), (16_383, 16_383, 2)].map(|(first, last, port)| Range {
            first: Slot::new(first).unwrap(),
            last: Slot::new(last).unwrap(),
            master: address(port),
            replicas: Vec::new(),
        });
        let map = SlotMap::of(Vec::new());
        let map = map.rebuild(&ranges, |address| Ok(node(address))).unwrap();
        let last_slot = Slot::new(16_383);
        let key = probe_key_for(&map, &address(2), last_slot, "test:");
        assert_eq!(key.as_deref().map(slot_of), last_slot);
    }

    #[test]
    fn the_cost_of_all_probe_keys_grows_no_faster_than_the_number_of_masters() {
        let cost = |map: &SlotMap| {
            let start = Instant::now();
            for (node, last_slot) in map.nodes().iter().zip(map.last_slots()) {
                let key = probe_key_for(map, &node.address, last_slot, "cache:product:");
                assert!(black_box(key).is_some());
            }
            start.elapsed()
        };
        let (few, many) = (cluster(100), cluster(1_000));
        // The shortest of many: other work can only make it longer.
        let costs = (0..100).map(|_| (cost(&few), cost(&many)));
        let least = costs.reduce(|least, next| (least.0.min(next.0), least.1.min(next.1)));
        let (few, many) = least.unwrap_or_default();
        let ratio = many.as_secs_f64() / few.as_secs_f64();
        println!("the probe keys of 1,000 masters cost {ratio:.1} times those of 100");
        assert!(ratio <= 12.0, "{ratio}");
    }

    fn address(port: u16) -> NodeAddress {
        NodeAddress {
            host: "127.0.0.1".to_owned(),
            port,
        }
    }

    /// So many masters, each with the same number of slots.
    fn cluster(masters: usize) -> SlotMap {
        let edge = |at: usize| usize::from(SLOTS) * at / masters;
        let slot = |at: usize| Slot::new(u16::try_from(at).unwrap()).unwrap();
        let range = |at: usize| Range {
            first: slot(edge(at)),
            last: slot(edge(at + 1) - 1),
            master: address(u16::try_from(at + 1).unwrap()),
            replicas: Vec::new(),
        };
        let ranges: Vec<_> = (0..masters).map(range).collect();
        let nobody: Vec<Arc<_>> = Vec::new();
        let map = SlotMap::of(nobody);
        map.rebuild(&ranges, |address| Ok(node(address))).unwrap()
    }
}
