//! The store of an example's cache: Redis, or this process.

#![allow(dead_code, reason = "each example takes its own part")]

use std::time::Duration;

use cache_aside::{Backend, Memory, Redis};
use clap::{Args, ValueEnum};

/// More records than any example reads.
const MAX_ENTRIES: usize = 1_000_000;

const DEFAULT_HOST: &str = "127.0.0.1";
const DEFAULT_PORT: u16 = 6379;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A server
    Redis,
    /// This process
    Memory,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Redis => "redis",
            Kind::Memory => "memory",
        }
    }
}

/// The flags of the store.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// Where records are cached; without it, in Redis if one answers, else in this process
    #[arg(
        long,
        env = "STORE",
        value_enum,
        hide_possible_values = true,
        value_name = "redis|memory"
    )]
    store: Option<Kind>,

    // The URL is not shown by --help: it may hold a password.
    /// Redis by URL (`redis://…`, `unix:///…`), instead of host and port
    #[arg(long, env = "REDIS_URL", value_name = "URL", hide_env_values = true)]
    redis_url: Option<String>,

    /// Host of Redis [default: 127.0.0.1]
    #[arg(long, env = "REDIS_HOST", value_name = "HOST")]
    redis_host: Option<String>,

    /// Port of Redis [default: 6379]
    #[arg(long, env = "REDIS_PORT", value_name = "PORT")]
    redis_port: Option<u16>,
}

/// The chosen store.
pub(crate) struct Chosen {
    pub(crate) backend: Backend,
    pub(crate) kind: Kind,
    /// Where the records are, as text.
    pub(crate) place: String,
    /// How to choose the other store: a sentence.
    pub(crate) other: String,
}

impl StoreArgs {
    /// Opens the store. A given address must answer; the default one is only tried.
    pub(crate) fn open(&self) -> Result<Chosen, String> {
        let given = self.address();
        let default = format!("redis://{DEFAULT_HOST}:{DEFAULT_PORT}");
        match (self.store, given) {
            (Some(Kind::Memory), _) => Ok(in_memory(
                "Start without --store memory to use Redis.".to_owned(),
            )),
            (Some(Kind::Redis), None) => {
                in_redis(&default).map_err(|why| format!("{why}; --store memory needs no Redis"))
            }
            (_, Some(address)) => in_redis(&address),
            (None, None) => Ok(in_redis(&default).unwrap_or_else(|why| {
                // The user of a Redis at that address must learn what is wrong with it.
                let why = if why.contains("refused") {
                    format!("No Redis answers at {DEFAULT_HOST}:{DEFAULT_PORT}")
                } else {
                    why
                };
                in_memory(format!(
                    "{why}. Start with --redis-url redis://HOST:PORT to use Redis."
                ))
            })),
        }
    }

    fn address(&self) -> Option<String> {
        // An empty value counts as not set, as in a shell.
        let url = self.redis_url.as_ref().filter(|url| !url.is_empty());
        let host = self.redis_host.as_ref().filter(|host| !host.is_empty());
        if let Some(url) = url {
            return Some(url.clone());
        }
        if host.is_none() && self.redis_port.is_none() {
            return None;
        }
        let host = host.map_or(DEFAULT_HOST, String::as_str);
        let port = self.redis_port.unwrap_or(DEFAULT_PORT);
        Some(if host.contains(':') {
            format!("redis://[{host}]:{port}")
        } else {
            format!("redis://{host}:{port}")
        })
    }
}

fn in_redis(address: &str) -> Result<Chosen, String> {
    let redis = Redis::builder(address)
        // Whoever names a server that cannot be reached wants to know that now.
        .require_connection(true)
        // The user waits for the first line.
        .connect_timeout(Duration::from_millis(500))
        .build()
        .map_err(|error| format!("{error:#}"))?;
    // Without the part that may be a password.
    let place = address.rsplit('@').next().unwrap_or_default();
    let place = place.trim_start_matches("redis://");
    Ok(Chosen {
        backend: redis.into(),
        kind: Kind::Redis,
        place: format!("in Redis at {place}"),
        other: "Start with --store memory to do without Redis.".to_owned(),
    })
}

fn in_memory(other: String) -> Chosen {
    Chosen {
        backend: Memory::new(MAX_ENTRIES).into(),
        kind: Kind::Memory,
        place: "in this process's memory".to_owned(),
        other,
    }
}
