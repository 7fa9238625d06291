//! A harness of this project's tests, not an example to copy.
//!
//! It checks histories: a lookup never returns a record from before a write that had ended.
//!
//! ```text
//! cargo run --release --example history -- --processes 4 --threads 8 --operations 1000000
//! ```
//!
//! One file each: `args` (the flags), `environment` (servers and proxies), `run` (one run),
//! `children` (the processes), `plan` (the messages between processes), `workers` (the threads of
//! one process), `caches` (their caches), `reader` and `writer` (the operations), `primary` (the
//! true state), `judge` (which answers are too old), `fault_schedule` (when faults happen), `fault_injector`, `proxy` and `wire` (how
//! they change bytes), `broken` (protocols with a fault that must be found), `random`, and `print`
//! (the report). `clock_steps` steps the clock of the server. `killed_writers` starts writers and
//! kills them. `tags`, `tag_reader` and `tag_writer` are about records under tags. `audit` compares
//! hits with the primary.
//!
//! `moves` moves the address between two servers. On a cluster, `test_cluster` replaces servers and
//! proxies. `cluster_fault` and `cluster_faults` inject faults. `probe` measures how long lookups
//! are affected. `failovers` has the stale answers that failovers and moves explain.

mod args;
mod audit;
mod broken;
mod caches;
#[path = "../support/child.rs"]
mod child;
mod children;
mod clock_steps;
#[cfg(feature = "cluster")]
mod cluster_fault;
#[cfg(feature = "cluster")]
mod cluster_faults;
#[path = "../../../examples/support/args.rs"]
mod command_line;
mod environment;
mod failovers;
mod fault_injector;
mod fault_schedule;
mod judge;
mod killed_writers;
mod moves;
#[path = "../../../examples/support/page.rs"]
mod page;
mod plan;
mod primary;
mod print;
#[cfg(feature = "cluster")]
mod probe;
mod proxy;
mod random;
mod reader;
#[path = "../../../examples/support/recording.rs"]
mod recording;
mod run;
#[allow(dead_code, unused_imports, reason = "the crate uses the rest")]
#[path = "../../../src/util/sync.rs"]
mod sync;
mod tag_reader;
mod tag_writer;
mod tags;
#[cfg_attr(not(feature = "cluster"), path = "no_test_cluster.rs")]
mod test_cluster;
mod wire;
mod workers;
mod writer;

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

#[cfg(feature = "cluster")]
use crate::environment::support;
use crate::{args::Args, environment::Environment, run::End};

/// The exit status if the run could not be done, which says nothing about the cache.
const TROUBLE: u8 = 2;

fn main() -> ExitCode {
    let outcome = command_line::read::<Args>().and_then(|args| {
        if args.child {
            children::live().map(|()| ExitCode::SUCCESS)
        } else {
            check(&args)
        }
    });
    outcome.unwrap_or_else(|why| {
        // One line, even if the error is the log of a server.
        eprintln!("history: {}", why.lines().collect::<Vec<_>>().join(" "));
        ExitCode::from(TROUBLE)
    })
}

fn check(args: &Args) -> Result<ExitCode, String> {
    // Set first: private servers must not outlive an early Ctrl-C. Waiting loops check the flag
    // often.
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    ctrlc::set_handler(move || flag.store(true, SeqCst)).map_err(|error| error.to_string())?;

    recording::prepare(args.record.as_deref())?;
    let mut environment = Environment::prepare(args)?;
    print::heading(args, environment.seed).print()?;
    let outcome = run::run(args, &mut environment, &interrupted)?;
    print::report(&outcome, &environment)?.print()?;
    let is_clean = match &outcome.end {
        End::Clean(tally) => tally.pending == 0 && outcome.fault_report.eternal.is_empty(),
        End::Violation(_) => false,
    };
    Ok(if is_clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
