//! A master that is found through sentinels, and followed through failovers. Real ones.

mod failover;
mod found;
mod load;
mod refused;
#[cfg(feature = "tls")]
mod tls;
