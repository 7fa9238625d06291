//! The slot of a key, and the slots of each node as a node of the cluster reports them.
//!
//! Called by the topology and by the scan of a cluster. Pure: sends nothing. Follows the cluster
//! specification, <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>.

use std::collections::{HashMap, HashSet};

use redis::Value;

use super::crc16::crc16;
use crate::{
    redis::{
        address::node_address::NodeAddress,
        slot::{SLOTS, Slot},
    },
    store::keys::hashed,
};

/// The most masters that a report may name. Redis advises at most about 1,000 nodes. So a report
/// with more is wrong, and each master costs memory, and a connection when a cache is built.
const MOST_MASTERS: usize = 1_000;

/// The most nodes that a report may name: so many masters with three replicas each.
const MOST_NODES: usize = 4 * MOST_MASTERS;

/// The slot of a key.
pub(super) fn slot_of(key: &str) -> Slot {
    Slot::of_hash(crc16(hashed(key).as_bytes()))
}

/// A range of slots, from the first to the last, with their master and its replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: Slot,
    pub(super) last: Slot,
    pub(super) master: NodeAddress,
    pub(super) replicas: Vec<NodeAddress>,
}

/// Parses the reply to `CLUSTER SLOTS`. `None`: it is invalid.
pub(super) fn ranges(reply: Value, reported_by: &NodeAddress) -> Option<Vec<Range>> {
    let Value::Array(ranges) = reply else {
        return None;
    };
    let ranges = ranges.into_iter().map(|one| range(one, reported_by));
    let ranges: Vec<_> = ranges.collect::<Option<_>>()?;
    is_possible(&ranges).then_some(ranges)
}

/// Whether a cluster may have these nodes, and has that many slots.
fn is_possible(ranges: &[Range]) -> bool {
    let size = |range: &Range| range.last.index() - range.first.index() + 1;
    let slots: usize = ranges.iter().map(size).sum();
    let masters: HashSet<_> = ranges.iter().map(|range| &range.master).collect();
    let replicas: HashSet<_> = ranges.iter().flat_map(|range| &range.replicas).collect();
    slots <= usize::from(SLOTS)
        && masters.len() <= MOST_MASTERS
        && masters.len() + replicas.len() <= MOST_NODES
}

fn range(reply: Value, reported_by: &NodeAddress) -> Option<Range> {
    let Value::Array(parts) = reply else {
        return None;
    };
    let mut parts = parts.into_iter();
    let (first, last) = (number(&parts.next()?)?, number(&parts.next()?)?);
    let (first, last) = (Slot::new(first)?, Slot::new(last)?);
    let mut nodes = parts.map(|node| node_address(node, reported_by));
    let master = nodes.next()??;
    let replicas = nodes.collect::<Option<_>>()?;
    (first <= last).then_some(Range {
        first,
        last,
        master,
        replicas,
    })
}

fn node_address(reply: Value, reported_by: &NodeAddress) -> Option<NodeAddress> {
    let Value::Array(parts) = reply else {
        return None;
    };
    let mut parts = parts.into_iter();
    let (host, port) = (parts.next()?, number(&parts.next()?)?);
    let host = match host {
        Value::BulkString(host) => String::from_utf8(host).ok()?,
        Value::SimpleString(host) => host,
        Value::Nil => String::new(),
        _ => return None,
    };
    // If a node has no name, its address comes after its id.
    let address = (host == "?").then(|| address(parts.nth(1)?)).flatten();
    NodeAddress::of(&address.unwrap_or(host), port, reported_by)
}

/// The IP address, from a list of names and values.
fn address(more: Value) -> Option<String> {
    let pairs: HashMap<String, String> = redis::from_redis_value(more).ok()?;
    pairs.get("ip").cloned()
}

fn number(value: &Value) -> Option<u16> {
    match value {
        Value::Int(number) => u16::try_from(*number).ok(),
        _ => None,
    }
}

/// The slots of a node, as it reports them itself.
///
/// Its own line in the reply to `CLUSTER NODES` ends with its slots, `0-4 7 9`, and with the marks
/// of moves, `[7->-ID]` and `[8-<-ID]`.
pub(super) struct NodeSlots<'a> {
    /// The configuration epoch of the latest failover or move that gave it slots.
    pub(super) epoch: &'a str,
    /// Ranges, each from the first slot to the last.
    pub(super) slots: Vec<(Slot, Slot)>,
    marks: Vec<Mark>,
}

