//! Hits of a cache with an audit, compared with those of the same cache without.

use std::{hint::black_box, time::Duration};

use cache_aside::{Audit, Cache, CacheBuilder, Source};

use crate::{
    support::{Server, load_loaf, until},
    times::{fastest_in_turn, in_turn, timed, timed_each},
};

pub(crate) fn measure(in_earnest: bool) -> Vec<f64> {
    let server = Server::start_on_port();
    let ttl = Duration::from_secs(60 * 60);
    let plain = || -> CacheBuilder { server.builder().ttl(ttl) };
    // At the default rate. After the first hundred samples the queue is full, so most are skipped.
    let audited = || plain().audit(Audit::new(load_loaf));
    vec![
        hits(in_earnest, &plain(), &audited()),
        near_hits(in_earnest, &plain(), &audited()),
    ]
}

fn hits(in_earnest: bool, plain: &CacheBuilder, audited: &CacheBuilder) -> f64 {
    let caches = [plain, audited].map(|builder| -> Cache { builder.clone().build().unwrap() });
    caches[0].get("p-001", load_loaf).unwrap();
    let get = |cache: &Cache| {
        let found = cache.get("p-001", load_loaf).unwrap();
        assert_eq!(black_box(found).source(), Source::Hit);
    };
    let [plain, audited] = in_turn(
        if in_earnest { 8_000 } else { 2 },
        |_| (),
        [
            Box::new(|| timed(|| get(&caches[0]))),
            Box::new(|| timed(|| get(&caches[1]))),
        ],
    );
    audited / plain
}

fn near_hits(in_earnest: bool, plain: &CacheBuilder, audited: &CacheBuilder) -> f64 {
    let caches = [plain, audited].map(|builder| -> Cache {
        let cache = builder.clone().near_cache(100).build().unwrap();
        until(|| cache.get("p-001", load_loaf).unwrap().source() == Source::Near);
        cache
    });
    let get = |cache: &Cache| {
        let found = cache.get("p-001", load_loaf).unwrap();
        assert_eq!(black_box(found).source(), Source::Near);
    };
    let [plain, audited] = fastest_in_turn(
        if in_earnest { 1_000 } else { 2 },
        [
            Box::new(|| timed_each(1_000, || get(&caches[0]))),
            Box::new(|| timed_each(1_000, || get(&caches[1]))),
        ],
    );
    audited / plain
}
