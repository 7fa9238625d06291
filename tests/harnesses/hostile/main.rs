//! A harness of this project's tests, not an example to copy.
//!
//! A hostile server: a proxy before a real one that gives wrong replies. There are two modes. With
//! `--points`, each point of the protocol gets each of some 250 wrong replies. With `--fuzz`,
//! threads read and write while some of the replies are mutated.
//!
//! ```text
//! cargo run --release --features cluster,sentinel --example hostile -- --points
//! cargo run --release --features cluster,sentinel --example hostile -- --fuzz
//! ```
//!
//! One file each: `args` (the flags), `proxy` with `scanner`, `roles` and `steps` (the server),
//! `points`, `reach` and `replies` (the cases), `cases` and `points_run` (a run of cases), `mutate`,
//! `forgeries` and `fuzz_run` (a run of mutations), `caches` (settings and bounds), `calls`, `primary` and
//! `tally` (what is called and checked), `print`.

mod args;
mod caches;
mod calls;
mod cases;
#[path = "../../../examples/support/args.rs"]
mod command_line;
mod forgeries;
mod fuzz_run;
mod mutate;
#[path = "../../../examples/support/page.rs"]
mod page;
mod points;
mod points_run;
mod primary;
mod print;
#[path = "../../../examples/support/progress.rs"]
mod progress;
mod proxy;
#[allow(dead_code, reason = "`history` uses the rest")]
#[path = "../history/random.rs"]
mod random;
mod reach;
mod replies;
mod roles;
mod scanner;
mod steps;
#[path = "../../support/mod.rs"]
mod support;
mod tally;

use std::process::ExitCode;

use crate::args::Args;

/// The exit status if the run could not be done, which says nothing about the cache.
const TROUBLE: u8 = 2;

fn main() -> ExitCode {
    match command_line::read::<Args>().and_then(|args| run(&args)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("hostile: {why}");
            ExitCode::from(TROUBLE)
        }
    }
}

/// Does the run. Returns whether all was well.
fn run(args: &Args) -> Result<bool, String> {
    if args.list {
        print::list().print()?;
        return Ok(true);
    }
    allocate_strictly()?;
    tally::count_panics();
    tally::measure_lost_time();
    if args.points {
        let outcome = points_run::run(args)?;
        print::points(args, &outcome).print()?;
        return Ok(print::is_clean(
            &outcome.tally,
            outcome.panics,
            outcome.growth,
        ));
    }
    let outcome = fuzz_run::run(args)?;
    print::fuzz(args, &outcome).print()?;
    Ok(print::is_clean(
        &outcome.tally,
        outcome.panics,
        outcome.growth,
    ))
}

/// Starts this program again in its place, with an allocator that returns what is freed. That of
/// glibc would keep it, and so the memory of a process would say little about leaks.
#[cfg(unix)]
fn allocate_strictly() -> Result<(), String> {
    use std::{env, os::unix::process::CommandExt, process::Command};
    const BYTES: &str = "131072";
    const SETTINGS: [(&str, &str); 3] = [
        ("MALLOC_ARENA_MAX", "2"),
        ("MALLOC_MMAP_THRESHOLD_", BYTES),
        ("MALLOC_TRIM_THRESHOLD_", BYTES),
    ];
    if SETTINGS.iter().all(|(name, _)| env::var_os(name).is_some()) {
        return Ok(());
    }
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let mut again = Command::new(program);
    // Returns only if it fails.
    let failed = again.args(env::args_os().skip(1)).envs(SETTINGS).exec();
    Err(failed.to_string())
}

#[cfg(not(unix))]
fn allocate_strictly() -> Result<(), String> {
    Ok(())
}
