//! The faults of a cluster. They come in bursts with calm in between, and each begins only after
//! the cluster has recovered.

use std::{
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    time::Duration,
};

use cache_aside::Cache;
use crossbeam::channel::{Receiver, RecvTimeoutError};
use redis::{Value, cmd};

use crate::{
    cluster_fault::ClusterFault::{
        self, AllStartedAgain, ClientsKilled, Emptied, HandedOver, Killed, KilledAlone,
        KilledTwice, Replaced, ReplicaStopped, ScriptsForgotten, SlotMoved, StartedAgain,
        StoppedBriefly,
    },
    failovers::Failovers,
    fault_schedule::{FaultReport, LOOK_EVERY, Only, connect, look_for_eternal_keys},
    probe::Probe,
    random::Random,
    test_cluster::{
        MASTERS, TestCluster,
        cluster::{NODE_TIMEOUT, cluster, is_in_order, try_ask},
        trouble,
    },
};

pub(crate) struct ClusterFaults<'a> {
    pub(crate) test_cluster: &'a mut TestCluster,
    /// The cache that the probe uses.
    pub(crate) cache: Cache,
    pub(crate) random: Random,
    pub(crate) faults: bool,
    pub(crate) only: Option<Only>,
    /// How many records there are.
    pub(crate) keys: u32,
    /// Whether records are under tags.
    pub(crate) tags: bool,
    /// False if the nodes have scripts that nobody would load again.
    pub(crate) may_forget: bool,
    pub(crate) failovers: &'a Failovers,
    pub(crate) interrupted: &'a AtomicBool,
    /// No message is ever sent. When it is closed, the fault schedule must end.
    pub(crate) over: Receiver<()>,
}

