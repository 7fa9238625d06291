//! Decides when faults happen: in bursts, with calm in between, so that most operations meet a
//! cache that works.
//!
//! Network faults affect some processes and not others. Server faults affect all. Between bursts,
//! and once more at the end, the schedule checks that every key has a TTL.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use clap::ValueEnum;
use crossbeam::channel::{Receiver, RecvTimeoutError};
use redis::{Client, Connection, RedisResult, cmd};

use crate::{
    audit::AuditPlan,
    clock_steps::ClockSteps,
    environment::support::Server,
    fault_injector::{FaultInjector, Late, NAMES, WireFaults},
    random::Random,
};

/// The time between two checks of a run without faults. It is as long as a burst and a calm.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The time between two looks whether threads write, in a run with audits, or between two losses of tags.
const SOON: Duration = Duration::from_millis(20);

#[expect(clippy::struct_excessive_bools, reason = "switches are")]
pub(crate) struct FaultSchedule<'a> {
    pub(crate) server: &'a Server,
    pub(crate) injectors: &'a [Arc<FaultInjector>],
    pub(crate) random: Random,
    pub(crate) faults: bool,
    /// False if the server must keep the guards of dead writers, or floors.
    pub(crate) may_be_emptied: bool,
    /// False if the server has scripts that nobody would load again.
    pub(crate) may_forget_scripts: bool,
    /// How many tags there are, in a run with tags.
    pub(crate) tags: Option<u32>,
    /// Whether tags are lost even without faults and audits. So a broken rule about lost tags is found soon.
    pub(crate) evicts_tags: bool,
    /// The phases of a run with audits.
    pub(crate) audit: Option<AuditPlan>,
    pub(crate) clock_steps: Option<ClockSteps>,
    /// No message is ever sent. When it is closed, the fault schedule must end.
    pub(crate) over: Receiver<()>,
}

/// What the fault schedule did.
#[derive(Debug, Default)]
pub(crate) struct FaultReport {
    /// The number of bursts of each kind.
    pub(crate) bursts: BTreeMap<&'static str, u64>,
    /// The number of checked keys, and the keys that have no TTL.
    pub(crate) looked_at: u64,
    pub(crate) eternal: Vec<String>,
    /// How long lookups were degraded after each burst that degraded any.
    pub(crate) recoveries: BTreeMap<&'static str, Vec<Duration>>,
}

/// A part of the faults of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Only {
    /// Slots are moved from one master to another
    Moves,
    /// Replicas take over
    Failovers,
}

