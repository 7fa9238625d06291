//! Where a run takes place: two private servers, and a proxy for each process in front of the cache's one.

use std::{
    io,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{
    args::Args,
    plan::Plan,
    primary::Primary,
    proxy::Proxy,
    sky::{Log, Sky},
};

#[path = "../../tests/support/mod.rs"]
pub(crate) mod support;

/// Dropped, the servers are ended.
pub(crate) struct Ground {
    pub(crate) server: support::Server,
    primary: support::Server,
    proxies: Vec<Proxy>,
    pub(crate) skies: Vec<Arc<Sky>>,
    pub(crate) log: Arc<Log>,
    pub(crate) seed: u64,
}

impl Ground {
    pub(crate) fn prepare(args: &Args) -> Result<Ground, String> {
        let server = support::Server::try_start_on_port()?;
        let primary = support::Server::try_start_on_port()?;
        let seed = args.seed.unwrap_or_else(by_the_clock);
        let swaps = match args.broken {
            Some(rule) => {
                // It may take commands that the protocol can do without.
                server.set_user(&["+@all"]);
                rule.load(&mut server.connect())?
            }
            None => Vec::new(),
        };
        let log = Arc::new(Log::new());
        let skies: Vec<_> = (0..args.processes as usize)
            .map(|process| Arc::new(Sky::new(process, Arc::clone(&log))))
            .collect();
        let proxies = skies
            .iter()
            .zip(1_u64..)
            .map(|(sky, number)| Proxy::before(server.port(), sky, &swaps, seed ^ (number << 48)))
            .collect::<io::Result<_>>()
            .map_err(|error| format!("a proxy does not start: {error}"))?;
        Ok(Ground {
            server,
            primary,
            proxies,
            skies,
            log,
            seed,
        })
    }

    /// What each process is told.
    pub(crate) fn plans(&self, args: &Args) -> Vec<Plan> {
        let processes = u64::from(args.processes);
        let share = args.operations / processes;
        let rest = args.operations % processes;
        self.proxies
            .iter()
            .zip(0_u32..)
            .map(|(proxy, process)| Plan {
                cache: proxy.url(),
                primary: self.primary.admin_url(),
                process,
                processes: args.processes,
                threads: args.threads,
                keys: args.keys,
                near: args.near(),
                grace: args.grace,
                operations: share + u64::from(u64::from(process) < rest),
                longest: args.seconds.map(std::time::Duration::from_secs),
                seed: self.seed,
            })
            .collect()
    }

    pub(crate) fn primary(&self) -> Result<Primary, String> {
        Primary::connect(&self.primary.admin_url())
    }
}

/// Short enough to be typed.
fn by_the_clock() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::from(now.subsec_nanos())
}
