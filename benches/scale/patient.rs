//! Connections that a busy machine does not cut. In these benches it is no fault if a server gets
//! no core for a second.

use std::time::Duration;

use cache_aside::{Cache, CacheBuilder, Redis};

/// Longer than the bench.
const LONG: Duration = Duration::from_secs(60 * 60);
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn pool(url: &str, size: u32) -> Redis {
    let redis = Redis::builder(url).pool_size(size);
    let redis = redis.connect_timeout(PATIENCE).io_timeout(PATIENCE);
    redis.checkout_timeout(PATIENCE).build().unwrap()
}

/// A cache with the prefix `test:` and its own pool, as in a separate process.
pub(crate) fn cache(url: &str) -> CacheBuilder {
    on(&pool(url, 16))
}

pub(crate) fn on(pool: &Redis) -> CacheBuilder {
    Cache::builder(pool).prefix("test:").ttl(LONG)
}
