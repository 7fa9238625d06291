//! The environment of a run: two private servers, and for each process a proxy in front of the
//! server of the cache. That server may be replaced by a cluster without proxies.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crossbeam::channel::Receiver;

use crate::{
    args::Args,
    clock_steps::ClockSteps,
    failovers::{Failovers, SLACK},
    fault_injector::{FaultInjector, Log},
    fault_schedule::{FaultReport, FaultSchedule},
    killed_writers::OF_KILLED_WRITERS,
    moves::{NOTICED_WITHIN, Pair},
    plan::{Plan, TIMEOUT},
    primary::Primary,
    proxy::Proxy,
    random::Random,
    test_cluster::TestCluster,
    wire::Swap,
    workers::NEAR_STALENESS,
};

#[path = "../../support/mod.rs"]
pub(crate) mod support;

/// Short, so that waits end in time.
const WAIT_TIMEOUT: Duration = Duration::from_secs(1);

/// Long, so that a lookup that waits for all of it is detected.
const LONG_WAIT_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest lookup while the clock is stepped. It waits for one lease TTL if it meets the lease
/// of a dead process, for a second if the server is stopped, and for some timeouts. The rest is the
/// delay that a busy machine may add.
pub(crate) const LONGEST_LOOKUP: Duration = Duration::from_secs(4);

/// Short, so that records expire, but still many round trips.
const LIFE: Duration = Duration::from_millis(200);

/// Long, so that records outlive two events. A former master should still have, a second later, a
/// record that another process invalidated on the new one. In a cluster, a replica takes over some
/// 2 s after its master died, and should still have the records.
const LONG_LIFE: Duration = Duration::from_secs(4);

/// Dropping it ends the servers.
pub(crate) struct Environment {
    site: Deployment,
    primary: support::Server,
    pub(crate) log: Arc<Log>,
    pub(crate) failovers: Arc<Failovers>,
    pub(crate) life: Duration,
    pub(crate) seed: u64,
}

/// The servers that the caches use as their store.
enum Deployment {
    Server {
        server: support::Server,
        proxies: Vec<Proxy>,
        injectors: Vec<Arc<FaultInjector>>,
    },
    Cluster(TestCluster),
    Moving {
        pair: Pair,
        proxies: Vec<Proxy>,
    },
}

impl Environment {
    pub(crate) fn prepare(args: &Args) -> Result<Environment, String> {
        let seed = args.seed.unwrap_or_else(by_the_clock);
        let log = Arc::new(Log::new());
        let (site, life) = if args.cluster {
            let test_cluster = TestCluster::start(args, seed)?;
            (Deployment::Cluster(test_cluster), LONG_LIFE)
        } else if args.moving_address {
            (Deployment::moving(args, seed, &log)?, LONG_LIFE)
        } else {
            let life = match args.audits() {
                Some(audit) => audit.life(),
                None if args.kill_writers() => LONG_LIFE,
                None => LIFE,
            };
            (Deployment::server(args, seed, &log)?, life)
        };
        // A process that notices a move repeats the requests that are under way.
        let explains = match may_be_late(args) {
            Some(late) => late + TIMEOUT,
            None => life + SLACK,
        };
        Ok(Environment {
            site,
            primary: support::Server::try_start_on_port_with(&support::alone::NONE)?,
            log,
            failovers: Arc::new(Failovers::new(explains)),
            life,
            seed,
        })
    }

    /// The plan of each process.
    pub(crate) fn plans(&self, args: &Args) -> Vec<Plan> {
        let processes = u64::from(args.processes);
        let (share, rest) = (args.operations() / processes, args.operations() % processes);
        (0..args.processes)
            .map(|process| Plan {
                cache: self.site.url(process),
                primary: self.primary.admin_url(),
                process,
                processes: args.processes,
                threads: args.threads,
                keys: args.keys,
                operations_per_write: args.operations_per_write(),
                pause: args.pause(),
                near: args.near() && (!args.tags() || process % 2 == 0),
                tags: args.tags(),
                replica: args.replica(),
                grace: args.grace,
                schema: args.schemas.then_some(process % 2),
                life: self.life,
                replicas: args.confirming(),
                may_be_stale: args.may_be_stale(),
                may_be_late: may_be_late(args),
                audit: args.audits(),
                only_peeks: args.moving_address && process > 0 && process + 1 == args.processes,
                wait_timeout: if args.clock_steps() {
                    LONG_WAIT_TIMEOUT
                } else {
                    WAIT_TIMEOUT
                },
                longest_lookup: args.clock_steps().then_some(LONGEST_LOOKUP),
                of_killed_writers: if args.kill_writers() {
                    OF_KILLED_WRITERS.min(args.keys - 1)
                } else {
                    0
                },
                is_killed: false,
                operations: share + u64::from(u64::from(process) < rest),
                longest: args.seconds.map(Duration::from_secs),
                seed: self.seed,
                record: args.record.clone(),
            })
            .collect()
    }

