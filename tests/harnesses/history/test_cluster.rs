//! The private cluster of a run: which nodes are masters, and whether the cluster works.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam::channel::Receiver;
use redis::{RedisResult, Value, cmd};

use self::cluster::{Cluster, is_in_order, is_linked, try_ask};
use crate::{
    args::Args,
    caches,
    cluster_faults::ClusterFaults,
    environment::support::{Server, acl::url_at},
    failovers::Failovers,
    fault_injector::{FaultInjector, Log},
    fault_schedule::FaultReport,
    proxy::Proxy,
    random::Random,
};

#[path = "../../support/cluster.rs"]
pub(crate) mod cluster;

pub(crate) const MASTERS: usize = 3;

/// Many times the node timeout.
const PATIENCE: Duration = Duration::from_secs(60);

/// Dropping it ends the servers.
pub(crate) struct TestCluster {
    pub(crate) cluster: Cluster,
    /// The number of replicas of each master.
    replicas: usize,
    /// The proxies in front of the nodes, if the protocol is to be broken.
    proxies: Vec<Proxy>,
}

impl TestCluster {
    pub(crate) fn start(args: &Args, seed: u64) -> Result<TestCluster, String> {
        let replicas = args.replicas as usize;
        let mut test_cluster = TestCluster {
            cluster: Cluster::try_start(MASTERS, replicas)?,
            replicas,
            proxies: Vec::new(),
        };
        if args.broken.is_some() {
            test_cluster.break_rules(args, seed)?;
        }
        Ok(test_cluster)
    }

    /// Makes each node announce a proxy, which replaces the parts to be broken.
    fn break_rules(&mut self, args: &Args, seed: u64) -> Result<(), String> {
        let Some(rule) = args.broken else {
            return Ok(());
        };
        for (node, number) in self.cluster.nodes.iter().zip(0..) {
            node.set_user(&["+@all"]);
            let swaps = rule.load(&mut node.connect())?;
            let fault_injector = FaultInjector::new(number, Log::new().into()).into();
            let proxy = Proxy::before(
                &Arc::new(AtomicU16::new(node.port())),
                &fault_injector,
                &swaps,
                seed,
            )
            .map_err(|error| format!("a proxy does not start: {error}"))?;
            let mut announce = cmd("CONFIG");
            announce.arg("SET").arg("cluster-announce-port");
            try_ask::<()>(node, announce.arg(proxy.port())).map_err(trouble)?;
            self.proxies.push(proxy);
        }
        self.until("the nodes announce the proxies", |test_cluster| {
            let announced = |node: &Server| {
                let nodes = try_ask::<String>(node, &cluster::cluster("NODES"));
                nodes.is_ok_and(|nodes| {
                    let mut ports = test_cluster.proxies.iter().map(Proxy::port);
                    ports.all(|port| nodes.contains(&format!(":{port}@")))
                })
            };
            test_cluster.cluster.nodes.iter().all(announced)
        })
    }

    /// The address for caches.
    pub(crate) fn url(&self) -> String {
        if self.proxies.is_empty() {
            return self.cluster.url();
        }
        let first = url_at(self.proxies[0].port());
        first.replacen("redis://", "redis+cluster://", 1)
    }

    /// Runs the faults until `over` is closed.
    pub(crate) fn run_faults(
        &mut self,
        args: &Args,
        seed: u64,
        failovers: &Failovers,
        interrupted: &AtomicBool,
        over: Receiver<()>,
    ) -> Result<FaultReport, String> {
        let cluster_faults = ClusterFaults {
            cache: caches::onlooker(&self.url())?,
            test_cluster: self,
            random: Random::new(seed, u64::MAX),
            faults: args.faults(),
            only: args.only,
            keys: args.keys,
            tags: args.tags(),
            // Nobody would load the broken scripts into the nodes again.
            may_forget: args.broken.is_none(),
            failovers,
            interrupted,
            over,
        };
        cluster_faults
            .run_faults()
            .map_err(|error| format!("the fault schedule: {error}"))
    }

    /// The masters and their replicas.
    pub(crate) fn pairs(&self) -> Result<Vec<(usize, usize)>, String> {
        let nodes = &self.cluster.nodes;
        let at = |port: u16| {
            let served = self.proxies.iter().map(Proxy::port);
            let own = nodes.iter().map(Server::port);
            let at = own.chain(served).position(|other| other == port);
            at.map(|at| at % nodes.len())
        };
        let mut pairs = Vec::new();
        for (replica, node) in nodes.iter().enumerate() {
            let role = role(node).map_err(trouble)?;
            if let Role::ReplicaOf(port) = role {
                pairs.push((at(port).ok_or("a replica of nobody")?, replica));
            }
        }
        pairs.sort_unstable();
        Ok(pairs)
    }

    pub(crate) fn is_master(&self, node: usize) -> bool {
        matches!(role(&self.cluster.nodes[node]), Ok(Role::Master))
    }

    /// Whether each master has its replicas, and all nodes agree that none is missing.
    pub(crate) fn is_well(&self) -> bool {
        let nodes = &self.cluster.nodes;
        let nobody_is_missing = |node: &Server| {
            let said = try_ask::<String>(node, &cluster::cluster("NODES"));
            said.is_ok_and(|said| !said.contains("fail") && !said.contains("disconnected"))
        };
        nodes.iter().all(is_in_order)
            && nodes.iter().all(nobody_is_missing)
            && self.pairs().is_ok_and(|pairs| {
                let mut masters: Vec<_> = pairs.iter().map(|(master, _)| *master).collect();
                masters.dedup();
                masters.len() == MASTERS
                    && pairs.len() == MASTERS * self.replicas
                    && pairs.iter().all(|(_, replica)| is_linked(&nodes[*replica]))
            })
    }

    pub(crate) fn until_well(&self, interrupted: &AtomicBool) -> Result<(), String> {
        self.until("the cluster is well", |test_cluster| {
            interrupted.load(SeqCst) || test_cluster.is_well()
        })
    }

    /// Waits until the cluster has reached a state.
    pub(crate) fn until(
        &self,
        what: &str,
        condition: impl Fn(&TestCluster) -> bool,
    ) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while !condition(self) {
            if Instant::now() > deadline {
                return Err(format!("waited {PATIENCE:?} until {what}"));
            }
            // There is no notification, so it must poll.
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Starts a node that was killed.
    pub(crate) fn start_again(&mut self, node: usize) -> Result<(), String> {
        self.cluster.nodes[node].try_start_again()
    }
}

enum Role {
    Master,
    /// A replica of the master at this port.
    ReplicaOf(u16),
}

fn role(node: &Server) -> RedisResult<Role> {
    let said: Vec<Value> = try_ask(node, &cmd("ROLE"))?;
    let name: String = redis::from_redis_value(said[0].clone())?;
    Ok(if name == "master" {
        Role::Master
    } else {
        Role::ReplicaOf(redis::from_redis_value(said[2].clone())?)
    })
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
pub(crate) fn trouble(error: redis::RedisError) -> String {
    format!("a node of the cluster: {error}")
}
