//! A cache before a real PostgreSQL: how many reads are stale if loads read a lagging replica, or
//! if writers die between commit and invalidation, and what helps.
//!
//! ```text
//! cargo run --release --manifest-path examples/postgres/Cargo.toml
//! ```
//!
//! One file each: `args` (the flags), `servers` (a primary and its replica), `shop` and
//! `schema.sql` (the tables, and how they are read and changed), `outbox` (the part to copy),
//! `killed` (a writer that is killed), `scenario` (one line of the table), `tally` (the counts),
//! `print` and `plot` (the results).

mod args;
#[path = "../../support/args.rs"]
mod command_line;
mod killed;
mod outbox;
#[path = "../../support/page.rs"]
mod page;
#[path = "../../support/paint.rs"]
#[allow(dead_code, reason = "each user takes its own part")]
mod paint;
mod plot;
mod print;
#[path = "../../support/progress.rs"]
mod progress;
mod scenario;
mod servers;
mod shop;
#[path = "../../../tests/support/mod.rs"]
mod support;
mod tally;

use std::{
    error::Error,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use crate::{
    args::Args,
    page::duration,
    scenario::{Scenario, Setup},
    servers::Servers,
    support::Server,
    tally::Counts,
};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// A record of a killed writer that is older than this is too old.
const BOUND: Duration = Duration::from_secs(1);

/// The exit status of a run that could not be done.
const TROUBLE: u8 = 2;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!(
                "postgres: {}",
                format!("{why:#}").replace(['\r', '\n'], " ")
            );
            ExitCode::from(TROUBLE)
        }
    }
}

/// Returns whether all promises were kept.
fn run() -> Outcome<bool> {
    let args = command_line::read::<Args>()?;
    if let Some(job) = &args.writer {
        killed::write(job)?;
        return Ok(true);
    }
    // Before the long run, and not after it.
    if let Some(folder) = args.plot.parent()
        && !folder.as_os_str().is_empty()
        && !folder.is_dir()
    {
        return Err(format!("--plot: there is no folder {}", folder.display()).into());
    }
    let is_interrupted = notice_ctrl_c()?;
    // Removed at the end, after the servers.
    let folder = tempfile::Builder::new().prefix("pg-").tempdir()?;
    let bin = args.bin.as_deref();
    let servers = Servers::start(bin, folder.path(), args.lag(), shop::create)?;
    let redis = Server::try_start_on_port()?;
    print::heading(&args, &servers).print()?;

    let setup = Setup {
        args: &args,
        servers: &servers,
        redis: redis.url(),
        is_interrupted,
    };
    let mut lines = Vec::new();
    for scenario in Scenario::ALL {
        let bar = progress::bar("read", args.reads());
        bar.set_message(scenario.name());
        let counts = setup.run(scenario, |reads| bar.set_position(reads))?;
        drop(bar);
        print::line(scenario, &counts).print()?;
        lines.push((scenario, counts));
    }
    print::footnote(&args).print()?;
    plot::draw(&args.plot, &duration(args.lag()), &lines)
        .map_err(|error| format!("{}: {error}", args.plot.display()))?;
    Ok(lines.iter().all(is_kept))
}

/// Whether a line shows what the crate promises.
fn is_kept((scenario, counts): &(Scenario, Counts)) -> bool {
    match scenario {
        Scenario::Plain | Scenario::Killed => true,
        Scenario::Versions => counts.stale == 0,
        Scenario::Unit | Scenario::Outbox => counts.longest <= BOUND,
    }
}

/// A flag that Ctrl-C and SIGTERM set. The run then ends in order, and ends its servers.
fn notice_ctrl_c() -> Outcome<Arc<AtomicBool>> {
    let is_interrupted = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&is_interrupted);
    ctrlc::set_handler(move || set.store(true, SeqCst))?;
    Ok(is_interrupted)
}
