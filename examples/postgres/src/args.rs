//! The command line.

use std::{env, path::PathBuf, time::Duration};

use clap::Parser;

/// Reads through a cache from a PostgreSQL whose replica lags, and counts stale reads
#[derive(Debug, Parser)]
#[command(
    name = "postgres",
    after_help = "\
Starts a primary, a streaming replica that applies each change late, and a Redis, all of them in a temporary folder, and
ends them at the end. Needs the binaries of PostgreSQL and Redis:

  sudo apt-get install postgresql redis-server

Ends with 0 if no read was stale with versions, and no old record of a killed writer was read a second after its commit
with a unit of work or the outbox; with 1 if not; and with 2 if the run could not be done.

Examples, each behind `cargo run --release --manifest-path examples/postgres/Cargo.toml --`:
  --short                  a few seconds, for a first look
  --lag-ms 1000            a replica that is further behind"
)]
pub(crate) struct Args {
    /// A short run: 10,000 reads a line of the table
    #[arg(long)]
    short: bool,

    /// Reads a line of the table [default: 120000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1000..))]
    reads: Option<u64>,

    /// How much later the replica applies a change, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    lag_ms: u64,

    /// Threads that read, each with a connection of its own
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) threads: u32,

    /// How long a record lives in the cache, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 2000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    ttl_ms: u64,

    /// The folder with the binaries of PostgreSQL, where they are not Debian's
    #[arg(long, value_name = "PATH", env = "POSTGRES_BIN")]
    pub(crate) bin: Option<PathBuf>,

    /// Where to draw the stale reads
    #[arg(long, value_name = "PATH", default_value_os_t = env::temp_dir().join("postgres.svg"))]
    pub(crate) plot: PathBuf,

    /// The part of a writer that is killed: the socket of the primary, the cache and the product,
    /// and Redis for a unit of work
    #[arg(long, hide = true, num_args = 3..=4)]
    pub(crate) writer: Option<Vec<String>>,
}

impl Args {
    pub(crate) fn reads(&self) -> u64 {
        self.reads
            .unwrap_or(if self.short { 10_000 } else { 120_000 })
    }

    pub(crate) fn lag(&self) -> Duration {
        Duration::from_millis(self.lag_ms)
    }

    pub(crate) fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl_ms)
    }
}
