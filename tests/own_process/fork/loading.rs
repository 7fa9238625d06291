//! A cache with a loader of its own: a child has threads of its own.

use std::{convert::Infallible, thread, time::Duration};

use cache_aside::{Cache, LoadingCache, Source};

use super::{builder, pool, record};
use crate::{
    forked,
    support::{Server, until},
};

const LONG: Duration = Duration::from_secs(20);

fn loading(cache: &Cache) -> LoadingCache {
    let builder = LoadingCache::builder(cache, |id| {
        assert!(
            thread::current()
                .name()
                .unwrap()
                .starts_with("cache-aside-")
        );
        Ok::<_, Infallible>(Some(record(id)))
    });
    builder.hard_timeout(LONG).build().unwrap()
}

/// A load and a refresh, each on a thread of this process.
fn use_threads(cache: &Cache, products: &LoadingCache, id: &str) {
    assert_eq!(products.get(id).unwrap().source(), Source::Loaded);
    assert!(cache.expire(id).unwrap());
    assert!(products.get(id).unwrap().is_stale());
    until(|| products.get(id).unwrap().source() == Source::Hit);
    assert_eq!(cache.stats().background_loads, 2);
}

#[test]
fn a_loading_cache_that_was_not_used_before_a_fork_works_in_the_child() {
    own_process!();
    let server = Server::start();
    // In a process of its own, which has sent no request before it forks.
    forked::run(|| {
        let redis = pool(&server).build().unwrap();
        let cache = builder(&redis).grace(LONG).build().unwrap();
        let products = loading(&cache);
        forked::run(|| {
            use_threads(&cache, &products, "p-1");
            assert!(products.shutdown(LONG));
            assert_eq!(products.get("p-1").unwrap().source(), Source::Hit);
            drop(products.clone());
        });
        assert_eq!(products.get("p-1").unwrap().source(), Source::Hit);
    });
}

/// The child works without Redis, because its parent has used the connections.
#[test]
fn the_child_of_a_process_with_loader_threads_has_threads_of_its_own() {
    own_process!();
    let server = Server::start();
    let redis = pool(&server).build().unwrap();
    let cache = builder(&redis).grace(LONG).build().unwrap();
    let products = loading(&cache);
    use_threads(&cache, &products, "p-1");
    forked::run(|| {
        let found = products.get("p-2").unwrap();
        assert_eq!(**found.record().unwrap(), record("p-2"));
        assert!(products.shutdown(LONG));
    });
    assert_eq!(products.get("p-1").unwrap().source(), Source::Hit);
    assert!(products.shutdown(LONG));
}
