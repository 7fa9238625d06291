//! `cached` with its Redis store, in the calls that `#[concurrent_cached(redis = true)]` makes. A
//! macro cannot take the address of the server from a variable.

use ::cached::{ConcurrentCached, RedisCache};

use super::serve::{Primary, Setup, TTL, Worker, text};

pub(super) struct Cached(RedisCache<String, u64>);

impl Cached {
    pub(super) fn new(setup: &Setup) -> Result<Cached, String> {
        let builder = RedisCache::builder("league")
            .connection_string(&setup.redis)
            .ttl(TTL);
        builder.build().map(Cached).map_err(text)
    }
}

impl Worker for Cached {
    fn get(&self, id: &str, primary: &Primary) -> Result<u64, String> {
        let key = id.to_owned();
        if let Some(version) = self.0.cache_get(&key).map_err(text)? {
            return Ok(version);
        }
        let version = primary.read(id)?;
        self.0.cache_set(key, version).map_err(text)?;
        Ok(version)
    }

    fn invalidate(&self, id: &str) -> Result<(), String> {
        self.0.cache_delete(&id.to_owned()).map_err(text)?;
        Ok(())
    }
}
