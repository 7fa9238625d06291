//! A private Redis Cluster.

#![allow(dead_code, reason = "each user takes its own part")]

use std::{
    thread,
    time::{Duration, Instant},
};

use cache_aside::{Cache, CacheBuilder, Redis, RedisBuilder};
use redis::{Cmd, Connection, FromRedisValue, RedisResult, Value, cmd};

use crate::support::{Server, acl};

/// How many slots there are.
pub(crate) const SLOTS: u16 = 16_384;

/// How long a node may be silent before the others consider it failed. The default of Redis is 15
/// s.
pub(crate) const NODE_TIMEOUT: Duration = Duration::from_secs(1);

/// Masters, each with the same number of replicas. They end with this value.
pub(crate) struct Cluster {
    /// The masters as they were at the start, then the replicas: of the first, of the second, and
    /// so on, in rounds.
    pub(crate) nodes: Vec<Server>,
    masters: usize,
    replicas: usize,
}

impl Cluster {
    /// Starts one, with the slots dealt out evenly.
    pub(crate) fn start(masters: usize, replicas: usize) -> Cluster {
        Cluster::start_with(masters, replicas, &[])
    }

    pub(crate) fn start_with(masters: usize, replicas: usize, args: &[&str]) -> Cluster {
        well(Cluster::of(masters, masters * replicas, 0, args))
    }

    /// Masters, and after them nodes without slots.
    pub(crate) fn start_with_empty(masters: usize, empty: usize) -> Cluster {
        let args = ["--cluster-allow-replica-migration", "no"];
        well(Cluster::of(masters, 0, empty, &args))
    }

    /// The same, for programs that report themselves what is missing.
    pub(crate) fn try_start(masters: usize, replicas: usize) -> Result<Cluster, String> {
        Cluster::of(masters, masters * replicas, 0, &[])
    }

    fn of(masters: usize, replicas: usize, empty: usize, args: &[&str]) -> Result<Cluster, String> {
        let nodes = (0..masters + replicas + empty).map(|_| start_node(args));
        let cluster = Cluster {
            nodes: nodes.collect::<Result<_, _>>()?,
            masters,
            replicas,
        };
        cluster.join_nodes()?;
        Ok(cluster)
    }

    fn join_nodes(&self) -> Result<(), String> {
        for (at, node) in self.nodes.iter().enumerate() {
            // Different from the start, or they would first settle their epochs.
            tell(node, cluster("SET-CONFIG-EPOCH").arg(at + 1))?;
        }
        let count = u16::try_from(self.masters).expect("a few masters");
        for (at, master) in (0..count).zip(self.masters()) {
            let edge = |at: u16| u32::from(SLOTS) * u32::from(at) / u32::from(count);
            // Redis 6 knows no ADDSLOTSRANGE.
            let slots: Vec<_> = (edge(at)..edge(at + 1)).collect();
            tell(master, cluster("ADDSLOTS").arg(slots))?;
        }
        self.introduce_nodes()?;
        for (at, replica) in self.replicas().iter().enumerate() {
            let master = id(&self.nodes[at % self.masters]);
            Cluster::try_until("a replica follows", || {
                try_ask::<()>(replica, cluster("REPLICATE").arg(&master)).is_ok()
            })?;
        }
        Cluster::try_until("the cluster is well", || self.nodes.iter().all(is_in_order))?;
        Cluster::try_until("the replicas are up to date", || {
            self.replicas().iter().all(is_linked)
        })?;
        Cluster::try_until("the nodes tell of the replicas", || {
            self.nodes.iter().all(|node| {
                let replicas = lines(node)
                    .iter()
                    .filter(|line| line.contains("slave"))
                    .count();
                replicas == self.replicas
            })
        })
    }

