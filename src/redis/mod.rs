//! Everything that communicates with a Redis server: connections, requests, scripts, clusters,
//! Sentinel and TLS.
//!
//! Guarantees nothing about caches: it implements [`Store`](crate::store::Store) and reports
//! errors. Called by the backend. Knows no lookups, loaders or record types.

pub(crate) mod address;
#[cfg(feature = "cluster")]
pub(crate) mod cluster;
pub(crate) mod command;
pub(crate) mod connect;
pub(crate) mod connection;
pub(crate) mod endpoint;
pub(crate) mod error;
pub(crate) mod invalid_reply;
mod login;
pub(crate) mod opened;
pub(crate) mod pipeline;
pub(crate) mod pool;
pub(crate) mod reachability;
pub(crate) mod reply_size;
pub(crate) mod request_batcher;
pub(crate) mod script;
#[cfg(feature = "sentinel")]
pub(crate) mod sentinel;
pub(crate) mod server;
pub(crate) mod single;
#[cfg(feature = "cluster")]
pub(crate) mod slot;
pub(crate) mod timeouts;
#[cfg(feature = "tls")]
pub(crate) mod tls;
pub(crate) mod tracking;