    /// Runs the faults until `over` is closed.
    pub(crate) fn run_faults(
        &mut self,
        args: &Args,
        interrupted: &AtomicBool,
        over: Receiver<()>,
    ) -> Result<FaultReport, String> {
        match &mut self.site {
            Deployment::Cluster(test_cluster) => {
                test_cluster.run_faults(args, self.seed, &self.failovers, interrupted, over)
            }
            Deployment::Moving { pair, .. } => {
                let random = Random::new(self.seed, u64::MAX);
                pair.run_faults(args.faults(), random, &self.failovers, interrupted, &over)
            }
            Deployment::Server {
                server, injectors, ..
            } => {
                let fault_schedule = FaultSchedule {
                    server,
                    injectors,
                    random: Random::new(self.seed, u64::MAX),
                    faults: args.faults(),
                    may_be_emptied: !args.kill_writers() && !args.replica(),
                    tags: args.tags().then_some(args.keys),
                    evicts_tags: args.evicts_tags(),
                    may_forget_scripts: args.broken.is_none(),
                    audit: args.audits(),
                    clock_steps: args.clock_steps().then(|| ClockSteps::of(args.keys)),
                    over,
                };
                fault_schedule.run_faults()
            }
        }
    }

    /// Whether the address is moved. Processes may notice that late.
    pub(crate) fn is_moving(&self) -> bool {
        matches!(self.site, Deployment::Moving { .. })
    }

    pub(crate) fn primary(&self) -> Result<Primary, String> {
        Primary::connect(&self.primary.admin_url())
    }
}

impl Deployment {
    fn server(args: &Args, seed: u64, log: &Arc<Log>) -> Result<Deployment, String> {
        let server = if args.clock_steps() {
            support::Server::try_start_with_clock()?
        } else {
            support::Server::try_start_on_port()?
        };
        let swaps = match args.broken {
            Some(rule) => {
                // The broken protocol may use commands that the right one does not need.
                server.set_user(&["+@all"]);
                rule.load(&mut server.connect())?
            }
            None => Vec::new(),
        };
        let injectors: Vec<_> = (0..args.processes as usize)
            .map(|process| Arc::new(FaultInjector::new(process, Arc::clone(log))))
            .collect();
        let address = Arc::new(AtomicU16::new(server.port()));
        let proxies = proxies_before(&address, &injectors, &swaps, seed)?;
        Ok(Deployment::Server {
            server,
            proxies,
            injectors,
        })
    }

    /// Two servers, without faults on the network.
    fn moving(args: &Args, seed: u64, log: &Arc<Log>) -> Result<Deployment, String> {
        let pair = Pair::start()?;
        let injectors = (0..args.processes as usize)
            .map(|process| FaultInjector::new(process, Arc::clone(log)));
        let injectors: Vec<_> = injectors.map(Arc::new).collect();
        let proxies = proxies_before(pair.address(), &injectors, &[], seed)?;
        Ok(Deployment::Moving { pair, proxies })
    }

    /// The URL for the cache of a process.
    fn url(&self, process: u32) -> String {
        match self {
            Deployment::Server { proxies, .. } | Deployment::Moving { proxies, .. } => {
                support::acl::url_at(proxies[process as usize].port())
            }
            Deployment::Cluster(test_cluster) => test_cluster.url(),
        }
    }
}

/// A proxy for each process.
fn proxies_before(
    address: &Arc<AtomicU16>,
    injectors: &[Arc<FaultInjector>],
    swaps: &[Swap],
    seed: u64,
) -> Result<Vec<Proxy>, String> {
    injectors
        .iter()
        .zip(1_u64..)
        .map(|(fault_injector, number)| {
            Proxy::before(address, fault_injector, swaps, seed ^ (number << 48))
        })
        .collect::<io::Result<_>>()
        .map_err(|error| format!("a proxy does not start: {error}"))
}

/// How long after a move a process may not have noticed it. A near cache adds its own bound.
fn may_be_late(args: &Args) -> Option<Duration> {
    let near = if args.near() {
        NEAR_STALENESS
    } else {
        Duration::ZERO
    };
    args.moving_address.then_some(NOTICED_WITHIN + near)
}

/// A number from the clock that is short enough to type.
fn by_the_clock() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::from(now.subsec_nanos())
}
