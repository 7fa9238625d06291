//! The stampede harness: many readers, one cold key, and what it costs.
//!
//! ```text
//! cargo run --release --example stampede -- --processes 4 --threads 50
//! ```
//!
//! A file each: `args` (the flags), `ground` (the server and its counters), `crew` (the readers of one process), `children`
//! (further processes), `plan` (what processes tell each other), `unprotected` (for comparison), `figures`,
//! `print` and `histogram` (what came of it).

mod args;
#[path = "../support/child.rs"]
mod child;
mod children;
#[path = "../support/args.rs"]
mod command_line;
mod crew;
mod figures;
mod ground;
mod histogram;
#[path = "../support/instant.rs"]
mod instant;
#[path = "../support/page.rs"]
mod page;
#[path = "../support/parent.rs"]
mod parent;
#[path = "../support/place.rs"]
mod place;
mod plan;
mod print;
#[path = "../support/progress.rs"]
mod progress;
mod unprotected;

use std::process::ExitCode;

use crate::{
    args::Args,
    children::Children,
    crew::Crew,
    figures::{Figures, Requests},
    ground::Ground,
    plan::Seen,
};

fn main() -> ExitCode {
    let outcome = command_line::read::<Args>().and_then(|args| {
        if args.child {
            children::live()
        } else {
            run(&args)
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // A server's log, for one, has several lines.
            eprintln!("stampede: {}", why.lines().collect::<Vec<_>>().join(" "));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let mut ground = Ground::prepare(args)?;
    let plan = ground.plan.clone();
    print::heading(&plan, ground.description()).print()?;

    let mut readers = Readers::prepare(&ground)?;
    let mut figures = Figures::default();
    let progress = progress::bar("round", plan.rounds.into());
    // Connected, the processes send nothing but lookups from here on.
    let before = ground.commands()?;
    for number in 0..plan.rounds {
        figures.add(readers.round(number)?);
        progress.inc(1);
    }
    drop(progress);

    // A server that was lost on the way is worth a report too.
    let requests = ground.commands().map(|after| {
        let spent = ground::difference(&before, &after);
        Requests::of(&plan, spent)
    });
    print::report(&plan, &figures, &requests).print()
}

/// Who reads.
enum Readers {
    /// Threads of this process.
    Here(Crew),
    /// Threads of further processes.
    Elsewhere(Children),
}

impl Readers {
    fn prepare(ground: &Ground) -> Result<Readers, String> {
        let plan = &ground.plan;
        Ok(if plan.processes == 1 {
            Readers::Here(Crew::new(plan.clone())?)
        } else {
            Readers::Elsewhere(Children::start(plan, |processes| ground.keep(processes))?)
        })
    }

    /// What they saw in this round, process by process.
    fn round(&mut self, round: u32) -> Result<Vec<Seen>, String> {
        match self {
            Readers::Here(crew) => Ok(vec![crew.round(round, || Ok(()))?]),
            Readers::Elsewhere(children) => children.round(),
        }
    }
}
