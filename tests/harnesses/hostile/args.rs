//! The command line: flags, defaults and help texts.

use clap::{ArgGroup, Parser};

/// A harness of this project's tests, not an example to copy. It stands before the server of a
/// cache, and answers what no server should
#[derive(Debug, Parser)]
#[command(
    name = "hostile",
    group = ArgGroup::new("mode").required(true),
    after_help = "\
With `--points`, each request of the protocol gets each of some 250 wrong replies, on one server, on one that speaks RESP3,
on a cluster and behind a Sentinel. Nothing may panic, no call may take longer than its bound, `get` must answer, and
memory must not grow.

With `--fuzz`, threads read and write while some of the replies are mutated: cut, flipped, inserted, duplicated, spliced, late.
A wrong record is a violation, unless the mutated reply is itself a valid one.

The servers are private, started on free ports and ended after the run.

Ends with 0 if all was well, with 1 after a violation, and with 2 if the run could not be done.

Command lines, each after `cargo run --release --features cluster,sentinel --example hostile --`:
  --points                                           all cases
  --points --short --seed 7                          a sample
  --points --only hgetall/twice/single               one case
  --points --list                                    the names of points and replies
  --fuzz --replies 1000000 --mutated 20000           a long run"
)]
#[expect(clippy::struct_excessive_bools, reason = "flags are")]
pub(crate) struct Args {
    /// Answer each point of the protocol wrongly, in each way
    #[arg(long, group = "mode")]
    pub(crate) points: bool,

    /// Mutate some of the replies to threads that read and write
    #[arg(long, group = "mode")]
    pub(crate) fuzz: bool,

    /// A sample of the cases, or 20,000 replies of which 400 are mutated
    #[arg(long)]
    pub(crate) short: bool,

    /// Where the random choices start
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Only these cases; each part may be `*`
    #[arg(long, value_name = "POINT/REPLY/TOPOLOGY", requires = "points")]
    pub(crate) only: Option<String>,

    /// Print the names of the points, the replies and the topologies
    #[arg(long, requires = "points")]
    pub(crate) list: bool,

    /// Cases at the same time, each with its own server [default: 4]
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) workers: u32,

    /// Replies in total
    #[arg(long, value_name = "N", default_value_t = 1_000_000, requires = "fuzz")]
    replies: u64,

    /// How many of them are mutated, about
    #[arg(long, value_name = "N", default_value_t = 20_000, requires = "fuzz")]
    mutated: u64,

    /// Threads that read and write
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) threads: u32,
}

impl Args {
    /// Replies in total, and how many of them are mutated.
    pub(crate) fn volume(&self) -> (u64, u64) {
        if self.short {
            (20_000, 400)
        } else {
            (self.replies, self.mutated)
        }
    }
}