    fn introduce_nodes(&self) -> Result<(), String> {
        let first = &self.nodes[0];
        let knows_all = |node: &Server| {
            let lines = lines(node);
            let is_known = |line: &String| !line.contains("handshake");
            lines.len() == self.nodes.len() && lines.iter().all(is_known)
        };
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            for node in self.nodes[1..].iter().filter(|node| !knows_all(node)) {
                let mut meet = cluster("MEET");
                meet.arg("127.0.0.1").arg(first.port()).arg(bus_port(first));
                tell(node, &meet)?;
            }
            // A node drops a handshake after the node timeout, and does not repeat it. On a busy
            // machine that happens.
            let pause = Instant::now() + 3 * NODE_TIMEOUT;
            while Instant::now() < pause {
                if self.nodes.iter().all(knows_all) {
                    return Ok(());
                }
                // Nothing tells but asking.
                thread::sleep(Duration::from_millis(10));
            }
            if Instant::now() > deadline {
                return Err("waited 30 s until all nodes know each other".to_owned());
            }
        }
    }

    /// The masters as they were at the start.
    pub(crate) fn masters(&self) -> &[Server] {
        &self.nodes[..self.masters]
    }

    fn replicas(&self) -> &[Server] {
        &self.nodes[self.masters..self.masters + self.replicas]
    }

    /// The address for caches.
    pub(crate) fn url(&self) -> String {
        let login = match acl::url_at(0).split_once('@') {
            Some((login, _)) => format!("{}@", login.trim_start_matches("redis://")),
            None => String::new(),
        };
        let hosts: Vec<_> = self
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port()))
            .collect();
        format!("redis+cluster://{login}{}", hosts.join(","))
    }

    pub(crate) fn redis(&self) -> RedisBuilder {
        Redis::builder(self.url())
    }

    pub(crate) fn builder<R>(&self) -> CacheBuilder<R> {
        Cache::builder(self.url()).prefix("test:")
    }

    /// The node that has this key now; `None`: no node says so.
    pub(crate) fn owner_of(&self, key: &str) -> Option<usize> {
        let owns = |node: &Server| try_ask::<i64>(node, cmd("EXISTS").arg(key)).is_ok();
        self.nodes.iter().position(owns)
    }

    /// A plain connection to the node that has this key.
    pub(crate) fn connect(&self, key: &str) -> Connection {
        let owner = self.owner_of(key).expect("some node has the key");
        self.nodes[owner].connect()
    }

    /// The slot of a key, as Redis tells it.
    pub(crate) fn slot_of(&self, key: &str) -> u16 {
        ask(&self.nodes[0], cluster("KEYSLOT").arg(key))
    }

    /// Marks a slot as migrating, as `redis-cli --cluster reshard` does. Its keys stay where they
    /// are.
    pub(crate) fn begin_move(&self, slot: u16, from: usize, to: usize) {
        // A node that had it earlier may claim it for a moment more, through messages it has sent.
        Cluster::until("a move can begin", || {
            self.try_begin_move(slot, from, to).is_ok()
        });
    }

    pub(crate) fn try_begin_move(&self, slot: u16, from: usize, to: usize) -> Result<(), String> {
        let (from, to) = (&self.nodes[from], &self.nodes[to]);
        let ids = (try_id(from)?, try_id(to)?);
        let mut importing = cluster("SETSLOT");
        tell(to, importing.arg(slot).arg("IMPORTING").arg(ids.0))?;
        let mut migrating = cluster("SETSLOT");
        tell(from, migrating.arg(slot).arg("MIGRATING").arg(ids.1))
    }

    /// Migrates the keys of a slot that exist now.
    pub(crate) fn hand_over(&self, slot: u16, from: usize, to: usize) {
        while well(self.try_hand_over_one(slot, from, to)) {}
    }

    /// Migrates one key of a slot. False: there is none.
    pub(crate) fn try_hand_over_one(
        &self,
        slot: u16,
        from: usize,
        to: usize,
    ) -> Result<bool, String> {
        let node = &self.nodes[from];
        let keys: Vec<Vec<u8>> = try_ask(node, cluster("GETKEYSINSLOT").arg(slot).arg(1))
            .map_err(|error| error.to_string())?;
        let Some(key) = keys.first() else {
            return Ok(false);
        };
        tell(node, self.migrate(key, to).arg("REPLACE"))?;
        Ok(true)
    }

    /// Copies a key, so that both nodes have it.
    pub(crate) fn copy(&self, key: &str, from: usize, to: usize) {
        let node = &self.nodes[from];
        well(tell(node, self.migrate(key.as_bytes(), to).arg("COPY")));
    }

    fn migrate(&self, key: &[u8], to: usize) -> Cmd {
        let mut migrate = cmd("MIGRATE");
        migrate.arg("127.0.0.1").arg(self.nodes[to].port());
        migrate.arg(key).arg(0).arg(5_000);
        migrate
    }

    /// Assigns the slot to the other node.
    pub(crate) fn end_move(&self, slot: u16, to: usize) {
        well(self.try_end_move(slot, to));
        // An older claim that is still on its way could undo a move that follows immediately.
        let new = id(&self.nodes[to]);
        let epoch = |node: &Server| {
            let own = lines(node)
                .into_iter()
                .find(|line| line.starts_with(&new))?;
            own.split(' ').nth(6).map(ToOwned::to_owned)
        };
        Cluster::until("all nodes know of the move", || {
            let own = epoch(&self.nodes[to]);
            self.nodes.iter().all(|node| epoch(node) == own)
        });
    }

    pub(crate) fn try_end_move(&self, slot: u16, to: usize) -> Result<(), String> {
        let new = try_id(&self.nodes[to])?;
        for node in [&self.nodes[to]].into_iter().chain(&self.nodes) {
            // A node that is down learns it from the others.
            let _ = try_ask::<()>(node, cluster("SETSLOT").arg(slot).arg("NODE").arg(&new));
        }
        Ok(())
    }

    /// The whole migration.
    pub(crate) fn move_slot(&self, slot: u16, from: usize, to: usize) {
        self.begin_move(slot, from, to);
        self.hand_over(slot, from, to);
        self.end_move(slot, to);
    }

    /// Waits until the nodes have come so far.
    pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
        well(Cluster::try_until(what, condition));
    }

    fn try_until(what: &str, condition: impl Fn() -> bool) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !condition() {
            if Instant::now() > deadline {
                return Err(format!("waited 30 s until {what}"));
            }
            // Nothing tells but asking.
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Bounded staleness, on every node.
    pub(crate) fn assert_every_key_expires(&self) {
        for node in &self.nodes {
            node.assert_every_key_expires();
        }
    }
}

