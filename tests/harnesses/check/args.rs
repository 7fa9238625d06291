//! The command line: flags, defaults and help texts.

use std::path::PathBuf;

use clap::Parser;

use crate::judge::Limits;

/// A harness of this project's tests, not an example to copy. It proves or refutes for a recorded
/// run: no lookup returned a record from before an invalidation that had returned
#[derive(Debug, Parser)]
#[command(
    name = "check",
    after_help = "\
Ends with 0 if the promise holds for the trace, with 1 if it is refuted, and with 2 if the trace is incomplete or cannot be read.

A trace is incomplete if lines were lost or torn, if a process did not close its log or went on after that, or if the system's clock was stepped. What
Redis lost in a failover is not excused: such a run is refuted.

  cargo run --release --features event-log --example history -- --record trace.jsonl --seconds 10
  cargo run --release --example check -- trace.jsonl"
)]
pub(crate) struct Args {
    /// The file of the event log
    #[arg(value_name = "FILE", required_unless_present = "made")]
    pub(crate) trace: Option<PathBuf>,

    /// By how many milliseconds an answer may be late about invalidations of other processes, as
    /// after a move of the address
    #[arg(long, value_name = "MS", default_value_t = 0)]
    late: u64,

    /// Refute lookups that took longer than this many milliseconds, too
    #[arg(long, value_name = "MS")]
    longest: Option<u64>,

    /// How many records and tags are kept at a time. Lookups of others may be unknown
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(16..))]
    records: u32,

    /// Check a right trace of this many lines that is made up, to see how much memory that takes
    #[arg(long, value_name = "N", conflicts_with = "trace")]
    pub(crate) made: Option<u64>,
}

const MILLI: u64 = 1_000_000;

impl Args {
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            rows: self.records as usize,
            late: self.late.saturating_mul(MILLI),
            longest: self
                .longest
                .map_or(u64::MAX, |longest| longest.saturating_mul(MILLI)),
        }
    }
}
