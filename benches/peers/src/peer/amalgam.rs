//! `amalgam-cache` through its blocking interface, with Redis: store, backplane, and its
//! distributed locker on or off.

use std::{hint::black_box, sync::Arc};

use amalgam::{
    BlockingCache, Cache, EntryOptions, FactoryError,
    advanced::BlockingRuntime,
    provider::{JsonSerializer, RedisBackplane, RedisDistributedCache, RedisDistributedLocker},
    source,
};

use super::{Batch, LOCKER, Maker, Peer, Read, Setup, Way};
use crate::record::{Primary, Product, TTL};

pub(super) const MAKER: Maker = Maker {
    name: "amalgam-cache",
    package: Some("amalgam-cache"),
    about: "its `BlockingCache`, with Redis as its store and backplane: JSON in a string. All threads share one multiplexed \
        connection, driven by an async runtime of its own, so a pool's size means nothing to it. It reads its memory first; \
        where Redis is to be read, that is skipped. Protects one process from stampedes; no batches",
    make: |setup| Box::new(Amalgam::new(MAKER.name, setup, false)),
};

pub(super) const WITH_LOCKER: Maker = Maker {
    name: LOCKER,
    package: Some("amalgam-cache"),
    about: "the same with its distributed locker, as in its example: protects all processes, but whoever asks Redis or \
        waits takes the lock",
    make: |setup| Box::new(Amalgam::new(WITH_LOCKER.name, setup, true)),
};

struct Amalgam {
    name: &'static str,
    cache: BlockingCache<Arc<Product>>,
    /// On the same connections: always reads Redis, and keeps no records.
    far: BlockingCache<Arc<Product>>,
}

/// Returns an error; a hit never calls it.
fn nothing() -> Result<Arc<Product>, FactoryError> {
    Err(FactoryError::new("it is there"))
}

impl Amalgam {
    fn new(name: &'static str, setup: &Setup<'_>, locks: bool) -> Amalgam {
        let runtime = BlockingRuntime::new().expect("threads can be started");
        let url = setup.url.to_owned();
        let connect = async {
            let store = RedisDistributedCache::connect(url.clone()).await?;
            let backplane = RedisBackplane::connect(url.clone()).await?;
            let locker = RedisDistributedLocker::connect(url).await?;
            Ok::<_, amalgam::Error>((Arc::new(store), Arc::new(backplane), Arc::new(locker)))
        };
        let (store, backplane, locker) = runtime.run(connect).expect("the private server answers");
        let build = |options: EntryOptions| {
            let mut builder = Cache::builder()
                .key_prefix(format!("{name}:"))
                .default_options(options)
                .max_capacity(setup.near as u64)
                .distributed(store.clone())
                .serializer(Arc::new(JsonSerializer))
                .backplane(backplane.clone());
            if locks {
                builder = builder.distributed_locker(locker.clone());
            }
            BlockingCache::on_runtime(builder, runtime.clone()).expect("the settings make sense")
        };
        let options = EntryOptions::new(TTL);
        Amalgam {
            name,
            cache: build(options.clone()),
            far: build(options.with_skip_memory(true, true)),
        }
    }
}

fn read(cache: &BlockingCache<Arc<Product>>, id: &str) -> Arc<Product> {
    let found = cache.get_or_set(id, source::factory(|_| nothing()));
    found.execute().expect("it is there")
}

impl Peer for Amalgam {
    fn name(&self) -> &'static str {
        self.name
    }

    fn get(&self, id: &str, primary: &Arc<Primary>) {
        let primary = Arc::clone(primary);
        let load = source::factory(move |_| Ok::<_, FactoryError>(Arc::new(primary.read())));
        let found = self.cache.get_or_set(id, load).execute();
        black_box(found.expect("the private server answers"));
    }

    fn forget(&self, id: &str) {
        self.cache
            .remove(id)
            .execute()
            .expect("the private server answers");
    }

    fn hit(&self) -> Option<Read<'_>> {
        Some(Box::new(|id| {
            black_box(read(&self.far, id));
        }))
    }

    fn near(&self) -> Option<Read<'_>> {
        Some(Box::new(|id| {
            black_box(read(&self.cache, id));
        }))
    }

    fn batch(&self) -> Option<Batch<'_>> {
        let all = |ids: &[String]| {
            let found: Vec<_> = ids.iter().map(|id| read(&self.far, id)).collect();
            black_box(found);
        };
        Some(Batch {
            way: Way::OneByOne,
            read: Box::new(all),
        })
    }
}

impl Drop for Amalgam {
    fn drop(&mut self) {
        // Otherwise its threads would run during the next measurement.
        let _ = self.far.shutdown();
        let _ = self.cache.shutdown();
    }
}
