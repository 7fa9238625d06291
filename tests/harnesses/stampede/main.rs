//! A harness of this project's tests, not an example to copy.
//!
//! It lets many readers ask for one cold key at once, and measures what that costs.
//!
//! ```text
//! cargo run --release --example stampede -- --processes 4 --threads 50
//! ```
//!
//! One file each: `args` (the flags), `environment` (the server and its counters), `workers` (the
//! readers of one process), `children` (further processes), `plan` (the messages between
//! processes), `unprotected` (for comparison), `figures`, `print` and `histogram` (the report).

mod args;
#[path = "../support/child.rs"]
mod child;
mod children;
#[path = "../../../examples/support/args.rs"]
mod command_line;
mod environment;
mod figures;
mod histogram;
#[path = "../support/instant.rs"]
mod instant;
#[path = "../../../examples/support/page.rs"]
mod page;
#[path = "../support/parent.rs"]
mod parent;
mod plan;
mod print;
#[path = "../../../examples/support/progress.rs"]
mod progress;
#[path = "../support/run_server.rs"]
mod run_server;
mod unprotected;
mod workers;

use std::process::ExitCode;

use crate::{
    args::Args,
    children::Children,
    environment::Environment,
    figures::{Figures, Requests},
    plan::Seen,
    workers::Workers,
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
            // One line, even if the error is the log of a server.
            eprintln!("stampede: {}", why.lines().collect::<Vec<_>>().join(" "));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let mut environment = Environment::prepare(args)?;
    let plan = environment.plan.clone();
    print::heading(&plan, environment.description()).print()?;

    let mut readers = Readers::prepare(&environment)?;
    let mut figures = Figures::default();
    let progress = progress::bar("round", plan.rounds.into());
    // Once connected, the processes send only lookups.
    let before = environment.commands()?;
    for number in 0..plan.rounds {
        figures.add(readers.round(number)?);
        progress.inc(1);
    }
    drop(progress);

    // If the server was lost during the run, the report is still useful.
    let requests = environment.commands().map(|after| {
        let spent = environment::difference(&before, &after);
        Requests::of(&plan, spent)
    });
    print::report(&plan, &figures, &requests).print()
}

/// The readers of a run.
enum Readers {
    /// Threads of this process.
    Here(Workers),
    /// Threads of further processes.
    Elsewhere(Children),
}

impl Readers {
    fn prepare(environment: &Environment) -> Result<Readers, String> {
        let plan = &environment.plan;
        Ok(if plan.processes == 1 {
            Readers::Here(Workers::new(plan.clone())?)
        } else {
            Readers::Elsewhere(Children::start(plan, |processes| {
                environment.keep(processes);
            })?)
        })
    }

    /// What the readers saw in this round, process by process.
    fn round(&mut self, round: u32) -> Result<Vec<Seen>, String> {
        match self {
            Readers::Here(workers) => Ok(vec![workers.round(round, || Ok(()))?]),
            Readers::Elsewhere(children) => children.round(),
        }
    }
}
