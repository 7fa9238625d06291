//! A master that is found through sentinels, and followed through failovers. All servers are real.

mod failover;
mod found;
mod load;
mod refused;
#[cfg(feature = "tls")]
mod tls;
