//! Cache-aside on Redis for code that blocks.
//!
//! Read Redis first; on a miss read the slow primary store once, however many readers race, and write the
//! record back with a TTL; on a write change the primary and [`invalidate`](Cache::invalidate). For
//! thread-per-request servers, workers and command-line tools: there is no async runtime here, nor anywhere
//! below.
//!
//! The promise: **a read that starts after an invalidation never returns what was there before it**, in
//! threads and in processes. How it is kept is told in the [scripts] and in `lua/README.md`.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use cache_aside::{Cache, Record};
//!
//! # fn read_row(_: &str) -> std::io::Result<Option<Record>> { Ok(None) }
//! # fn update_row(_: &str, _: &str, _: &str) -> std::io::Result<()> { Ok(()) }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cache: Cache = Cache::builder("redis://localhost:6379")
//!     .prefix("cache:product:")
//!     .ttl(Duration::from_secs(30))
//!     .build()?;
//!
//! let found = cache.get("p-001", |id| read_row(id))?;
//! println!("hit={} record={:?}", found.is_hit(), found.record());
//!
//! update_row("p-001", "price_cents", "699")?; // the primary first,
//! cache.invalidate("p-001")?; // then the cache
//! # Ok(())
//! # }
//! ```
//!
//! Where to go from here: [`Cache`] has the calls, [`Redis`] the settings of a pool, [`Memory`] does without a
//! server, [`CacheBuilder`] and [`RedisBuilder`] say each default and its reason, [`Error`] what each failure
//! means, [`Stats`] and [`Event`] what can be watched, [`store`] what the protocol asks of a store.
//!
//! # Features
//!
//! - `metrics` (on by default): counters and histograms through the [`metrics`](https://docs.rs/metrics) facade.
//! - `tracing`: spans for lookups, loads and writes, and `tracing` events in the place of
//!   [`log`](https://docs.rs/log) records.
//! - `json`: `Json`, for records that are no flat hash.
//! - `cluster`: Redis Cluster, at `redis+cluster://host:port,host:port`.
//! - `sentinel`: a server that sentinels know by a name, at `redis+sentinel://host:port,host:port/NAME`.
//! - `tls`: TLS, at `rediss://host` (and `rediss+cluster`, `rediss+sentinel`).

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod cache;
mod engine;
mod error;
mod loaded;
mod near;
mod outcome;
mod read;
mod record;
mod redis;
pub mod store;
mod telemetry;
mod util;
mod write;

pub use crate::backend::Backend;
pub use crate::backend::memory::Memory;
pub use crate::backend::redis::{Redis, RedisBuilder};
pub use crate::cache::Cache;
pub use crate::cache::builder::CacheBuilder;
pub use crate::cache::options::LookupOptions;
pub use crate::error::{Error, WriteError};
pub use crate::loaded::Loaded;
pub use crate::outcome::{Lookup, Source, Written};
pub use crate::record::Record;
#[cfg(feature = "json")]
pub use crate::record::json::Json;
pub use crate::store::TtlRemaining;
pub use crate::telemetry::event::{Event, Load, Miss, Observer, Write};
pub use crate::telemetry::stats::Stats;
pub use crate::write::clear::ClearProgress;

/// The Lua scripts that carry the protocol, as they are sent: to read, to audit, to load ahead of time.
///
/// Each touches two keys of one cluster slot, the record's and its lease's, and is one atomic step; but for
/// [`DELETE_KEY`](scripts::DELETE_KEY), which touches one of them.
pub mod scripts {
    pub use crate::redis::script::{
        ACQUIRE, BACK_OFF, DELETE_KEY, EXPIRE, FILL, GUARD, INVALIDATE, REFRESH, RELEASE, RENEW,
        UNGUARD, UPDATE_FIELD,
    };
}

/// The README's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
