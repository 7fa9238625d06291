//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Counts the stale reads of cache-aside libraries under the same races and faults.
///
/// It starts private servers on loopback ports. Without flags it measures all, writes a page and a
/// picture, and takes some twelve minutes.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Args {
    /// Checks in some ten seconds that this crate has no stale read, and that those of the plain
    /// helper are found. Writes nothing
    #[arg(long, conflicts_with_all = ["worker", "only"])]
    pub(crate) short: bool,

    /// Counts the commands of each call of all of them, and writes a page. Takes half a minute
    #[arg(long, conflicts_with_all = ["short", "worker", "only"])]
    pub(crate) commands: bool,

    /// Measures a worker of your own, by a command of the shell, and prints the result
    #[arg(long, value_name = "COMMAND")]
    pub(crate) worker: Option<String>,

    /// Measures only these, by the names of the table, and prints the result
    #[arg(long, value_name = "NAME", conflicts_with = "worker")]
    pub(crate) only: Vec<String>,

    /// Turns of each of them in each scenario. Of two runs with three, the spreads miss each other in
    /// one cell of ten by chance; with five, in one of a hundred
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub(crate) rounds: u64,

    /// The length of a turn
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(2..=600))]
    pub(crate) seconds: u64,

    /// Further turns of this crate, until it has as many reads in total
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub(crate) reads: u64,

    /// Where the random choices start
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Where to write the page and the picture
    #[arg(long, value_name = "FOLDER", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/.."))]
    pub(crate) out: PathBuf,

    #[command(subcommand)]
    pub(crate) subcommand: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Is a worker: answers a judge on stdin and stdout
    #[command(hide = true)]
    Worker { name: String },
}
