//! Lookups that want more than the near cache has: the present record, or a young one.

use std::time::Duration;

use cache_aside::{Backend, Cache, Lookup, Memory, Record, Redis, Source, store::Keys};

use super::{MS, hear_all, load, near, near_within, number, settle};
use crate::support::{Server, until};

const SECOND: Duration = Duration::from_secs(1);

fn answer(found: &Lookup<Record>) -> (u64, Source) {
    (number(found), found.source())
}

fn skip(cache: &Cache, fresh: u64) -> (u64, Source) {
    answer(
        &cache
            .options()
            .skip_near(true)
            .get("k", load(fresh))
            .unwrap(),
    )
}

fn young(cache: &Cache, seconds: u32, fresh: u64) -> (u64, Source) {
    let young = cache.options().max_age(seconds * SECOND);
    answer(&young.get("k", load(fresh)).unwrap())
}

fn near_one(cache: &Cache) -> (u64, Source) {
    answer(&cache.get("k", load(99)).unwrap())
}

#[test]
fn a_lookup_that_skips_the_near_cache_reads_the_store_and_refills_it() {
    let memory = Memory::new(100);
    let cache = near(&memory);
    assert_eq!(skip(&cache, 1), (1, Source::Loaded));
    for _ in 0..2 {
        assert_eq!(skip(&cache, 2), (1, Source::Hit));
        assert_eq!(near_one(&cache), (1, Source::Near));
    }
    let many = cache.options().skip_near(true).get_many(["k"], |_| {
        Ok::<Vec<(String, Record)>, std::convert::Infallible>(Vec::new())
    });
    assert_eq!(answer(&many.unwrap()[0]), (1, Source::Hit));
    // Without a near cache it changes nothing.
    let plain: Cache = Cache::builder(&memory).prefix("test:").build().unwrap();
    assert_eq!(skip(&plain, 2), (1, Source::Hit));
}

/// Another process writes. A near hit may be older for the bound, but not such a lookup.
#[test]
fn a_lookup_that_skips_the_near_cache_sees_a_write_of_another_process_at_once() {
    let server = Server::start();
    let (cache, other) = (near_within(server.url(), MS(60_000)), server.cache());
    settle(&cache, &server, 1);
    for fresh in 2..50 {
        other.invalidate("k").unwrap();
        assert_eq!(skip(&cache, fresh).0, fresh);
        // Nor is a later near hit older.
        assert_eq!(near_one(&cache).0, fresh);
        until(|| near_one(&cache) == (fresh, Source::Near));
    }
}

#[test]
fn a_near_record_has_the_age_that_it_has_in_the_store() {
    let server = Server::start();
    let redis = Redis::builder(server.url()).build().unwrap();
    let memory = Memory::new(100);
    let stores = [
        (Backend::from(&redis), redis.store(), true),
        (Backend::from(&memory), memory.store(), false),
    ];
    for (backend, store, is_redis) in stores {
        let cache = near(&backend);
        cache.get("k", load(1)).unwrap();
        // Ten seconds of its TTL have passed.
        let keys = Keys::of("test:k".to_owned());
        assert!(store.expire(&keys, 20 * SECOND).unwrap());
        if is_redis {
            hear_all(&cache, &server);
        }
        until(|| near_one(&cache) == (1, Source::Near));
        assert_eq!(young(&cache, 15, 2), (1, Source::Near));
        assert_eq!(young(&cache, 5, 2), (2, Source::Loaded));
        until(|| near_one(&cache) == (2, Source::Near));
        assert_eq!(young(&cache, 5, 3), (2, Source::Near));
        assert_eq!(young(&cache, 0, 3), (3, Source::Loaded));
    }
}
