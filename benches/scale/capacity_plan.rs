//! Computes, from the measurements, the cost of a fleet that no bench here could run: the formulas,
//! and one plan.
//!
//! All costs are in microseconds of one core, and all rates are per second.

use crate::{
    Measured,
    constants::Constants,
    memory::Size,
    show::{micros, percent, plain},
};

/// The assumptions of the plan. They are not measured.
mod plan {
    pub(crate) const PROCESSES: f64 = 200.0;
    pub(crate) const THREADS: f64 = 50.0;
    pub(crate) const NODES: f64 = 100.0;
    pub(crate) const KEYS: f64 = 1e9;
    /// Reads a second of one thread: ten for each of twenty requests.
    pub(crate) const READS: f64 = 200.0;
    /// The ratio of writes to reads.
    pub(crate) const WRITES: f64 = 0.01;
    pub(crate) const TTL: f64 = 3_600.0;
    /// Seconds that a load takes.
    pub(crate) const LOAD: f64 = 0.02;
    /// The default pool size.
    pub(crate) const POOL: f64 = 16.0;
    /// Records that suit a near cache: few, read by all processes, and half of all reads.
    pub(crate) const HOT_KEYS: f64 = 10_000.0;
    pub(crate) const HOT_SHARE: f64 = 0.5;
    /// The writes of these records in the whole fleet.
    pub(crate) const HOT_WRITES: f64 = 10.0;
}

use plan::{
    HOT_KEYS, HOT_SHARE, HOT_WRITES, KEYS, LOAD, NODES, POOL, PROCESSES, READS, THREADS, TTL,
    WRITES,
};

/// In µs.
const CORE: f64 = 1e6;

const FLEET_READS: f64 = PROCESSES * THREADS * READS;

/// The fleet sizes for which the break-even is shown.
pub(crate) const FLEETS: [f64; 5] = [1.0, 10.0, 100.0, 200.0, 1_000.0];

