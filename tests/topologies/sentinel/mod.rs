//! A master that is found through sentinels, and followed through failovers. Real ones.

#[path = "../support/listeners.rs"]
mod listeners;
#[cfg(feature = "tls")]
#[path = "../support/secure.rs"]
mod secure;
#[path = "../support/sentinel_set.rs"]
mod sentinel_set;
#[path = "../support/mod.rs"]
mod support;

mod failover;
mod found;
mod load;
mod refused;
#[cfg(feature = "tls")]
mod tls;
