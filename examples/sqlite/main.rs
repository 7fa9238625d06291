//! A cache in a realistic program: a shop in SQLite, with and without a cache in front of it.
//!
//! ```text
//! cargo run --release --example sqlite
//! ```
//!
//! The cached record is the page of a product. To compute it, SQLite reads the ratings of the whole
//! category. A single row by its key would be faster from SQLite than from any cache in another
//! process; the report says how much faster.
//!
//! One file each: `args` (the flags), `shop` and `stock` (the database file and its contents),
//! `primary` (how a product is read and changed), `load` (the choice of operations), `worker` (one
//! thread: reads, writes, and the check that no read was stale), `side` (all threads of one side),
//! `figures` (latencies), `print` and `plot` (the results).

mod args;
#[path = "../support/args.rs"]
mod command_line;
mod figures;
mod load;
#[path = "../support/page.rs"]
mod page;
#[path = "../support/paint.rs"]
mod paint;
mod plot;
mod primary;
mod print;
#[path = "../support/progress.rs"]
mod progress;
mod shop;
mod side;
mod stock;
#[path = "../support/store.rs"]
mod store;
mod worker;

use std::{
    error::Error,
    process::{self, ExitCode},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use cache_aside::Cache;

use crate::{args::Args, print::Comparison, side::Side};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The approximate number of operations in a round. It is small, so that noise affects both sides.
/// But a round still takes much longer than starting the threads.
const ROUND: u64 = 2000;

/// Enough for a median.
const SINGLE_ROWS: u32 = 10_000;

/// The exit status of a run that failed for a reason other than the cache.
const TROUBLE: u8 = 2;

fn main() -> ExitCode {
    match run() {
        Ok(outcome) if outcome.stale() == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(why) => {
            // One line, whatever a server put into its error.
            eprintln!("sqlite: {}", format!("{why:#}").replace(['\r', '\n'], " "));
            ExitCode::from(TROUBLE)
        }
    }
}

fn run() -> Outcome<Comparison> {
    let args = command_line::read::<Args>()?;
    let interrupted = notice_ctrl_c()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    #[expect(clippy::cast_possible_truncation, reason = "any number will do")]
    let seed = args.seed.unwrap_or(now as u64 % 1_000_000);
    // First: if no server answers at a given address, the user should not wait for the shop.
    let chosen = args.store.open()?;
    let shop = shop::open(&args.db, args.rows, &interrupted)?;
    print::heading(&args, &shop, &chosen, seed).print()?;
    // These keys belong to this run alone, because it has its own copy of the shop. They expire.
    let cache = Cache::builder(chosen.backend)
        .prefix(format!("sqlite:{}-{now}:", process::id()))
        .ttl(args.ttl())
        .build()?;

    // Both copies are removed with this folder, on every exit.
    let folder = tempfile::Builder::new()
        .prefix("cache-aside-run-")
        .tempdir()?;
    let path = |name| folder.path().join(name);
    let mut without = Side::new(&args, seed, None, &path("without"), &interrupted)?;
    let mut with = Side::new(&args, seed, Some(cache), &path("with"), &interrupted)?;

    compare(&args, [&mut without, &mut with])?;
    let outcome = Comparison {
        late_hit_rate: with.late_hit_rate(),
        single_rows: without.single_rows(SINGLE_ROWS)?,
        without: without.figures(),
        with: with.figures(),
    };
    let drawn = plot::draw(&args.plot, &outcome.without, &outcome.with);
    print::report(&args, &outcome).print()?;
    drawn.map_err(|error| format!("{}: {error}", args.plot.display()))?;
    Ok(outcome)
}

/// Runs the same operations on both sides, in turn.
fn compare(args: &Args, mut sides: [&mut Side<'_>; 2]) -> Outcome<()> {
    let threads = u64::from(args.threads);
    let per_thread = args.operations.div_ceil(threads);
    let longest_round = ROUND.div_ceil(threads);
    let bar = progress::bar("operation", 2 * per_thread * threads);
    let (began, mut done) = (Instant::now(), 0);
    while done < per_thread && began.elapsed() < args.longest() {
        let round = longest_round.min(per_thread - done);
        for side in &mut sides {
            side.round(round)?;
            bar.inc(round * threads);
        }
        done += round;
    }
    Ok(())
}

/// Notices Ctrl-C. Workers check the flag often, so that copies and unfinished files are removed.
fn notice_ctrl_c() -> Outcome<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    ctrlc::set_handler(move || flag.store(true, SeqCst))?;
    Ok(interrupted)
}