/// The figures, by the names of their placeholders in the page.
pub(crate) type Figures = Vec<(&'static str, String)>;

fn bytes(all: &[Size], name: &str) -> f64 {
    all.iter()
        .find(|size| size.name.contains(name))
        .expect("it was measured")
        .bytes
}

/// One second of one node in the plan, without pushes.
struct Node {
    reads: f64,
    writes: f64,
    keys: f64,
    expired: f64,
    misses: f64,
}

impl Node {
    fn planned() -> Node {
        let reads = FLEET_READS / NODES;
        let writes = WRITES * reads;
        let keys = KEYS / NODES;
        let expired = keys / TTL;
        Node {
            reads,
            writes,
            keys,
            expired,
            // An upper bound: a record that has expired or was invalidated is loaded again.
            misses: expired + writes,
        }
    }

    /// An invalidation is one turn with a change. A miss is two: its lease, then the record.
    fn turns(&self) -> f64 {
        self.writes + 2.0 * self.misses
    }

    /// The number of changed keys, whose changes are pushed. A fill changes two keys.
    fn changed_keys(&self) -> f64 {
        self.writes + 3.0 * self.misses + self.expired
    }
}

pub(crate) fn figures(measured: &Measured) -> Figures {
    let c = &Constants::of(measured);
    let node = &Node::planned();
    let parts = [
        constants(measured, c),
        choice(c),
        calm(measured, c, node),
        pushes(measured, c, node),
        hot(c),
        evens(c),
    ];
    parts.into_iter().flatten().collect()
}

fn constants(measured: &Measured, c: &Constants) -> Figures {
    vec![
        ("hit", micros(c.hit)),
        ("shared_hit", micros(c.shared_hit)),
        ("near_miss", micros(c.near_miss)),
        ("miss", micros(c.miss)),
        ("invalidate", micros(c.invalidate)),
        ("held", micros(c.held)),
        ("renew", micros(c.renew)),
        ("turn", micros(c.turn)),
        ("key", micros(c.key)),
        ("change", micros(c.change)),
        ("expiry", micros(c.expiry)),
        ("process_hit", micros(c.process_hit)),
        ("near_hit", micros(measured.process.near_hit)),
        ("push", micros(c.push)),
        ("push_of_hundred", micros(c.push_of_hundred)),
        ("heartbeat", micros(c.heartbeat)),
        ("process_heartbeat", micros(c.process_heartbeat)),
        ("node_heartbeat", micros(c.node_heartbeat)),
        ("process_node_heartbeat", micros(c.process_node_heartbeat)),
        ("pings", plain(measured.heartbeat.pings)),
        ("node_pings", plain(measured.cluster_heartbeat.pings)),
        ("prefix_turn", micros(c.prefix_turn)),
        ("prefix_key", micros(c.prefix_key)),
        ("push_to_hit", plain(c.turn / c.hit)),
        ("expiry_listener", micros(measured.expiry.each_listener)),
        ("expiry_messages", plain(1e3 * measured.expiry.messages)),
        ("steps_of_a_miss", micros(c.steps_of_a_miss)),
        ("steps_to_miss", percent(c.steps_of_a_miss / c.miss)),
    ]
}

/// What one server can carry: half of its core, so that its answers are not late.
fn choice(c: &Constants) -> Figures {
    let read = |misses: f64| (1.0 - misses) * c.hit + misses * c.miss;
    vec![
        ("one_server", plain(0.5 * CORE / read(0.01))),
        ("one_server_tenth", plain(0.5 * CORE / read(0.1))),
    ]
}

/// A node without near caches.
fn calm(measured: &Measured, c: &Constants, node: &Node) -> Figures {
    let hits = node.reads - node.misses;
    let commands =
        hits * c.hit + node.misses * c.miss + node.writes * c.invalidate + node.expired * c.expiry;
    let sizes = &measured.sizes;
    let gigabytes = |bytes: f64| node.keys * bytes / 1e9;
    let connection = bytes(sizes, "idle for");
    let listening = bytes(sizes, "listens");
    vec![
        ("reads", plain(FLEET_READS)),
        ("node_reads", plain(node.reads)),
        ("node_writes", plain(node.writes)),
        ("node_keys", plain(node.keys)),
        ("expired", plain(node.expired)),
        ("expired_30", plain(node.keys / 30.0)),
        ("expired_30_cores", plain(node.keys / 30.0 * c.miss / CORE)),
        ("expired_day", plain(node.keys / 86_400.0)),
        ("misses", plain(node.misses)),
        ("miss_rate", percent(node.misses / node.reads)),
        ("hits", plain(hits)),
        ("hits_most", plain(CORE / c.hit)),
        ("shared_hits_most", plain(CORE / c.shared_hit)),
        ("hits_share", percent(hits * c.hit / CORE)),
        ("misses_share", percent(node.misses * c.miss / CORE)),
        ("writes_share", percent(node.writes * c.invalidate / CORE)),
        ("expiry_share", percent(node.expired * c.expiry / CORE)),
        ("commands_share", percent(commands / CORE)),
        ("leases", plain(node.misses * LOAD)),
        (
            "leases_memory",
            plain(node.misses * LOAD * bytes(sizes, "a lease") / 1e3),
        ),
        ("slow_renewals", plain(node.misses * 2.0 * 1.5)),
        (
            "slow_renewals_share",
            percent(node.misses * 2.0 * 1.5 * c.renew / CORE),
        ),
        ("small", plain(gigabytes(bytes(sizes, "46 bytes")))),
        ("kilobyte", plain(gigabytes(bytes(sizes, "1 KB")))),
        ("ten", plain(gigabytes(bytes(sizes, "10 KB")))),
        ("connections", plain(PROCESSES * POOL)),
        (
            "connections_memory",
            plain(PROCESSES * POOL * connection / 1e6),
        ),
        ("process_connections", plain(NODES * POOL)),
        ("listening_memory", plain(PROCESSES * listening / 1e6)),
        (
            "used_memory",
            plain(PROCESSES * POOL * bytes(sizes, "used just now") / 1e6),
        ),
    ]
}

/// A node with a near cache over all records.
fn pushes(measured: &Measured, c: &Constants, node: &Node) -> Figures {
    let node_pushes = PROCESSES * (node.turns() * c.turn + node.changed_keys() * c.key);
    // Each process listens to all nodes.
    let (heard, heard_keys) = (NODES * node.turns(), NODES * node.changed_keys());
    let turn_length = PROCESSES * c.turn;
    let heartbeats = PROCESSES * c.node_heartbeat / CORE;
    vec![
        ("turns", plain(node.turns())),
        ("pushes", plain(node.turns() * PROCESSES)),
        ("pushes_cores", plain(node_pushes / CORE)),
        ("turns_half", plain(CORE / 2.0 / turn_length)),
        ("turn_length", plain(turn_length / 1e3)),
        ("heard", plain(heard)),
        ("heard_cores", plain(heard * c.push / CORE)),
        ("heard_keys", plain(heard_keys)),
        (
            "heard_least_cores",
            plain(heard_keys * c.push_of_hundred / CORE),
        ),
        ("heard_tenth", plain(0.1 * CORE / c.push)),
        (
            "herd_polling",
            plain(
                PROCESSES * 0.5 * (measured.waits.polling[0] + measured.waits.polling[1]) * c.held
                    / 1e3,
            ),
        ),
        (
            "herd_woken",
            plain((PROCESSES * measured.waits.woken[0] * c.held + PROCESSES * 2.0 * c.turn) / 1e3),
        ),
        ("heartbeats_share", percent(heartbeats)),
        ("heartbeats_ten", percent(10.0 * heartbeats)),
        ("heartbeats_strict", percent(20.0 * heartbeats)),
        (
            "process_heartbeats_share",
            percent(NODES * c.process_node_heartbeat / CORE),
        ),
        ("prefixes_hit", percent(30.0 * c.prefix_turn / c.hit)),
        ("prefixes_write", micros(30.0 * c.prefix_key)),
    ]
}

/// A near cache over the records that suit it.
fn hot(c: &Constants) -> Figures {
    let hot_misses = HOT_WRITES + HOT_KEYS / TTL;
    let hot_turns = HOT_WRITES + 2.0 * hot_misses + HOT_KEYS / TTL;
    let hot_near_misses = PROCESSES * hot_misses;
    let hot_reads = HOT_SHARE * FLEET_READS;
    vec![
        ("hot_reads", plain(hot_reads)),
        ("hot_misses", plain(hot_misses)),
        ("hot_turns", plain(hot_turns)),
        (
            "hot_node_share",
            percent(hot_turns / NODES * PROCESSES * c.turn / CORE),
        ),
        ("hot_process_share", percent(hot_turns * c.push / CORE)),
        ("hot_near_misses", plain(hot_near_misses)),
        ("hot_near_rate", percent(1.0 - hot_near_misses / hot_reads)),
        (
            "hot_saved",
            plain((hot_reads - hot_near_misses) * c.hit / CORE),
        ),
        (
            "hot_saved_process",
            plain((hot_reads - hot_near_misses) * c.process_hit / CORE),
        ),
    ]
}

fn evens(c: &Constants) -> Figures {
    vec![
        ("even_server", plain(c.server_even())),
        ("even_process", plain(c.process_even())),
        ("even_shared", plain(c.shared_even())),
        ("watch_server", plain(c.change / c.hit)),
        ("watch_shared", plain(c.change / c.shared_hit)),
        ("watch_process", plain(3.0 * c.push / c.process_hit)),
        (
            "even_fleet_each",
            plain(c.server_even().max(c.process_even())),
        ),
        (
            "even_fleet",
            plain(PROCESSES * c.server_even().max(c.process_even())),
        ),
        (
            "even_fleet_shared",
            plain(PROCESSES * c.shared_even().max(c.process_even())),
        ),
    ]
}
