//! The command line: flags, their environment variables, and a one-line message if one is wrong.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::Parser;

use crate::store::StoreArgs;

/// A demo of `cache-aside`: four products in a slow primary store, a cache in front of it, and a
/// page to try them.
#[derive(Parser)]
#[command(name = "server", version)]
pub(crate) struct Args {
    /// Port of the page; 0 takes a free one
    #[arg(long, env = "PORT", default_value_t = 8080)]
    pub(crate) port: u16,

    /// Address to listen on; the demo has no login, so keep it on this machine
    #[arg(long, env = "BIND", default_value = "127.0.0.1")]
    pub(crate) bind: IpAddr,

    #[command(flatten)]
    pub(crate) store: StoreArgs,

    // The library accepts ten years at most.
    /// How long a record stays in the cache
    #[arg(
        long,
        env = "CACHE_TTL",
        value_name = "SECONDS",
        default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..=315_360_000)
    )]
    ttl: u64,

    // At most half of the default `wait_timeout`: with a longer sleep, the readers of a stampede
    // would time out.
    /// How long the primary store sleeps on each read, up to 5000
    #[arg(
        long,
        env = "PRIMARY_LATENCY_MS",
        value_name = "MS",
        default_value_t = 150,
        value_parser = clap::value_parser!(u64).range(..=5000)
    )]
    primary_latency_ms: u64,

    /// Write an event log to this file, for the harness `check` (needs the feature `event-log`)
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,

    // A browser opens at most six connections to one host. Two browsers with a slow read on every
    // connection then still leave a thread for a third.
    /// How many requests are answered at the same time
    #[arg(
        long,
        env = "THREADS",
        default_value_t = 16,
        value_parser = clap::value_parser!(u16).range(1..=256)
    )]
    pub(crate) threads: u16,
}

impl Args {
    pub(crate) fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl)
    }

    pub(crate) fn primary_latency(&self) -> Duration {
        Duration::from_millis(self.primary_latency_ms)
    }
}
