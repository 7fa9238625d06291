//! The constants of the formulas, and the break-even of a near cache.

use crate::{Measured, calls::Cost, prefixes::PREFIXES, pushes::Change};

/// In µs of one core.
#[derive(Clone, Copy)]
pub(crate) struct Constants {
    pub(crate) hit: f64,
    pub(crate) shared_hit: f64,
    pub(crate) near_miss: f64,
    pub(crate) miss: f64,
    /// The cost of a miss as the sum of its steps.
    pub(crate) steps_of_a_miss: f64,
    pub(crate) invalidate: f64,
    pub(crate) held: f64,
    pub(crate) renew: f64,
    /// The cost of each listener, for a turn in which something changed and for each changed key.
    pub(crate) turn: f64,
    pub(crate) key: f64,
    /// The cost of each listener, for an invalidation and the miss after it.
    pub(crate) change: f64,
    pub(crate) process_hit: f64,
    pub(crate) push: f64,
    pub(crate) push_of_hundred: f64,
    pub(crate) expiry: f64,
    /// The cost of one listener, on one server and on each node of a cluster.
    pub(crate) heartbeat: f64,
    pub(crate) process_heartbeat: f64,
    pub(crate) node_heartbeat: f64,
    pub(crate) process_node_heartbeat: f64,
    /// The cost of each prefix with a listener, for each turn and for each changed key.
    pub(crate) prefix_turn: f64,
    pub(crate) prefix_key: f64,
}

fn each_listener(all: &[Change], name: &str) -> f64 {
    let change = all.iter().find(|change| change.name.starts_with(name));
    change.expect("it was measured").each_listener()
}

impl Constants {
    pub(crate) fn of(measured: &Measured) -> Constants {
        let loaded = |name| cost(&measured.calls, name).loaded;
        let changes = &measured.changes;
        // Computed from a turn with one key, and a hundredth of a turn with a hundred keys.
        let (one, hundred) = (
            each_listener(changes, "a write, 1 a turn"),
            each_listener(changes, "… 100 a turn"),
        );
        let key = ((100.0 * hundred - one) / 99.0).max(0.0);
        let most = f64::from(PREFIXES[PREFIXES.len() - 1]);
        let slope = |figures: &[f64]| (figures[figures.len() - 1] - figures[1]) / (most - 1.0);
        Constants {
            hit: loaded("hit"),
            shared_hit: loaded("hit, 50 threads"),
            near_miss: loaded("hit with the TTL"),
            miss: loaded("miss"),
            steps_of_a_miss: ["hit", "`acquire`: acquired", "`fill`"]
                .map(loaded)
                .iter()
                .sum(),
            invalidate: loaded("`invalidate`"),
            held: loaded("`acquire`: held"),
            renew: loaded("`renew`"),
            turn: one - key,
            key,
            change: each_listener(changes, "`invalidate`") + each_listener(changes, "miss"),
            process_hit: measured.process.hit,
            push: measured.process.push,
            push_of_hundred: measured.process.push_of_hundred,
            expiry: measured.expiry.cpu,
            heartbeat: measured.heartbeat.server,
            process_heartbeat: measured.heartbeat.process,
            node_heartbeat: measured.cluster_heartbeat.server,
            process_node_heartbeat: measured.cluster_heartbeat.process,
            prefix_turn: slope(&measured.walked.hit),
            prefix_key: slope(&measured.walked.write),
        }
    }

    /// The break-even for the server: from this many reads of a record by one process between two
    /// changes, a near cache saves the server work.
    pub(crate) fn server_even(&self) -> f64 {
        even(self.hit, self.near_miss - self.hit, self.change)
    }

    /// The same if threads share requests, so that a hit costs the server less.
    pub(crate) fn shared_even(&self) -> f64 {
        even(self.shared_hit, self.near_miss - self.hit, self.change)
    }

    /// The break-even for the process, which is notified of each change three times.
    pub(crate) fn process_even(&self) -> f64 {
        even(self.process_hit, 0.0, 3.0 * self.push)
    }
}

/// The break-even. Reads come at random, `x` of them between two changes. Then `x / (1 + x)` of
/// them are the first after a change: they are no near hits, and cost `more`. The others save a
/// `hit`. The break-even is at `x^2 / (1 + x) * hit = x / (1 + x) * more + heard`.
fn even(hit: f64, more: f64, heard: f64) -> f64 {
    let linear = more.max(0.0) + heard;
    (linear + (linear * linear + 4.0 * hit * heard).sqrt()) / (2.0 * hit)
}

fn cost<'a>(all: &'a [Cost], name: &str) -> &'a Cost {
    all.iter()
        .find(|cost| cost.name.starts_with(name))
        .expect("it was measured")
}