/// A node that knows no others.
fn start_node(args: &[&str]) -> Result<Server, String> {
    let timeout = NODE_TIMEOUT.as_millis().to_string();
    let own = [
        "--cluster-enabled",
        "yes",
        "--cluster-node-timeout",
        &timeout,
    ];
    Server::try_start_on_port_with(&[&own, args].concat())
}

fn well<T>(outcome: Result<T, String>) -> T {
    outcome.unwrap_or_else(|failure| panic!("{failure}"))
}

pub(crate) fn cluster(command: &str) -> Cmd {
    let mut request = cmd("CLUSTER");
    request.arg(command);
    request
}

pub(crate) fn ask<T: FromRedisValue>(node: &Server, request: &Cmd) -> T {
    try_ask(node, request).expect("the node answers")
}

pub(crate) fn try_ask<T: FromRedisValue>(node: &Server, request: &Cmd) -> RedisResult<T> {
    request.query(&mut node.try_connect()?)
}

/// Sends a command to a node.
fn tell(node: &Server, order: &Cmd) -> Result<(), String> {
    let done: RedisResult<Value> = try_ask(node, order);
    done.map(drop)
        .map_err(|error| format!("a node of the cluster: {error}"))
}

/// The lines in which a node describes all nodes that it knows.
fn lines(node: &Server) -> Vec<String> {
    let nodes: String = ask(node, &cluster("NODES"));
    nodes.lines().map(ToOwned::to_owned).collect()
}

/// The port for other nodes, unless it is configured; Redis 6 cannot configure it.
fn bus_port(node: &Server) -> u16 {
    node.port() + 10_000
}

/// The name by which nodes know a node.
pub(crate) fn id(node: &Server) -> String {
    well(try_id(node))
}

fn try_id(node: &Server) -> Result<String, String> {
    try_ask(node, &cluster("MYID")).map_err(|error| format!("a node of the cluster: {error}"))
}

/// Whether it knows of a node for every slot.
pub(crate) fn is_in_order(node: &Server) -> bool {
    let info = try_ask::<String>(node, &cluster("INFO"));
    info.is_ok_and(|info| info.contains("cluster_state:ok"))
}

/// Whether it is a replica and has heard all of its master.
pub(crate) fn is_linked(replica: &Server) -> bool {
    let info = try_ask::<String>(replica, cmd("INFO").arg("replication"));
    info.is_ok_and(|info| info.contains("master_link_status:up"))
}
