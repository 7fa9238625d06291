//! More than one plain server: clusters, sentinels, and TLS connections.

mod chains;
#[cfg(feature = "cluster")]
mod cluster;
mod moved_address;
#[cfg(feature = "sentinel")]
mod sentinel;
#[cfg(feature = "tls")]
mod tls;

#[path = "../support/listeners.rs"]
mod listeners;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/relay.rs"]
mod relay;
#[cfg(feature = "tls")]
#[path = "../support/secure.rs"]
mod secure;
#[cfg(feature = "sentinel")]
#[path = "../support/sentinel_set.rs"]
mod sentinel_set;
#[path = "../support/mod.rs"]
mod support;
#[cfg(feature = "cluster")]
#[path = "../support/cluster.rs"]
mod test_cluster;