/// A slot, and whether the node is handing it over. Otherwise the node is receiving it.
type Mark = (Slot, bool);

impl<'a> NodeSlots<'a> {
    /// Parses the reply to `CLUSTER NODES`. `None`: it is invalid.
    pub(super) fn of(nodes: &'a str) -> Option<NodeSlots<'a>> {
        let own = nodes.lines().find(|line| line.contains("myself"))?;
        // The fields: id, address, flags, master, ping, pong, epoch, state of the connection.
        let mut parts = own.split(' ').skip(6);
        let epoch = parts.next()?;
        let parts = parts.skip(1).filter(|part| !part.is_empty());
        let (marks, slots): (Vec<_>, Vec<_>) = parts.partition(|part| part.starts_with('['));
        Some(NodeSlots {
            epoch,
            slots: slots.into_iter().map(slots_from).collect::<Option<_>>()?,
            marks: marks.into_iter().map(mark_from).collect::<Option<_>>()?,
        })
    }

    /// The first slot that the node is handing over or receiving.
    ///
    /// If only the receiving node was told that it owns the slot, the other node keeps its mark in
    /// Redis 7.0. So a mark of handing over counts only while the node still has the slot.
    pub(super) fn being_moved(&self) -> Option<Slot> {
        let has = |slot| {
            let mut ranges = self.slots.iter();
            ranges.any(|(first, last)| (*first..=*last).contains(&slot))
        };
        let mut marks = self.marks.iter();
        let moved = marks.find(|(slot, hands_over)| has(*slot) == *hands_over);
        moved.map(|(slot, _)| *slot)
    }
}

/// Parses `0-4`, or `7` alone.
fn slots_from(text: &str) -> Option<(Slot, Slot)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (Slot::parse(first)?, Slot::parse(last)?);
    (first <= last).then_some((first, last))
}

