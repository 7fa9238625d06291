//! The command line: flags, defaults, help texts, and one clear line for a wrong flag.

use clap::Parser;

use crate::plan::Primary;

/// A harness of this project's tests, not an example to copy. It lets many readers
/// ask for one cold record at the same moment, and measures what happens
#[derive(Debug, Parser)]
#[command(
    name = "stampede",
    after_help = "\
Each round takes a key that is not in Redis. All readers of all processes start at once; counted are
the reads of the slow primary store, how long the readers wait, and what Redis has to do meanwhile.
Instants of different processes are compared by the system's clock: don't set it during a run.

Without --redis-url a private redis-server is started on a free port, and ended after the run.
With it, keys of the run's own are used, and removed after the run.

Command lines, each after `cargo run --release --example stampede --`:
  --processes 4 --threads 50                   one load for 200 readers
  --processes 4 --threads 50 --no-protection   what it is good for
  --processes 8 --threads 50 --tracking        woken at its end, instead of polling
  --threads 1000 --load-ms 400                 many readers in one process
  --threads 50 --missing                       a record that does not exist"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Args {
    /// Readers in each process, one thread each
    // With more readers, the run would mostly measure the scheduler.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) threads: u32,

    /// Processes; more than 1 are children of this one, each with its own cache
    // Each opens up to 16 connections, and many servers stop at 1,000 open files.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub(crate) processes: u32,

    /// Rounds, each with its own cold key; more of them give more samples
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rounds: u32,

    /// How long the primary store takes to answer, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 150, value_parser = clap::value_parser!(u64).range(0..=600_000))]
    pub(crate) load_ms: u64,

    /// How long a record lives in Redis, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) ttl: u64,

    /// The primary store has no such record
    #[arg(long, conflicts_with = "failing")]
    missing: bool,

    /// The primary store fails
    #[arg(long)]
    failing: bool,

    /// Do without single-flight and leases: HGETALL, load on a miss, HSET + PEXPIRE
    #[arg(long)]
    pub(crate) no_protection: bool,

    /// Redis wakes processes that wait for another's load, so that they need not poll
    #[arg(long, conflicts_with = "no_protection")]
    pub(crate) tracking: bool,

    /// The Redis server to use, like `redis://localhost:6379`
    // Hidden value: it may hold a password.
    #[arg(long, value_name = "URL", env = "REDIS_URL", hide_env_values = true)]
    pub(crate) redis_url: Option<String>,

    /// Read the plan from stdin and take part in another process's run
    #[arg(long, hide = true, exclusive = true)]
    pub(crate) child: bool,
}

impl Args {
    pub(crate) fn primary(&self) -> Primary {
        match (self.missing, self.failing) {
            (true, _) => Primary::Missing,
            (_, true) => Primary::Failing,
            _ => Primary::Finds,
        }
    }
}