impl ClusterFaults<'_> {
    pub(crate) fn run_faults(mut self) -> Result<FaultReport, String> {
        let mut fault_report = FaultReport::default();
        let mut masters = self.masters()?;
        loop {
            let calm = if self.faults {
                self.random.millis(300, 1200)
            } else {
                LOOK_EVERY
            };
            let is_over = self.is_over_within(calm);
            self.look(&mut fault_report, &mut masters, "nothing was done")?;
            if is_over || self.interrupted.load(SeqCst) {
                return Ok(fault_report);
            }
            if self.faults {
                let burst = self.one(&mut fault_report)?;
                self.look(&mut fault_report, &mut masters, burst)?;
            }
        }
    }

    /// Waits until the cluster has recovered, then checks which nodes are masters, and checks every
    /// key.
    fn look(
        &mut self,
        fault_report: &mut FaultReport,
        masters: &mut Vec<usize>,
        happened: &'static str,
    ) -> Result<(), String> {
        self.test_cluster.until_well(self.interrupted)?;
        let now = self.masters()?;
        let took_over = (now != *masters).then_some(happened);
        self.failovers.looked(took_over);
        *masters = now;
        for &mut master in masters {
            let node = &self.test_cluster.cluster.nodes[master];
            let mut node = connect(&node.admin_url()).map_err(trouble)?;
            look_for_eternal_keys(&mut node, fault_report).map_err(trouble)?;
        }
        Ok(())
    }

    fn masters(&self) -> Result<Vec<usize>, String> {
        let pairs = self.test_cluster.pairs()?.into_iter();
        let mut masters: Vec<_> = pairs.map(|(master, _)| master).collect();
        masters.dedup();
        Ok(masters)
    }

    fn is_over_within(&self, time: Duration) -> bool {
        self.over.recv_timeout(time) != Err(RecvTimeoutError::Timeout)
    }

    /// Waits for a random time between these, in milliseconds. Ends early if the run is over.
    fn pass(&mut self, least: u64, most: u64) {
        let time = self.random.millis(least, most);
        self.is_over_within(time);
    }

    /// Runs one burst, and records its effect on lookups of a record of that master. Returns its
    /// name.
    fn one(&mut self, fault_report: &mut FaultReport) -> Result<&'static str, String> {
        let only = if self.may_forget {
            self.only
        } else {
            Some(Only::Moves)
        };
        let burst = ClusterFault::some(only, &mut self.random);
        let pairs = self.test_cluster.pairs()?;
        let (master, replica) = pairs[self.random.index(pairs.len())];
        let mut ids = (0..1000).map(|number| format!("probe-{number}"));
        let id = ids.find(|id| {
            let owner = self.test_cluster.cluster.owner_of(&format!("history:{id}"));
            owner == Some(master)
        });
        let probe = Probe::start(&self.cache, id.ok_or("no slot is this master's")?);
        let outcome = self
            .happen(burst, master, replica)
            .and_then(|()| self.test_cluster.until_well(self.interrupted));
        let recovery = probe.end().filter(|_| burst.is_outage());
        outcome.map_err(|error| format!("{}: {error}", burst.name()))?;
        *fault_report.bursts.entry(burst.name()).or_default() += 1;
        if let Some(time) = recovery {
            let times = fault_report.recoveries.entry(burst.name()).or_default();
            times.push(time);
        }
        Ok(burst.name())
    }

    fn happen(&mut self, burst: ClusterFault, master: usize, replica: usize) -> Result<(), String> {
        match burst {
            Killed => {
                self.kill(master);
                self.until_replaced(master)?;
                self.pass(0, 800);
                self.test_cluster.start_again(master)?;
            }
            KilledAlone => {
                self.freeze(replica);
                let mut cut = cmd("CLIENT");
                cut.arg("KILL").arg("TYPE").arg("replica");
                self.order(master, &cut)?;
                self.pass(50, 400);
                self.kill(master);
                self.thaw(replica);
                self.until_replaced(master)?;
                self.pass(0, 800);
                self.test_cluster.start_again(master)?;
            }
            StartedAgain => {
                self.kill(master);
                self.pass(0, 500);
                self.test_cluster.start_again(master)?;
            }
            KilledTwice => {
                self.kill(master);
                self.test_cluster.start_again(master)?;
                self.test_cluster.until("it serves again", |test_cluster| {
                    is_in_order(&test_cluster.cluster.nodes[master])
                })?;
                self.pass(0, 600);
                self.kill(master);
                self.pass(1000, 3000);
                self.test_cluster.start_again(master)?;
            }
            StoppedBriefly => {
                self.freeze(master);
                self.pass(50, 600);
                self.thaw(master);
            }
            Replaced => {
                self.freeze(master);
                let replaced = self.until_replaced(master);
                self.pass(0, 800);
                self.thaw(master);
                replaced?;
            }
            ReplicaStopped => {
                self.freeze(replica);
                self.pass(50, 600);
                self.thaw(replica);
            }
            HandedOver => {
                self.order(replica, &cluster("FAILOVER"))?;
                self.until_master(replica)?;
            }
            SlotMoved => self.move_slot()?,
            Emptied => self.order(master, &cmd("FLUSHALL"))?,
            ClientsKilled => {
                let mut kill = cmd("CLIENT");
                kill.arg("KILL").arg("TYPE").arg("normal");
                self.a_few_times(master, &kill)?;
            }
            ScriptsForgotten => self.a_few_times(master, cmd("SCRIPT").arg("FLUSH"))?,
            AllStartedAgain => {
                for node in 0..self.test_cluster.cluster.nodes.len() {
                    self.kill(node);
                }
                self.pass(0, 500);
                for node in 0..self.test_cluster.cluster.nodes.len() {
                    self.test_cluster.start_again(node)?;
                }
            }
        }
        Ok(())
    }

    /// Moves a slot step by step. Each record in it is first at one node and then at the other.
    fn move_slot(&mut self) -> Result<(), String> {
        let masters = self.masters()?;
        let key = if self.tags && self.random.one_in(2) {
            "tags:{cache}clock".to_owned()
        } else {
            let id = if self.tags { "list:s" } else { "k" };
            format!("history:{id}{}", self.random.below(self.keys.into()))
        };
        let slot = self.test_cluster.cluster.slot_of(&key);
        let from = self.test_cluster.cluster.owner_of(&key);
        let from = from.ok_or("a slot is nobody's")?;
        let others: Vec<_> = masters.iter().filter(|master| **master != from).collect();
        let to = *others[self.random.index(others.len())];
        self.test_cluster.cluster.try_begin_move(slot, from, to)?;
        self.pass(0, 200);
        while self
            .test_cluster
            .cluster
            .try_hand_over_one(slot, from, to)?
        {
            self.pass(0, 100);
        }
        self.pass(0, 200);
        self.test_cluster.cluster.try_end_move(slot, to)
    }

    /// Waits until there are three masters without this one.
    fn until_replaced(&self, master: usize) -> Result<(), String> {
        let all = 0..self.test_cluster.cluster.nodes.len();
        let others: Vec<_> = all.filter(|node| *node != master).collect();
        let what = format!("a replica takes over (node timeout {NODE_TIMEOUT:?})");
        self.test_cluster.until(&what, |test_cluster| {
            let masters = others.iter().filter(|node| test_cluster.is_master(**node));
            self.interrupted.load(SeqCst) || masters.count() == MASTERS
        })
    }

    fn until_master(&self, replica: usize) -> Result<(), String> {
        self.test_cluster
            .until("a replica takes over", |test_cluster| {
                self.interrupted.load(SeqCst) || test_cluster.is_master(replica)
            })
    }

    fn kill(&mut self, node: usize) {
        self.test_cluster.cluster.nodes[node].kill();
    }

    fn freeze(&self, node: usize) {
        self.test_cluster.cluster.nodes[node].freeze();
    }

    fn thaw(&self, node: usize) {
        self.test_cluster.cluster.nodes[node].thaw();
    }

    fn order(&self, node: usize, order: &redis::Cmd) -> Result<(), String> {
        let done: Value =
            try_ask(&self.test_cluster.cluster.nodes[node], order).map_err(trouble)?;
        drop(done);
        Ok(())
    }

    fn a_few_times(&mut self, node: usize, order: &redis::Cmd) -> Result<(), String> {
        for _ in 0..=self.random.below(5) {
            self.order(node, order)?;
            self.pass(1, 40);
        }
        Ok(())
    }
}
