//! `cached` with its Redis store, called as its `#[concurrent_cached]` would: a macro cannot take a
//! pool's size from a measurement.

use std::{hint::black_box, sync::Arc};

use cached::{ConcurrentCached, RedisCache, SerializeCached};

use super::{Batch, Maker, Peer, Read, Setup, Way};
use crate::record::{Primary, Product, TTL};

pub(super) const MAKER: Maker = Maker {
    name: "cached",
    package: Some("cached"),
    about: "its `RedisCache`, in the calls that `#[concurrent_cached(redis = true)]` makes: MessagePack in a string, an r2d2 \
        pool with its check, which can't be switched off. No protection from stampedes over Redis; no batches",
    make: |setup| Box::new(Cached::new(setup)),
};

struct Cached(RedisCache<String, Product>);

impl Cached {
    fn new(setup: &Setup<'_>) -> Cached {
        let cache = RedisCache::builder("cached")
            .connection_string(setup.url)
            .connection_pool_max_size(setup.connections)
            .ttl(TTL)
            .build();
        Cached(cache.expect("the private server answers"))
    }

    fn read(&self, id: &str) -> Option<Product> {
        self.0
            .cache_get(&id.to_owned())
            .expect("the private server answers")
    }
}

impl Peer for Cached {
    fn name(&self) -> &'static str {
        MAKER.name
    }

    fn get(&self, id: &str, primary: &Arc<Primary>) {
        if let Some(found) = self.read(id) {
            black_box(found);
            return;
        }
        let product = primary.read();
        self.0
            .cache_set_ref(&id.to_owned(), &product)
            .expect("the private server answers");
        black_box(product);
    }

    fn forget(&self, id: &str) {
        self.0
            .cache_delete(&id.to_owned())
            .expect("the private server answers");
    }

    fn hit(&self) -> Option<Read<'_>> {
        Some(Box::new(|id| {
            black_box(self.read(id).expect("it is there"));
        }))
    }

    fn batch(&self) -> Option<Batch<'_>> {
        let read = |ids: &[String]| {
            let found: Vec<_> = ids.iter().map(|id| self.read(id)).collect();
            assert!(found.iter().all(Option::is_some));
            black_box(found);
        };
        Some(Batch {
            way: Way::OneByOne,
            read: Box::new(read),
        })
    }
}
