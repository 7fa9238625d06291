//! The server of a run, and a count of its commands.

use std::{collections::BTreeMap, time::Duration};

use redis::Connection;

use crate::{args::Args, parent::Processes, plan::Plan, run_server::RunServer};

/// Calls of each command, by its name in lower case.
pub(crate) type Commands = BTreeMap<String, u64>;

/// The server and the run's keys in it.
pub(crate) struct Environment {
    pub(crate) plan: Plan,
    place: RunServer,
    /// Only counts commands, so that its own commands are easy to leave out.
    watcher: Connection,
}

impl Environment {
    /// Starts a private server, or connects to the one that was given.
    pub(crate) fn prepare(args: &Args) -> Result<Environment, String> {
        let ids = (0..args.rounds).map(Plan::id).collect();
        let place = RunServer::prepare("stampede", args.redis_url.as_deref(), ids)?;
        let watcher = place.admin.get_connection();
        Ok(Environment {
            plan: plan(args, &place),
            watcher: watcher.map_err(|error| error.to_string())?,
            place,
        })
    }

    /// The description of the server for a report.
    pub(crate) fn description(&self) -> &str {
        &self.place.description
    }

    /// Takes over the child processes of this run.
    pub(crate) fn keep(&self, processes: Processes) {
        self.place.keep(processes);
    }

    /// All commands of the server since its start, without those of the watcher.
    pub(crate) fn commands(&mut self) -> Result<Commands, String> {
        let text: String = redis::cmd("INFO")
            .arg("commandstats")
            .query(&mut self.watcher)
            .map_err(|error| format!("INFO commandstats: {error}"))?;
        Ok(parse(&text))
    }
}

fn plan(args: &Args, place: &RunServer) -> Plan {
    Plan {
        url: place.url.clone(),
        prefix: place.prefix.clone(),
        processes: args.processes,
        threads: args.threads,
        rounds: args.rounds,
        load: Duration::from_millis(args.load_ms),
        ttl: Duration::from_secs(args.ttl),
        primary: args.primary(),
        protected: !args.no_protection,
        tracking: args.tracking,
    }
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

/// The commands between two counts. Too few if the server was restarted in between.
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
