//! Connections that a busy machine does not time out: here a server without a core for a second is
//! not a fault.

use std::time::Duration;

use cache_aside::{Cache, CacheBuilder, Redis};

use crate::support::Server;

/// Longer than the bench.
const LONG: Duration = Duration::from_secs(60 * 60);
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn pool(server: &Server, size: u32) -> Redis {
    let redis = Redis::builder(server.url()).pool_size(size);
    let redis = redis.connect_timeout(PATIENCE).io_timeout(PATIENCE);
    redis.checkout_timeout(PATIENCE).build().unwrap()
}

/// A cache with the prefix `test:` and a pool of its own, as in a process of its own.
pub(crate) fn cache(server: &Server) -> CacheBuilder {
    on(&pool(server, 16))
}

pub(crate) fn on(pool: &Redis) -> CacheBuilder {
    Cache::builder(pool).prefix("test:").ttl(LONG)
}
