//! This crate.

use std::{convert::Infallible, hint::black_box, sync::Arc};

use cache_aside::{Cache, Redis, Source};

use super::{Batch, Maker, OURS, Peer, Read, Setup, Way};
use crate::{
    record::{Primary, Product, TTL},
    support::until,
};

pub(super) const MAKER: Maker = Maker {
    name: OURS,
    package: Some("cache-aside"),
    about: "a hash, as a type of the user's own; `get` and `get_many`, with `near_cache` for near hits only",
    make: |setup| Box::new(Ours::new(setup)),
};

struct Ours {
    cache: Cache<Product>,
    /// With another prefix, so that its pushes cost the server nothing in the other measurements.
    near: Cache<Product>,
}

impl Ours {
    fn new(setup: &Setup<'_>) -> Ours {
        let redis = Redis::builder(setup.url)
            .pool_size(setup.connections)
            .build()
            .expect("the private server answers");
        let builder = |prefix| Cache::builder(&redis).prefix(prefix).ttl(TTL);
        Ours {
            cache: builder("ours:").build().expect("the settings make sense"),
            near: builder("near:")
                .near_cache(setup.near)
                .build()
                .expect("the settings make sense"),
        }
    }
}

fn get(cache: &Cache<Product>, id: &str, primary: &Primary) -> Source {
    let load = |_: &str| Ok::<_, Infallible>(Some(primary.read()));
    let found = cache.get(id, load).expect("the record is flat");
    let source = found.source();
    black_box(found);
    source
}

fn hit(cache: &Cache<Product>, id: &str) {
    // Never called, because the record is cached.
    let nothing = |_: &str| Ok::<Option<Product>, Infallible>(None);
    let found = cache.get(id, nothing).expect("a hit is no error");
    black_box(found.into_record().expect("it is there"));
}

impl Peer for Ours {
    fn name(&self) -> &'static str {
        MAKER.name
    }

    fn get(&self, id: &str, primary: &Arc<Primary>) {
        get(&self.cache, id, primary);
    }

    fn forget(&self, id: &str) {
        self.cache.invalidate(id).expect("the server answers");
    }

    /// A loaded record enters the near cache when it is read again.
    fn warm(&self, ids: &[String], primary: &Arc<Primary>) {
        until(|| self.near.stats().tracking_live);
        for id in ids {
            get(&self.cache, id, primary);
            until(|| get(&self.near, id, primary) == Source::Near);
        }
    }

    fn hit(&self) -> Option<Read<'_>> {
        Some(Box::new(|id| hit(&self.cache, id)))
    }

    fn near(&self) -> Option<Read<'_>> {
        Some(Box::new(|id| hit(&self.near, id)))
    }

    fn batch(&self) -> Option<Batch<'_>> {
        let read = |ids: &[String]| {
            let load = |_: &[&str]| Ok::<Vec<(String, Product)>, Infallible>(Vec::new());
            let found = self.cache.get_many(ids, load).expect("hits are no error");
            assert!(found.iter().all(cache_aside::Lookup::is_hit));
            black_box(found);
        };
        Some(Batch {
            way: Way::Together,
            read: Box::new(read),
        })
    }
}
