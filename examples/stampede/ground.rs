//! Where a run takes place: a Redis server, private or given, and keys of the run's own.
//!
//! Guarantees that nothing stays behind, also after Ctrl-C: further processes are ended, then a private
//! server too, or in a given one the keys are removed. Counts what the server did meanwhile.

use std::{
    collections::BTreeMap,
    mem, process,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use cache_aside::{Cache, Record};
use parking_lot::Mutex;
use redis::{Client, Connection};

use crate::{args::Args, children::Processes, plan::Plan};

#[path = "../../tests/support/mod.rs"]
mod support;

/// Calls of each command, by its name in lower case.
pub(crate) type Commands = BTreeMap<String, u64>;

/// The server and the run's keys in it.
pub(crate) struct Ground {
    pub(crate) plan: Plan,
    /// The server, for people.
    pub(crate) description: String,
    /// Counts commands, and does nothing else, so that its own are easy to leave out.
    watcher: Connection,
    mess: Arc<Mutex<Option<Mess>>>,
}

/// What must not stay behind. Dropped, it is gone.
struct Mess {
    processes: Processes,
    private: Option<support::Server>,
    cache: Cache,
    rounds: u32,
}

impl Ground {
    /// Starts a private server, or connects to the one that was given.
    pub(crate) fn prepare(args: &Args) -> Result<Ground, String> {
        // Set first: a private server must not outlive an early Ctrl-C.
        let mess = Arc::new(Mutex::new(None));
        tidy_on_ctrl_c(Arc::clone(&mess))?;

        let private = match &args.redis_url {
            Some(_) => None,
            None => Some(support::Server::try_start_on_port()?),
        };
        // For the readers, and for the watcher.
        let (url, watchers) = match (&args.redis_url, &private) {
            (Some(url), _) => (url.clone(), url.clone()),
            (None, Some(server)) => (server.url(), server.admin_url()),
            (None, None) => unreachable!("one of them is there"),
        };
        let plan = plan(args, url);
        let client = Client::open(watchers).map_err(|error| format!("--redis-url: {error}"))?;
        // Without the password that the whole address may hold.
        let address = client.get_connection_info().addr().to_string();
        let cache: Cache<Record> = Cache::builder(&plan.url)
            .prefix(&plan.prefix)
            .build()
            .map_err(|error| error.to_string())?;
        let description = match &private {
            Some(_) => format!("a private server on {address}, ended after the run"),
            None => format!(
                "the server at {address}; keys {}*, removed after the run",
                plan.prefix
            ),
        };
        *mess.lock() = Some(Mess {
            processes: Processes::default(),
            private,
            cache,
            rounds: plan.rounds,
        });
        let watcher = client.get_connection().map_err(|error| error.to_string())?;
        Ok(Ground {
            plan,
            description,
            watcher,
            mess,
        })
    }

    /// Takes charge of the further processes of this run.
    pub(crate) fn keep(&self, processes: Processes) {
        if let Some(mess) = &mut *self.mess.lock() {
            mess.processes = processes;
        }
    }

    /// All the server has done since its start, without what this asks.
    pub(crate) fn commands(&mut self) -> Result<Commands, String> {
        let text: String = redis::cmd("INFO")
            .arg("commandstats")
            .query(&mut self.watcher)
            .map_err(|error| format!("INFO commandstats: {error}"))?;
        Ok(parse(&text))
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.mess.lock().take();
    }
}

impl Drop for Mess {
    fn drop(&mut self) {
        // First: those who wait would take the lease again.
        drop(mem::take(&mut self.processes));
        if self.private.is_none() {
            for round in 0..self.rounds {
                // It removes the lease as well. What can't be removed expires.
                let _ = self.cache.invalidate(&Plan::id(round));
            }
        }
    }
}

fn plan(args: &Args, url: String) -> Plan {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Plan {
        url,
        // No other process, on this machine or elsewhere, has this id at this nanosecond.
        prefix: format!("stampede:{}-{}:", process::id(), now.as_nanos()),
        processes: args.processes,
        threads: args.threads,
        rounds: args.rounds,
        load: Duration::from_millis(args.load_ms),
        ttl: Duration::from_secs(args.ttl),
        primary: args.primary(),
        protected: !args.no_protection,
    }
}

fn tidy_on_ctrl_c(mess: Arc<Mutex<Option<Mess>>>) -> Result<(), String> {
    ctrlc::set_handler(move || {
        // Held until the end, so that the main thread neither tidies up twice nor leaves first.
        let mut mess = mess.lock();
        mess.take();
        // As the shell reports a program that SIGINT ended.
        process::exit(130);
    })
    .map_err(|error| error.to_string())
}

/// Lines like `cmdstat_hgetall:calls=12,usec=34,…`.
fn parse(text: &str) -> Commands {
    text.lines()
        .filter_map(|line| {
            let (name, figures) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let calls = figures.split(',').next()?.parse().ok()?;
            (name != "info").then(|| (name.to_owned(), calls))
        })
        .collect()
}

/// What happened between two counts. Less, where the server was started anew in between.
pub(crate) fn difference(before: &Commands, after: &Commands) -> Commands {
    after
        .iter()
        .map(|(name, calls)| {
            (
                name.clone(),
                calls.saturating_sub(*before.get(name).unwrap_or(&0)),
            )
        })
        .filter(|(_, calls)| *calls > 0)
        .collect()
}
