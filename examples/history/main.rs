//! The history checker: no lookup returns what was there before a write that had ended.
//!
//! ```text
//! cargo run --release --example history -- --processes 4 --threads 8 --operations 1000000
//! ```
//!
//! A file each: `args` (the flags), `ground` (servers and proxies), `run` (one run), `children` (the processes),
//! `plan` (what processes tell each other), `crew` (the threads of one), `caches` (what they use), `reader` and
//! `writer` (what they do), `primary` (what is true), `weather` (when faults happen), `sky`, `proxy` and `wire` (what
//! they do to bytes), `broken` (protocols that must be found out), `dice`, and `print` (what came of it).
//!
//! With an address that is moved, `moves` does that. On a cluster `plates` in the place of servers and proxies, `burst` and `quake` (what happens to them), `probe` (for
//! how long that shows), and `failovers` (which stale answers they explain).

mod args;
mod broken;
#[cfg(feature = "cluster")]
mod burst;
mod caches;
#[path = "../support/child.rs"]
mod child;
mod children;
#[path = "../support/args.rs"]
mod command_line;
mod crew;
mod dice;
mod failovers;
mod ground;
mod moves;
#[path = "../support/page.rs"]
mod page;
mod plan;
#[cfg_attr(not(feature = "cluster"), path = "no_plates.rs")]
mod plates;
mod primary;
mod print;
#[cfg(feature = "cluster")]
mod probe;
mod proxy;
#[cfg(feature = "cluster")]
mod quake;
mod reader;
mod run;
mod sky;
mod weather;
mod wire;
mod writer;

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

#[cfg(feature = "cluster")]
use crate::ground::support;
use crate::{args::Args, ground::Ground, run::End};

/// The run could not be done, which says nothing about the cache.
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
        // A server's log, for one, has several lines.
        eprintln!("history: {}", why.lines().collect::<Vec<_>>().join(" "));
        ExitCode::from(TROUBLE)
    })
}

fn check(args: &Args) -> Result<ExitCode, String> {
    // Set first: private servers must not outlive an early Ctrl-C. Whoever waits looks at it often.
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    ctrlc::set_handler(move || flag.store(true, SeqCst)).map_err(|error| error.to_string())?;

    let mut ground = Ground::prepare(args)?;
    print::heading(args, ground.seed).print()?;
    let outcome = run::run(args, &mut ground, &interrupted)?;
    print::report(&outcome, &ground)?.print()?;
    let is_clean = match &outcome.end {
        End::Clean(tally) => tally.pending == 0 && outcome.chronicle.eternal.is_empty(),
        End::Violation(_) => false,
    };
    Ok(if is_clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
