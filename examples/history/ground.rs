//! Where a run takes place: two private servers, and a proxy for each process in front of the cache's one. Or
//! a cluster in the place of that one, without proxies.

use std::{
    io,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crossbeam::channel::Receiver;

use crate::{
    args::Args,
    dice::Dice,
    failovers::Failovers,
    plan::Plan,
    plates::Plates,
    primary::Primary,
    proxy::Proxy,
    sky::{Log, Sky},
    weather::{Chronicle, Weather},
};

#[path = "../../tests/support/mod.rs"]
pub(crate) mod support;

/// Short, so that records expire; many round trips.
const LIFE: Duration = Duration::from_millis(200);

/// A replica takes over some 2 s after its master's death. What it has then should still be there.
const LIFE_ON_A_CLUSTER: Duration = Duration::from_secs(4);

/// Dropped, the servers are ended.
pub(crate) struct Ground {
    site: Site,
    primary: support::Server,
    pub(crate) log: Arc<Log>,
    pub(crate) failovers: Arc<Failovers>,
    pub(crate) life: Duration,
    pub(crate) seed: u64,
}

/// What the caches have for a store.
enum Site {
    Server {
        server: support::Server,
        proxies: Vec<Proxy>,
        skies: Vec<Arc<Sky>>,
    },
    Cluster(Plates),
}

impl Ground {
    pub(crate) fn prepare(args: &Args) -> Result<Ground, String> {
        let seed = args.seed.unwrap_or_else(by_the_clock);
        let log = Arc::new(Log::new());
        let (site, life) = if args.cluster {
            let plates = Plates::start(args, seed)?;
            (Site::Cluster(plates), LIFE_ON_A_CLUSTER)
        } else {
            (Site::server(args, seed, &log)?, LIFE)
        };
        Ok(Ground {
            site,
            primary: support::Server::try_start_on_port_with(&support::alone::NONE)?,
            log,
            failovers: Arc::new(Failovers::new()),
            life,
            seed,
        })
    }

    /// What each process is told.
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
                near: args.near(),
                grace: args.grace,
                life: self.life,
                replicas: args.confirming(),
                may_be_stale: args.may_be_stale(),
                operations: share + u64::from(u64::from(process) < rest),
                longest: args.seconds.map(Duration::from_secs),
                seed: self.seed,
            })
            .collect()
    }

    /// Faults, until it is over.
    pub(crate) fn blow(
        &mut self,
        args: &Args,
        interrupted: &AtomicBool,
        over: Receiver<()>,
    ) -> Result<Chronicle, String> {
        match &mut self.site {
            Site::Cluster(plates) => {
                plates.shake(args, self.seed, &self.failovers, interrupted, over)
            }
            Site::Server { server, skies, .. } => {
                let weather = Weather {
                    server,
                    skies,
                    dice: Dice::new(self.seed, u64::MAX),
                    faults: args.faults(),
                    may_forget_scripts: args.broken.is_none(),
                    over,
                };
                weather.blow()
            }
        }
    }

    pub(crate) fn primary(&self) -> Result<Primary, String> {
        Primary::connect(&self.primary.admin_url())
    }
}

impl Site {
    fn server(args: &Args, seed: u64, log: &Arc<Log>) -> Result<Site, String> {
        let server = support::Server::try_start_on_port()?;
        let swaps = match args.broken {
            Some(rule) => {
                // It may take commands that the protocol can do without.
                server.set_user(&["+@all"]);
                rule.load(&mut server.connect())?
            }
            None => Vec::new(),
        };
        let skies: Vec<_> = (0..args.processes as usize)
            .map(|process| Arc::new(Sky::new(process, Arc::clone(log))))
            .collect();
        let proxies = skies
            .iter()
            .zip(1_u64..)
            .map(|(sky, number)| Proxy::before(server.port(), sky, &swaps, seed ^ (number << 48)))
            .collect::<io::Result<_>>()
            .map_err(|error| format!("a proxy does not start: {error}"))?;
        Ok(Site::Server {
            server,
            proxies,
            skies,
        })
    }

    /// For the caches of a process.
    fn url(&self, process: u32) -> String {
        match self {
            Site::Server { proxies, .. } => proxies[process as usize].url(),
            Site::Cluster(plates) => plates.url(),
        }
    }
}

/// Short enough to be typed.
fn by_the_clock() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::from(now.subsec_nanos())
}
