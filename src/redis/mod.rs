//! Everything that communicates with a Redis server: connections, requests, scripts, clusters,
//! Sentinel and TLS.
//!
//! Guarantees nothing about caches: it implements [`Store`](crate::store::Store) and reports
//! errors. Called by the backend. Knows no lookups, loaders or record types.

mod availability;
pub(crate) mod broken;
mod checks;
#[cfg(feature = "cluster")]
pub(crate) mod cluster;
pub(crate) mod command;
pub(crate) mod concurrency_limit;
pub(crate) mod connect;
pub(crate) mod connect_threads;
pub(crate) mod connection;
pub(crate) mod endpoint;
pub(crate) mod error;
pub(crate) mod invalid_reply;
pub(crate) mod lazy_pool;
mod login;
mod manager;
pub(crate) mod moved_address;
#[cfg(feature = "cluster")]
pub(crate) mod node_address;
pub(crate) mod opened;
pub(crate) mod other_server;
pub(crate) mod pipeline;
pub(crate) mod pool;
mod probe;
pub(crate) mod reachability;
pub(crate) mod redact;
pub(crate) mod reply_size;
pub(crate) mod request_batcher;
pub(crate) mod resolver;
pub(crate) mod run_request;
pub(crate) mod script;
#[cfg_attr(
    not(feature = "cluster"),
    expect(dead_code, reason = "only a cluster sends ahead")
)]
pub(crate) mod send_ahead;
#[cfg(feature = "sentinel")]
pub(crate) mod sentinel;
pub(crate) mod server_address;
pub(crate) mod server_epoch;
pub(crate) mod server_identity;
pub(crate) mod server_info;
pub(crate) mod server_text;
pub(crate) mod single;
#[cfg(feature = "cluster")]
pub(crate) mod slot;
mod suspects;
pub(crate) mod timeouts;
#[cfg(feature = "tls")]
pub(crate) mod tls;
pub(crate) mod tracking;
pub(crate) mod unsupported_server;
pub(crate) mod url;
pub(crate) mod version;
