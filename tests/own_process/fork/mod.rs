//! A cache that was built before a `fork`: pre-forking servers and daemons do that.

mod audit;
mod calls;
mod drops;
#[cfg(feature = "event-log")]
mod event_log;
mod forks;
mod loading;
mod near;
mod start;
#[cfg(all(feature = "cluster", feature = "sentinel"))]
mod topologies;

use std::{convert::Infallible, time::Duration};

use cache_aside::{Cache, CacheBuilder, Record, Redis, RedisBuilder};

use crate::support::Server;

/// A pool so small that parent and child would often use the same connection.
fn pool(server: &Server) -> RedisBuilder {
    let patient = Duration::from_secs(5);
    let redis = Redis::builder(server.url()).pool_size(1);
    redis
        .checkout_timeout(patient)
        .connect_timeout(patient)
        .io_timeout(patient)
}

fn builder(redis: &Redis) -> CacheBuilder<Record> {
    Cache::builder(redis)
        .prefix("test:")
        .ttl(Duration::from_secs(60))
}

fn record(value: &str) -> Record {
    Record::from([("v", value)])
}

fn load(value: &str) -> impl FnOnce(&str) -> Result<Option<Record>, Infallible> {
    let record = record(value);
    move |_| Ok(Some(record))
}

/// What a lookup returns. It must not be degraded.
fn value(cache: &Cache, id: &str, at_the_primary: &str) -> String {
    let found = cache.get(id, load(at_the_primary)).unwrap();
    assert!(found.degraded_cause().is_none(), "{found:?}");
    let record = found.record().unwrap();
    record.get("v").unwrap().to_owned()
}
