//! A harness of this project's tests, not an example to copy.
//!
//! It shows what happens at the end of the TTL of a hot record. All readers wait for one load. With
//! early refresh or grace, only the reader that loads waits. With a loader that belongs to the cache,
//! no reader waits.
//!
//! ```text
//! cargo run --release --example expiry
//! ```
//!
//! One file each: `args` (the flags), `children` (the processes), `plan` (the messages between
//! processes), `workers` (the readers of one process), `broken` (a store with a fault that must be
//! found), `outcome` (the figures of a run), `invariants` (its checks), `print` and `plot` (the
//! report).

mod args;
mod broken;
#[path = "../support/child.rs"]
mod child;
mod children;
#[path = "../../../examples/support/args.rs"]
mod command_line;
#[path = "../../support/delegate.rs"]
mod delegate;
#[path = "../support/instant.rs"]
mod instant;
mod invariants;
mod outcome;
#[path = "../../../examples/support/page.rs"]
mod page;
#[path = "../../../examples/support/paint.rs"]
mod paint;
#[path = "../support/parent.rs"]
mod parent;
mod plan;
mod plot;
mod print;
#[path = "../../../examples/support/progress.rs"]
mod progress;
#[path = "../support/run_server.rs"]
mod run_server;
mod workers;

use std::{process::ExitCode, thread, time::Duration};

use crate::{
    args::Args,
    children::Children,
    outcome::Outcome,
    plan::{Plan, Run},
    run_server::RunServer,
};

/// The exit status if the runs could not be done, which says nothing about the cache.
const TROUBLE: u8 = 2;

const SECOND: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let outcome = command_line::read::<Args>().and_then(|args| {
        if args.child {
            children::live().map(|()| ExitCode::SUCCESS)
        } else {
            show(&args)
        }
    });
    outcome.unwrap_or_else(|why| {
        // One line, even if the error is the log of a server.
        eprintln!("expiry: {}", why.lines().collect::<Vec<_>>().join(" "));
        ExitCode::from(TROUBLE)
    })
}

fn show(args: &Args) -> Result<ExitCode, String> {
    let time = SECOND * u32::try_from(args.seconds).expect("it has been checked");
    let ttl = Duration::from_millis(args.ttl_ms);
    if time < ttl * 2 {
        return Err("--seconds: a run must be as long as two TTLs at least".to_owned());
    }
    let ids = (0..args.runs.len()).map(Run::id).collect();
    let place = RunServer::prepare("expiry", args.redis_url.as_deref(), ids)?;
    let plan = Plan {
        url: place.url.clone(),
        prefix: place.prefix.clone(),
        runs: args.runs.clone(),
        processes: args.processes,
        threads: args.threads,
        reads: args.reads,
        ttl,
        load: Duration::from_millis(args.load_ms),
        time,
        broken: args.broken,
    };
    print::heading(&plan, &place.description).print()?;

    let outcomes = run_all(&plan, &place)?;
    let flaws: Vec<_> = outcomes
        .iter()
        .flat_map(|outcome| {
            let flaws = invariants::broken(&plan, outcome);
            flaws.into_iter().map(|flaw| (outcome.run.title(), flaw))
        })
        .collect();
    let drawn = plot::draw(&args.plot, &plan, &outcomes);
    print::report(args, &plan, &outcomes, &flaws).print()?;
    drawn.map_err(|error| format!("{}: {error}", args.plot.display()))?;
    Ok(if flaws.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Does the runs, one after the other.
fn run_all(plan: &Plan, place: &RunServer) -> Result<Vec<Outcome>, String> {
    let mut children = Children::start(plan, |processes| place.keep(processes))?;
    let seconds = plan.time.as_secs();
    let bar = progress::bar("second", plan.runs.len() as u64 * seconds);
    plan.runs
        .iter()
        .map(|run| {
            let start = children.begin()?;
            for _ in 0..seconds {
                thread::sleep(SECOND);
                bar.inc(1);
            }
            Ok(Outcome::new(*run, start, children.end()?))
        })
        .collect()
}
