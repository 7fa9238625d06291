//! The command line: flags, defaults, help texts, and one clear line for a wrong flag.

use std::{env, path::PathBuf};

use clap::Parser;

use crate::{broken::Rule, plan::Run};

/// A harness of this project's tests, not an example to copy. It reads one hot record of a slow
/// primary again and again, and shows what happens at the end of its TTL
#[derive(Debug, Parser)]
#[command(
    name = "expiry",
    after_help = "\
Many readers in several processes read one record, with small pauses by chance. This is done several
times, one after the other: with records that just expire, with early refresh, and with grace; then with a
primary that fails in the middle third of the run, without grace and with it; then with grace and a loader that
belongs to the cache, so that no reader loads.

Each process has read the primary before, so it knows how long that takes; and the record is there when a
run begins. Instants of different processes are compared by the system's clock: don't set it during a run.

Without --redis-url a private redis-server is started on a free port, and ended after the run.
With it, keys of the run's own are used, and removed after the run.

Ends with 0 if everything that is promised was kept, with 1 if it was not, and with 2 if the run could
not be done.

Command lines, each after `cargo run --release --example expiry --`:
  --seconds 60                 a long run
  --runs plain,early           two of them
  --ttl-ms 30000 --seconds 180 a TTL as in earnest: early refreshes hardly count"
)]
pub(crate) struct Args {
    /// Processes, each with its own cache
    // Each opens up to 16 connections, and many servers stop at 1,000 open files.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub(crate) processes: u32,

    /// Readers in each process, one thread each
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) threads: u32,

    /// Reads a second, by all readers together, if none has to wait
    // With this many, two cores are idle for most of the time.
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) reads: u32,

    /// How long a record is fresh, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 3000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub(crate) ttl_ms: u64,

    /// How long the primary takes to answer, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub(crate) load_ms: u64,

    /// How long each run takes
    // All reads of a run are kept in memory.
    #[arg(long, value_name = "N", default_value_t = 18, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,

    /// Which runs, in this order
    #[arg(
        long,
        value_name = "RUN,…",
        value_enum,
        value_delimiter = ',',
        default_values_t = Run::ALL
    )]
    pub(crate) runs: Vec<Run>,

    /// The Redis server to use, like `redis://localhost:6379`
    // Hidden value: it may hold a password.
    #[arg(long, value_name = "URL", env = "REDIS_URL", hide_env_values = true)]
    pub(crate) redis_url: Option<String>,

    /// Where to draw the latencies
    #[arg(long, value_name = "PATH", default_value_os_t = env::temp_dir().join("expiry.svg"))]
    pub(crate) plot: PathBuf,

    /// Break a rule of the protocol, to see that the checks find it
    #[arg(long = "break", value_name = "RULE", value_enum, hide = true)]
    pub(crate) broken: Option<Rule>,

    /// Read the plan from stdin and take part in another process's runs
    #[arg(long, hide = true, exclusive = true)]
    pub(crate) child: bool,
}
