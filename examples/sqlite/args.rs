//! The command line: flags, defaults, help texts, and one clear line for a wrong flag.

use std::{env, path::PathBuf, time::Duration};

use clap::Parser;

use crate::store::StoreArgs;

/// Reads and writes a shop in SQLite, with and without a cache in front of it, and compares
#[derive(Debug, Parser)]
#[command(
    name = "sqlite",
    after_help = "\
The shop is made at the first start, and kept. Each side of the comparison works on a copy of its own: one
reads SQLite alone, the other through a cache. Both do the same operations, in turn, a short round
each, so that whatever else the machine does hits both alike. Popular products are read, and written, more
often than others (Zipf's law).

Every answer is checked: a read that began after a write had returned must not find what was there before.

Ends with 0 if all was well, with 1 if a read was stale, and with 2 if the run could not be done.

Examples, each behind `cargo run --release --example sqlite --`:
  --operations 1000000     a long run
  --writes 0               reads only
  --skew 0                 all products are equally popular, which a cache can't do much about
  --forget                 writes that the cache isn't told of, to see that stale reads are found"
)]
pub(crate) struct Args {
    /// Where the shop is kept, in a file of its own
    #[arg(long, value_name = "PATH", default_value_os_t = temporary("cache-aside-shop.sqlite"))]
    pub(crate) db: PathBuf,

    /// Products in the shop
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1000..=1_000_000))]
    pub(crate) rows: u32,

    /// Threads, each with a connection of its own
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) threads: u32,

    /// Reads and writes on each side, by all threads together
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) operations: u64,

    /// End after this many seconds, even if operations are left
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,

    /// How many of a hundred operations are writes
    #[arg(long, value_name = "PERCENT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(..=100))]
    pub(crate) writes: u32,

    /// How much more popular some products are than others: the exponent of the Zipf distribution
    #[arg(long, value_name = "EXPONENT", default_value_t = 1.0, value_parser = exponent)]
    pub(crate) skew: f64,

    /// Where the random choices start; different each time unless given
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// How long a record lives in the cache, in seconds
    // Longer than most runs, which spend most of their time on the side without the cache.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    ttl: u64,

    #[command(flatten)]
    pub(crate) store: StoreArgs,

    /// Where to draw the latencies
    #[arg(long, value_name = "PATH", default_value_os_t = temporary("sqlite.svg"))]
    pub(crate) plot: PathBuf,

    /// Write past the cache, to see that stale reads are found
    #[arg(long)]
    pub(crate) forget: bool,
}

impl Args {
    pub(crate) fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl)
    }

    pub(crate) fn longest(&self) -> Duration {
        self.seconds.map_or(Duration::MAX, Duration::from_secs)
    }
}

fn temporary(name: &str) -> PathBuf {
    env::temp_dir().join(name)
}

fn exponent(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|it| (0.0..=10.0).contains(it));
    number.ok_or_else(|| "it is a number from 0 to 10".to_owned())
}
