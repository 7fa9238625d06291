//! The stampede harness: many readers, one cold key, and what it costs.
//!
//! ```text
//! cargo run --release --example stampede -- --processes 4 --threads 50
//! ```
//!
//! A file each: `args` (the flags), `ground` (the server), `crew` (the readers of one process), `children`
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
#[path = "../support/page.rs"]
mod page;
mod plan;
mod print;
mod unprotected;

use std::{process::ExitCode, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    args::Args,
    children::Children,
    crew::Crew,
    figures::{Figures, Requests},
    ground::Ground,
    plan::{Plan, Seen},
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
    print::heading(&plan, &ground.description).print()?;

    let mut readers = Readers::prepare(&ground)?;
    let mut figures = Figures::default();
    let progress = progress(&plan);
    // Connected, the processes send nothing but lookups from here on.
    let before = ground.commands()?;
    for number in 0..plan.rounds {
        figures.add(readers.round(number)?);
        progress.inc(1);
    }
    progress.finish_and_clear();

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

/// A line on stderr, where that is a terminal.
fn progress(plan: &Plan) -> ProgressBar {
    let style = ProgressStyle::with_template("round {pos} of {len} {wide_bar} {elapsed}")
        .expect("the template is right");
    let bar = ProgressBar::new(plan.rounds.into()).with_style(style);
    // Often enough to look alive, in a long round too.
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
