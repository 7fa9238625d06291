//! Moves a fixed address between two servers, which swap their roles as a careful operator would do
//! it.
//!
//! No acknowledged write is missing on the new master: writes are paused until it has all of them.
//! So the only stale answers are those that the documentation allows, of processes that have not
//! noticed the move yet. The former master keeps running, and so do the connections to it. Every
//! second time it is cut off from the new one for a while, so that it keeps its old records.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam::channel::{Receiver, RecvTimeoutError};
use redis::{RedisResult, cmd};

use crate::{
    environment::support::Server,
    failovers::Failovers,
    fault_schedule::{FaultReport, LOOK_EVERY, connect, look_for_eternal_keys},
    random::Random,
};

/// Processes notice a move within this time, as the documentation promises.
pub(crate) const NOTICED_WITHIN: Duration = Duration::from_secs(1);

/// Long, because a replica normally follows within milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// Two servers. The address leads to one of them.
pub(crate) struct Pair {
    servers: [Server; 2],
    master: usize,
    /// The port to which the proxies lead new connections.
    address: Arc<AtomicU16>,
}

impl Pair {
    pub(crate) fn start() -> Result<Pair, String> {
        // A replica does not wait for other replicas that may want a copy too.
        let start = || Server::try_start_on_port_with(&["--repl-diskless-sync-delay", "0"]);
        let servers = [start()?, start()?];
        let address = Arc::new(AtomicU16::new(servers[0].port()));
        let pair = Pair {
            servers,
            master: 0,
            address,
        };
        let linked = pair
            .replicate(1, pair.servers[0].port())
            .and_then(|()| pair.until_linked(1));
        linked.map_err(|error| format!("the replica: {error}"))?;
        Ok(pair)
    }

    pub(crate) fn address(&self) -> &Arc<AtomicU16> {
        &self.address
    }

    /// Moves the address every few seconds, if the run wants that.
    pub(crate) fn run_faults(
        &mut self,
        moves: bool,
        mut random: Random,
        failovers: &Failovers,
        interrupted: &AtomicBool,
        over: &Receiver<()>,
    ) -> Result<FaultReport, String> {
        let mut fault_report = FaultReport::default();
        let mut next_move = Instant::now() + random.millis(500, 1500);
        loop {
            let is_over = over.recv_timeout(LOOK_EVERY / 4) != Err(RecvTimeoutError::Timeout);
            let done = self.look(&mut fault_report, failovers).and_then(|()| {
                if moves && !is_over && Instant::now() >= next_move {
                    let cut_off = random.one_in(2).then(|| random.millis(500, 2000));
                    let name = self.swap(cut_off, failovers)?;
                    *fault_report.bursts.entry(name).or_default() += 1;
                    next_move = Instant::now() + random.millis(1000, 3000);
                }
                Ok(())
            });
            done.map_err(|error| format!("moving the address: {error}"))?;
            if is_over || interrupted.load(SeqCst) {
                return Ok(fault_report);
            }
        }
    }

    fn look(&self, fault_report: &mut FaultReport, failovers: &Failovers) -> RedisResult<()> {
        failovers.looked(None);
        let master = &self.servers[self.master];
        look_for_eternal_keys(&mut connect(&master.admin_url())?, fault_report)
    }

    /// Makes the replica the master and the master its replica. If `cut_off` is set, the former
    /// master becomes a replica only after that time.
    fn swap(
        &mut self,
        cut_off: Option<Duration>,
        failovers: &Failovers,
    ) -> RedisResult<&'static str> {
        let (old, new) = (self.master, 1 - self.master);
        let mut former = connect(&self.servers[old].admin_url())?;
        failovers.looked(None);
        let mut pause = cmd("CLIENT");
        // Longer than the move takes. The pause is ended below.
        pause.arg("PAUSE").arg(10_000).arg("WRITE");
        pause.exec(&mut former)?;
        until(|| Ok(self.offset(new)? == self.offset(old)?))?;
        let mut promoted = connect(&self.servers[new].admin_url())?;
        let mut promote = cmd("REPLICAOF");
        promote.arg("NO").arg("ONE").exec(&mut promoted)?;
        let port = self.servers[new].port();
        self.address.store(port, SeqCst);
        // No server listens on port 1.
        self.replicate(old, if cut_off.is_some() { 1 } else { port })?;
        cmd("CLIENT").arg("UNPAUSE").exec(&mut former)?;
        self.master = new;
        let name = match cut_off {
            Some(_) => "address moved, the former master cut off",
            None => "address moved",
        };
        failovers.looked(Some(name));
        if let Some(time) = cut_off {
            thread::sleep(time);
            self.replicate(old, port)?;
        }
        self.until_linked(old)?;
        Ok(name)
    }

    fn replicate(&self, server: usize, master: u16) -> RedisResult<()> {
        let mut replicate = cmd("REPLICAOF");
        replicate.arg("127.0.0.1").arg(master);
        replicate.exec(&mut connect(&self.servers[server].admin_url())?)
    }

    fn until_linked(&self, replica: usize) -> RedisResult<()> {
        until(|| {
            let said = self.replication(replica)?;
            Ok(said.contains("master_link_status:up"))
        })
    }

    /// How much of the replication stream the server has.
    fn offset(&self, server: usize) -> RedisResult<Option<String>> {
        let said = self.replication(server)?;
        let line = |name: &str| said.lines().find_map(|line| line.strip_prefix(name));
        let offset = line("slave_repl_offset:").or_else(|| line("master_repl_offset:"));
        Ok(offset.map(str::to_owned))
    }

    fn replication(&self, server: usize) -> RedisResult<String> {
        let mut info = cmd("INFO");
        info.arg("replication")
            .query(&mut connect(&self.servers[server].admin_url())?)
    }
}

fn until(condition: impl Fn() -> RedisResult<bool>) -> RedisResult<()> {
    let deadline = Instant::now() + PATIENCE;
    while !condition()? {
        if Instant::now() > deadline {
            let why = (redis::ErrorKind::Client, "a replica doesn't follow");
            return Err(why.into());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
