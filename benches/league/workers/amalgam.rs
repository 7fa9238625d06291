//! `amalgam-cache` through its blocking interface, with Redis as its store and backplane. `strict`:
//! in its strict profile, with its distributed locker, and without steps in the background.

use std::{sync::Arc, time::Duration};

use ::amalgam::{
    BlockingCache, Cache, EntryOptions, FactoryError,
    advanced::BlockingRuntime,
    provider::{JsonSerializer, RedisBackplane, RedisDistributedCache, RedisDistributedLocker},
    source,
};

use super::serve::{Primary, Setup, TTL, Worker, text};

/// As the locks of the other workers. Lookups wait for the lease of a process that died, or whose
/// connection was cut, and its default of 30 s is longer than a turn.
const LOCK_TTL: Duration = Duration::from_secs(2);

pub(super) struct Amalgam(BlockingCache<u64>);

impl Amalgam {
    pub(super) fn new(setup: &Setup, strict: bool) -> Result<Amalgam, String> {
        let runtime = BlockingRuntime::new().map_err(text)?;
        let url = setup.redis.clone();
        let connect = async {
            let store = RedisDistributedCache::connect(url.clone()).await?;
            let backplane = RedisBackplane::connect(url.clone()).await?;
            let locker = RedisDistributedLocker::connect(url).await?;
            Ok::<_, ::amalgam::Error>((Arc::new(store), Arc::new(backplane), Arc::new(locker)))
        };
        let (store, backplane, locker) = runtime.run(connect).map_err(text)?;
        let mut options = EntryOptions::new(TTL);
        let mut builder = Cache::builder()
            .key_prefix("league:")
            .distributed(store)
            .serializer(Arc::new(JsonSerializer))
            .backplane(backplane);
        if strict {
            options = options
                .with_allow_background_backplane_operations(false)
                .with_rethrow_backplane_exceptions(true)
                .with_rethrow_distributed_exceptions(true)
                .with_rethrow_distributed_locker_exceptions(true);
            builder = builder
                .strict()
                .distributed_locker(locker)
                .lease_ttl(LOCK_TTL);
        }
        let builder = builder.default_options(options);
        let cache = BlockingCache::on_runtime(builder, runtime).map_err(text)?;
        Ok(Amalgam(cache))
    }
}

impl Worker for Amalgam {
    fn get(&self, id: &str, primary: &Primary) -> Result<u64, String> {
        let (id_of_load, primary) = (id.to_owned(), primary.clone());
        let load = source::factory(move |_| primary.read(&id_of_load).map_err(FactoryError::new));
        self.0.get_or_set(id, load).execute().map_err(text)
    }

    fn invalidate(&self, id: &str) -> Result<(), String> {
        self.0.remove(id).execute().map_err(text)?;
        Ok(())
    }
}
