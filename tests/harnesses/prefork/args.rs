//! The command line: flags, defaults and help texts.

use clap::Parser;

/// A harness of this project's tests, not an example to copy. It forks children from a process that
/// has built a cache, and checks every lookup of all of them
#[derive(Debug, Parser)]
#[command(
    name = "prefork",
    after_help = "\
Both servers are private, started on free ports and ended after the run: one for the cache, and one that stands for
the primary store. No faults are injected: forks are enough.

Ends with 0 if all was well, with 1 after a violation or a child that hung, and with 2 if the run could not be done."
)]
pub(crate) struct Args {
    /// Children
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) children: u32,

    /// Threads in each process
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) threads: u32,

    /// End after this many seconds
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) seconds: u64,

    /// Keep near caches in every process
    #[arg(long)]
    pub(crate) near: bool,

    /// Where the random choices start
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
}
