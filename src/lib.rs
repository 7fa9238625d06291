//! Cache-aside on Redis for code that blocks.
//!
//! A read asks Redis first. On a miss, one reader loads the record from the slow primary store,
//! however many readers race. The record is then cached with a TTL. A write changes the primary and
//! then calls [`invalidate`](Cache::invalidate). The crate is for thread-per-request servers,
//! workers and command-line tools: neither it nor its dependencies use an async runtime.
//!
//! The promise: **a read that starts after an invalidation returned never returns a record from
//! before it**. It holds across threads and processes. The [scripts] and `lua/README.md` show how.
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
//! Where to go from here:
//!
//! - [`guide`] explains everything in chapters, from getting started to operations.
//! - [`Cache`] has the calls. A [`LoadingCache`] also has the loader, and reloads in the
//!   background.
//! - [`Redis`] has the settings of a connection pool. [`Memory`] needs no server.
//! - [`CacheBuilder`] and [`RedisBuilder`] state each default and its reason.
//! - [`Error`] explains each failure.
//! - [`Stats`] and [`Event`] are for monitoring.
//! - [`Audit`] compares what is cached with the primary, while a program runs.
//! - [`Outbox`] keeps invalidations that a writer does not survive.
//! - [`store`] defines what the protocol requires of a store.
//!
//! # Features
//!
//! - `metrics` (on by default): counters and histograms through the
//!   [`metrics`](https://docs.rs/metrics) facade.
//! - `tracing`: spans for lookups, loads and writes, and `tracing` events instead of
//!   [`log`](https://docs.rs/log) records.
//! - `json`: `Json`, for records that are not a flat hash, and `as_json`, for single fields.
//! - `cluster`: Redis Cluster, at `redis+cluster://host:port,host:port`.
//! - `sentinel`: a master that Sentinel finds by name, at
//!   `redis+sentinel://host:port,host:port/NAME`.
//! - `event-log`: an event log of the caches, for a check of their promise afterwards.
//! - `tls`: TLS, at `rediss://host` (and `rediss+cluster`, `rediss+sentinel`).

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod cache;
mod engine;
mod error;
// The module is for documentation only, so programs do not see it.
#[cfg(any(doc, doctest))]
pub mod guide;
mod loaded;
mod near;
mod outbox;
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
pub use crate::cache::audit::Audit;
pub use crate::cache::builder::CacheBuilder;
pub use crate::cache::loading::LoadingCache;
pub use crate::cache::loading::builder::LoadingCacheBuilder;
pub use crate::cache::loading::preload::PreloadProgress;
pub use crate::cache::options::LookupOptions;
pub use crate::cache::unit_of_work::UnitOfWork;
pub use crate::error::{Error, WriteError};
pub use crate::loaded::{LoadContext, Loaded};
pub use crate::outbox::builder::OutboxRelayBuilder;
pub use crate::outbox::relay::OutboxRelay;
pub use crate::outbox::{Outbox, OutboxEntry};
pub use crate::outcome::{Deferred, Lookup, Source, Written};
pub use crate::record::Record;
#[cfg(feature = "json")]
pub use crate::record::json::Json;
#[cfg(feature = "json")]
#[cfg_attr(docsrs, doc(cfg(feature = "json")))]
pub use crate::record::json::as_json;
pub use crate::store::TtlRemaining;
pub use crate::telemetry::event::{Audited, Event, Inconsistency, Load, Miss, Observer, Write};
#[cfg(feature = "event-log")]
#[cfg_attr(docsrs, doc(cfg(feature = "event-log")))]
pub use crate::telemetry::event_log::EventLog;
pub use crate::telemetry::outbox::OutboxStats;
pub use crate::telemetry::stats::Stats;
pub use crate::write::clear::ClearProgress;

/// The Lua scripts of the protocol, exactly as they are sent. Use them to read, to audit, or to
/// load them in advance.
///
/// Each script is one atomic step on the keys of a record, which are in one cluster slot: two of
/// them, and a third if the cache has versions. Only [`DELETE_KEY`](scripts::DELETE_KEY) and
/// [`RAISE_FLOOR`](scripts::RAISE_FLOOR) use a single key. [`READ_TAGS`](scripts::READ_TAGS) and
/// [`INVALIDATE_TAGS`](scripts::INVALIDATE_TAGS) use the keys of tags, which are in a slot of their
/// own.
pub mod scripts {
    pub use crate::redis::script::{
        ACQUIRE, BACK_OFF, DELETE_KEY, EXPIRE, FILL, GUARD, INVALIDATE, INVALIDATE_TAGS, KEEP,
        RAISE_FLOOR, READ_TAGS, REFRESH, RELEASE, RENEW, UNGUARD,
    };
}

/// Compiles the code of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
