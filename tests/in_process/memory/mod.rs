//! Properties of the store in this process: its bound, its end, and many threads. Those that it
//! shares with Redis are in `conformance`.

mod audit;
mod bound;
mod control;
mod hammer;
mod tags;

use std::{sync::Arc, thread, time::Duration};

use crate::support::{load_loaf, until};
use cache_aside::{Cache, Memory, Record, Source};

fn cache(memory: &Memory, prefix: &str) -> Cache {
    Cache::builder(memory).prefix(prefix).build().unwrap()
}

#[test]
fn caches_of_several_prefixes_share_one_memory() {
    let memory = Memory::new(100);
    let (products, people) = (cache(&memory, "product:"), cache(&memory, "person:"));
    products.get("1", load_loaf).unwrap();
    assert_eq!(people.get("1", load_loaf).unwrap().source(), Source::Loaded);
    assert!(products.invalidate("1").unwrap());
    assert!(people.get("1", load_loaf).unwrap().is_hit());
    // Caches with one prefix share its records.
    assert!(
        cache(&memory, "person:")
            .get("1", load_loaf)
            .unwrap()
            .is_hit()
    );
}

#[test]
fn two_memories_share_nothing() {
    let (one, two) = (Memory::new(100), Memory::new(100));
    cache(&one, "test:").get("1", load_loaf).unwrap();
    let found = cache(&two, "test:").get("1", load_loaf).unwrap();
    assert_eq!(found.source(), Source::Loaded);
}

#[test]
fn a_memory_ends_with_the_last_who_holds_it() {
    let memory = Memory::new(100);
    let store = Arc::downgrade(&memory.store());
    let (one, two) = (cache(&memory, "a:"), cache(&memory.clone(), "b:"));
    drop(memory);
    one.get("1", load_loaf).unwrap();
    drop(one);
    assert!(store.upgrade().is_some(), "a cache is left");
    two.get("1", load_loaf).unwrap();
    drop(two);
    // The thread of each cache ends by itself.
    until(|| store.upgrade().is_none());
}

/// All threads wait for one load, although its result is not kept.
#[test]
fn a_memory_that_keeps_nothing_still_lets_one_load_for_all() {
    const READERS: u64 = 8;
    for memory in [Memory::new(0), Memory::with_max_bytes(0)] {
        let cache = cache(&memory, "test:");
        thread::scope(|scope| {
            for _ in 0..READERS {
                scope.spawn(|| {
                    cache.get("1", |id| {
                        until(|| cache.stats().misses == READERS);
                        // Time for the last ones to ask for the lease.
                        thread::sleep(Duration::from_millis(300));
                        load_loaf(id)
                    })
                });
            }
        });
        assert_eq!(cache.stats().loads, 1);
        assert_eq!(cache.get("1", load_loaf).unwrap().source(), Source::Loaded);
        assert!(!cache.update_field("1", "stock", "41").unwrap());
        let change = |_: &Record| panic!("nothing is kept");
        assert!(!cache.update("1", change).unwrap());
        assert!(!cache.invalidate("1").unwrap());
        let written = cache.write("1", || Ok::<_, std::convert::Infallible>(()));
        assert!(written.unwrap().invalidation_error().is_none());
        assert_eq!(cache.stats().refused_fills, 0);
    }
}