impl FaultSchedule<'_> {
    pub(crate) fn run_faults(mut self) -> Result<FaultReport, String> {
        let mut fault_report = FaultReport::default();
        let outcome = self.all_kinds(&mut fault_report);
        // In any case, no process keeps network faults.
        for fault_injector in self.injectors {
            fault_injector.clear();
        }
        self.server.thaw();
        outcome.map_err(|error| format!("the fault schedule: {error}"))?;
        Ok(fault_report)
    }

    fn all_kinds(&mut self, fault_report: &mut FaultReport) -> RedisResult<()> {
        let mut server = connect(&self.server.admin_url())?;
        loop {
            let calm = if self.faults {
                self.random.millis(200, 900)
            } else if self.audit.is_some() || self.evicts_tags {
                SOON
            } else {
                LOOK_EVERY
            };
            let is_over = self.is_over_within(calm);
            look_for_eternal_keys(&mut server, fault_report)?;
            if is_over {
                return Ok(());
            }
            if self.faults {
                let burst = self.burst(&mut server)?;
                *fault_report.bursts.entry(burst).or_default() += 1;
            } else if self.tags.is_some() && self.may_evict_tags() {
                self.evict_tags(&mut server)?;
                *fault_report.bursts.entry("tags evicted").or_default() += 1;
            }
            if let Some(clock_steps) = &mut self.clock_steps
                && let Some(step) =
                    clock_steps.step_if_due(self.server, &mut server, &mut self.random)?
            {
                *fault_report.bursts.entry(step).or_default() += 1;
            }
        }
    }

    /// Whether tags are lost now, in a run without faults. In the quiet of an audit, that would hide
    /// what is wrong.
    fn may_evict_tags(&self) -> bool {
        self.audit
            .map_or(self.evicts_tags, |audit| audit.is_storm())
    }

    fn is_over_within(&self, time: Duration) -> bool {
        self.over.recv_timeout(time) != Err(RecvTimeoutError::Timeout)
    }

    /// Runs one burst of faults. Returns its name.
    fn burst(&mut self, server: &mut Connection) -> RedisResult<&'static str> {
        // With tags, two more kinds: tags are evicted more often than all is lost.
        let kinds = if self.tags.is_some() { 14 } else { 12 };
        Ok(match self.random.below(kinds) {
            0 | 1 => {
                self.wire_faults(WireFaults {
                    rough: true,
                    late: None,
                });
                "rough wire"
            }
            2 => {
                let rough = self.random.one_in(2);
                let late = Some(Late::Any);
                self.wire_faults(WireFaults { rough, late });
                "late pieces"
            }
            3..=6 => {
                let rough = self.random.one_in(2);
                // Those that do most harm if they are late.
                let [one, other] = match self.tags {
                    Some(_) => ["invalidate_tags", "fill"],
                    None => ["update", "invalidate"],
                };
                let late = Some(Late::Calls([self.some_call(one), self.some_call(other)]));
                self.wire_faults(WireFaults { rough, late });
                "late calls"
            }
            7 => {
                self.server.freeze();
                let time = self.random.millis(50, 800);
                self.is_over_within(time);
                self.server.thaw();
                "server stopped"
            }
            8 => {
                self.a_few_times(|| {
                    cmd("CLIENT")
                        .arg("KILL")
                        .arg("TYPE")
                        .arg("normal")
                        .exec(server)
                })?;
                "clients killed"
            }
            9 => {
                let time = u64::try_from(self.random.millis(20, 300).as_millis());
                let time = time.expect("it is short");
                cmd("CLIENT").arg("PAUSE").arg(time).exec(server)?;
                self.is_over_within(Duration::from_millis(time));
                "clients paused"
            }
            10 if self.may_forget_scripts => {
                self.a_few_times(|| cmd("SCRIPT").arg("FLUSH").exec(server))?;
                "scripts forgotten"
            }
            12.. => {
                self.evict_tags(server)?;
                "tags evicted"
            }
            _ if !self.may_be_emptied => {
                let time = self.random.millis(50, 200);
                self.is_over_within(time);
                "no fault"
            }
            _ => {
                cmd("FLUSHALL").exec(server)?;
                "server emptied"
            }
        })
    }

    /// The index of a random request, most often `favourite`.
    fn some_call(&mut self, favourite: &str) -> usize {
        let favourite = NAMES.iter().position(|(name, _)| *name == favourite);
        match favourite {
            Some(at) if self.random.one_in(2) => at,
            _ => self.random.index(NAMES.len()),
        }
    }

    /// Removes the clock of the tags or some tags, as a full server may do.
    fn evict_tags(&mut self, server: &mut Connection) -> RedisResult<()> {
        let tags = self.tags.unwrap_or(1);
        // A lost clock ends all entries, which would hide what a lost tag does.
        let only_tags = self.random.one_in(2);
        // Many, because a lost tag matters only between its invalidation and the next loads.
        for _ in 0..5 + self.random.below(10) {
            // In the quiet of an audit, evictions would hide what is wrong.
            if self.audit.is_some_and(|audit| !audit.is_storm()) {
                break;
            }
            let mut evict = cmd("DEL");
            if only_tags {
                let tag = self.random.below(tags.into());
                evict.arg(format!("tags:{{cache}}:k{tag}"));
            } else {
                evict.arg("tags:{cache}clock");
            }
            evict.exec(server)?;
            let time = self.random.millis(1, 40);
            self.is_over_within(time);
        }
        if only_tags && self.audit.is_some() {
            // Some records have ended in the storm, and nobody has read them since.
            let mut evict = cmd("DEL");
            for tag in 0..tags {
                evict.arg(format!("tags:{{cache}}:k{tag}"));
            }
            evict.exec(server)?;
        }
        Ok(())
    }

    /// Sets these faults for some processes, at least for one.
    fn wire_faults(&mut self, wire_faults: WireFaults) {
        let spared = self.random.index(self.injectors.len() + 1);
        let victim = self.random.index(self.injectors.len());
        for (number, fault_injector) in self.injectors.iter().enumerate() {
            if number == victim || (number != spared && self.random.one_in(2)) {
                fault_injector.activate(wire_faults);
            }
        }
        let time = self.random.millis(50, 600);
        self.is_over_within(time);
        for fault_injector in self.injectors {
            fault_injector.clear();
        }
    }

    fn a_few_times(&mut self, mut fault: impl FnMut() -> RedisResult<()>) -> RedisResult<()> {
        for _ in 0..=self.random.below(5) {
            fault()?;
            let time = self.random.millis(1, 40);
            self.is_over_within(time);
        }
        Ok(())
    }
}

/// Connects, even to a server that has just been stopped.
pub(crate) fn connect(url: &str) -> RedisResult<Connection> {
    let patience = Duration::from_secs(10);
    let connection = Client::open(url)?.get_connection_with_timeout(patience)?;
    connection.set_read_timeout(Some(patience))?;
    Ok(connection)
}

pub(crate) fn look_for_eternal_keys(
    server: &mut Connection,
    fault_report: &mut FaultReport,
) -> RedisResult<()> {
    let mut cursor = 0_u64;
    loop {
        let (next, keys): (u64, Vec<String>) = cmd("SCAN")
            .arg(cursor)
            .arg("COUNT")
            .arg(500)
            .query(server)?;
        let mut ttls = redis::pipe();
        for key in &keys {
            ttls.cmd("PTTL").arg(key);
        }
        let ttls: Vec<i64> = match keys.len() {
            0 => Vec::new(),
            _ => ttls.query(server)?,
        };
        fault_report.looked_at += keys.len() as u64;
        // -2: the key has expired since.
        let eternal = keys.into_iter().zip(ttls).filter(|(_, ttl)| *ttl == -1);
        fault_report.eternal.extend(eternal.map(|(key, _)| key));
        cursor = next;
        if cursor == 0 {
            return Ok(());
        }
    }
}
