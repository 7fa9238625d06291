//! A harness of this project's tests, not an example to copy.
//!
//! A pre-forking program: the parent builds a cache and forks children. Then all of them use it at
//! the same time, each with several threads. Every lookup of parent and children is checked as in
//! the harness `history`, whose workers these are.
//!
//! ```text
//! cargo run --release --example prefork -- --children 8 --seconds 60
//! ```
//!
//! One file each: `args` (the flags), `caches` (the cache that all inherit), `run` (the parent and
//! its children). A child sends what it did through the primary store, and says by its exit status
//! how it ended.

mod args;
#[allow(dead_code, reason = "`history` uses the rest")]
#[path = "../history/audit.rs"]
mod audit;
mod caches;
#[path = "../../../examples/support/args.rs"]
mod command_line;
#[allow(dead_code, reason = "`history` uses the rest")]
#[path = "../history/judge.rs"]
mod judge;
#[path = "../../../examples/support/page.rs"]
mod page;
#[allow(dead_code, reason = "`history` uses the rest")]
#[path = "../history/plan.rs"]
mod plan;
#[allow(dead_code, reason = "`history` uses the rest")]
#[path = "../history/primary.rs"]
mod primary;
#[allow(dead_code, reason = "`history` uses the rest")]
#[path = "../history/random.rs"]
mod random;
#[allow(dead_code, reason = "`history` uses the rest")]
#[path = "../history/reader.rs"]
mod reader;
#[path = "../../../examples/support/recording.rs"]
mod recording;
mod run;
#[path = "../../support/mod.rs"]
mod support;
#[allow(dead_code, unused_imports, reason = "the crate uses the rest")]
#[path = "../../../src/util/sync.rs"]
mod sync;
#[allow(dead_code, reason = "`history` uses the rest")]
#[path = "../history/tag_reader.rs"]
mod tag_reader;
#[allow(dead_code, reason = "`history` uses the rest")]
#[path = "../history/tag_writer.rs"]
mod tag_writer;
#[allow(dead_code, reason = "`history` uses the rest")]
#[path = "../history/tags.rs"]
mod tags;
#[allow(dead_code, reason = "`history` uses the rest")]
#[path = "../history/workers.rs"]
mod workers;
#[path = "../history/writer.rs"]
mod writer;

use std::process::ExitCode;

use crate::{args::Args, page::Page, run::Outcome};

/// The exit status if the run could not be done, which says nothing about the cache.
const TROUBLE: u8 = 2;

/// The width of the longest label and a gap.
const LABEL: usize = 22;

fn main() -> ExitCode {
    let outcome = command_line::read::<Args>().and_then(|args| {
        let outcome = run::run(&args)?;
        report(&args, &outcome).print()?;
        Ok(outcome)
    });
    match outcome {
        Ok(outcome) if outcome.is_clean() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("prefork: {why}");
            ExitCode::from(TROUBLE)
        }
    }
}

fn report(args: &Args, outcome: &Outcome) -> Page {
    let mut page = Page::new(LABEL);
    let Outcome {
        tally,
        forks,
        hung,
        failed,
        violations,
    } = outcome;
    let near = if args.near { ", with near caches" } else { "" };
    let threads = args.threads;
    page.row("Threads", &format!("{threads} in each process{near}"));
    page.row("Forks", &forks.to_string());
    page.row("Lookups", &tally.lookups().to_string());
    page.row("  hit", &tally.hits.to_string());
    page.row("  near", &tally.near.to_string());
    page.row("  loaded", &tally.loaded.to_string());
    page.row("  waited", &tally.waited.to_string());
    page.row("  degraded", &tally.degraded.to_string());
    page.row("Writes", &tally.writes().to_string());
    page.row("  deferred", &tally.deferred.to_string());
    page.row("Refused fills", &tally.refused_fills.to_string());
    page.row("Children that hung", &hung.to_string());
    page.row("Children that failed", &failed.to_string());
    page.row("Violations", &violations.to_string());
    page
}