/// Parses `[7->-ID]` or `[8-<-ID]`.
fn mark_from(text: &str) -> Option<Mark> {
    let (slot, direction) = text.strip_prefix('[')?.split_once('-')?;
    Some((Slot::parse(slot)?, direction.starts_with('>')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> NodeAddress {
        NodeAddress {
            host: "here".to_owned(),
            port: 7000,
        }
    }

    /// The examples of the specification.
    #[test]
    fn a_slot_is_the_hash_of_the_key_or_of_its_tag() {
        let slot = Slot::of_hash(0x31C3);
        assert_eq!(slot_of("123456789"), slot);
        assert_eq!(slot_of("foo{123456789}bar"), slot);
        assert_eq!(slot_of("foo{}{123456789}"), slot_of("foo{}{123456789}"));
        assert_ne!(slot_of("foo{}{123456789}"), slot);
    }

    #[test]
    fn a_redirection_without_a_host_is_to_the_reporting_node() {
        let parsed = |text| NodeAddress::parse(text, &here()).map(|address| address.to_string());
        assert_eq!(parsed("10.0.0.1:7001").as_deref(), Some("10.0.0.1:7001"));
        assert_eq!(parsed(":7001").as_deref(), Some("here:7001"));
        // The report of a node that should have a name but has none.
        assert_eq!(parsed("?:7001").as_deref(), Some("here:7001"));
        assert_eq!(parsed("::1:7001").as_deref(), Some("::1:7001"));
        assert_eq!(parsed("nonsense"), None);
        assert_eq!(parsed(&format!("{}:7001", "a".repeat(256))), None);
    }

    #[test]
    fn ranges_are_read_with_their_masters_and_invalid_replies_are_not() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let node = |host, port| Value::Array(vec![host, Value::Int(port), text("an id")]);
        let range = |first, last, nodes| {
            let mut parts = vec![Value::Int(first), Value::Int(last)];
            parts.extend::<Vec<_>>(nodes);
            Value::Array(parts)
        };
        let said = Value::Array(vec![
            range(0, 5, vec![node(text("a"), 1), node(text("replica"), 9)]),
            range(6, 16_383, vec![node(Value::Nil, 2)]),
        ]);
        let ranges = |reply| ranges(reply, &here());
        let read = ranges(said).unwrap();
        let shown = |range: &Range| {
            let replicas: Vec<_> = range.replicas.iter().map(NodeAddress::to_string).collect();
            let (first, last) = (range.first, range.last);
            format!("{first}-{last} {} [{}]", range.master, replicas.join(" "))
        };
        let shown: Vec<_> = read.iter().map(shown).collect();
        assert_eq!(shown, ["0-5 a:1 [replica:9]", "6-16383 here:2 []"]);

        // A node that should be called by its name, but has none.
        let ip = Value::Array(vec![text("ip"), text("10.0.0.7")]);
        let nameless = vec![text("?"), Value::Int(3), text("an id"), ip];
        let said = Value::Array(vec![range(0, 1, vec![Value::Array(nameless)])]);
        let read = ranges(said).unwrap();
        assert_eq!(read[0].master.to_string(), "10.0.0.7:3");

        assert_eq!(ranges(Value::Int(1)), None);
        for wrong in [
            range(0, 16_384, vec![node(text("a"), 1)]),
            range(16_384, 16_384, vec![node(text("a"), 1)]),
            range(-1, 5, vec![node(text("a"), 1)]),
            range(0, 65_536, vec![node(text("a"), 1)]),
            range(0, 1, vec![node(text("a"), -1)]),
            range(7, 6, vec![node(text("a"), 1)]),
            range(0, 1, vec![]),
            range(0, 1, vec![node(text("a"), 65_536)]),
            range(0, 1, vec![node(text("a\r\nb"), 1)]),
        ] {
            assert_eq!(ranges(Value::Array(vec![wrong])), None);
        }
        let too_many = vec![range(0, 1, vec![node(text("a"), 1)]); 16_385];
        assert_eq!(ranges(Value::Array(too_many)), None);
    }

    #[test]
    fn a_report_of_more_nodes_or_slots_than_a_cluster_has_is_invalid() {
        let node = |port: usize| {
            let port = i64::try_from(port).unwrap();
            Value::Array(vec![Value::SimpleString("a".to_owned()), Value::Int(port)])
        };
        // A slot for each master, with replicas that no other master has.
        let said = |masters: usize, replicas: usize| {
            let one = |slot: usize| {
                let number = Value::Int(i64::try_from(slot).unwrap());
                let others = (0..replicas).map(|at| node(2_000 + slot * replicas + at));
                let nodes = std::iter::once(node(slot + 1)).chain(others);
                Value::Array([number.clone(), number].into_iter().chain(nodes).collect())
            };
            Value::Array((0..masters).map(one).collect())
        };
        let count = |reply| ranges(reply, &here()).map(|ranges| ranges.len());
        assert_eq!(count(said(MOST_MASTERS, 3)), Some(MOST_MASTERS));
        assert_eq!(count(said(MOST_MASTERS + 1, 0)), None);
        assert_eq!(count(said(MOST_MASTERS, 4)), None);
        let all = |port| {
            let (first, last) = (Value::Int(0), Value::Int(i64::from(SLOTS) - 1));
            Value::Array(vec![first, last, node(port)])
        };
        assert_eq!(count(Value::Array(vec![all(1)])), Some(1));
        assert_eq!(count(Value::Array(vec![all(1), all(2)])), None);
    }

    #[test]
    fn a_slot_is_being_moved_while_the_node_that_has_it_hands_it_over() {
        let of = |slots: &str| {
            let other = "b 10.0.0.2:7000@17000 master - 0 0 2 connected 6 [6->-a]";
            let own = "a 10.0.0.1:7000@17000 myself,master - 0 0 1 connected";
            let nodes = format!("{other}\n{own} {slots}\n");
            let node_slots = NodeSlots::of(&nodes).unwrap();
            assert_eq!(node_slots.epoch, "1");
            node_slots.being_moved().map(Slot::index)
        };
        assert_eq!(of("0-4 7"), None);
        assert_eq!(of("0-4 7 [7->-b]"), Some(7));
        assert_eq!(of("0-4 7 [8-<-b] [9-<-b]"), Some(8));
        // Marks that were left behind: the slot belongs to the other node by now, or to this one.
        assert_eq!(of("0-4 7 [5->-b]"), None);
        assert_eq!(of("0-4 7 [3-<-b]"), None);
        assert_eq!(of("0-4 7 [5->-b] [3->-b]"), Some(3));
        assert!(NodeSlots::of("").is_none());
        for wrong in ["0-16384", "16384", "5-4", "x", "0-4 [16384->-b]", "[x->-b]"] {
            let own = format!("a 10.0.0.1:7000@17000 myself,master - 0 0 1 connected {wrong}");
            assert!(NodeSlots::of(&own).is_none(), "{wrong}");
        }
    }
}
