//! Lookups that share connections, besides writers and with large records.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use crate::support::Server;
use cache_aside::{Cache, Record, Redis, Source};

fn find(cache: &Cache, id: &str, bytes: usize) -> Source {
    let load = |_: &str| {
        let value = "x".repeat(bytes);
        Ok::<_, std::convert::Infallible>(Some(Record::from([("value", value.as_str())])))
    };
    cache.get(id, load).unwrap().source()
}

fn cache(server: &Server) -> Cache {
    let patience = Duration::from_secs(20);
    let redis = Redis::builder(server.url())
        .pool_size(4)
        .checkout_timeout(patience)
        .io_timeout(patience);
    Cache::builder(redis).prefix("test:").build().unwrap()
}

/// A plain pool lets readers do two thirds of the writers' work.
#[test]
fn writers_do_not_starve_readers_of_large_records() {
    const EACH: usize = 32;
    const BYTES: usize = 300 << 10;
    let server = Server::start_on_port();
    let cache = cache(&server);
    find(&cache, "large", BYTES);
    let over = AtomicBool::new(false);
    let (reads, writes) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for writer in 0..EACH {
            let (cache, over, reads, writes) = (&cache, &over, &reads, &writes);
            scope.spawn(move || {
                while !over.load(Relaxed) {
                    cache.invalidate(format!("w-{writer}")).unwrap();
                    writes.fetch_add(1, Relaxed);
                }
            });
            scope.spawn(move || {
                while !over.load(Relaxed) {
                    assert_eq!(find(cache, "large", BYTES), Source::Hit);
                    reads.fetch_add(1, Relaxed);
                }
            });
        }
        thread::sleep(Duration::from_secs(2));
        over.store(true, Relaxed);
    });
    let (reads, writes) = (reads.into_inner(), writes.into_inner());
    assert!(10 * reads > writes, "{reads} reads, {writes} writes");
}

/// The server builds all replies of a pipeline before it sends the first, and counts them as its
/// memory.
#[test]
fn many_readers_of_a_large_record_do_not_fill_the_server() {
    const READERS: usize = 128;
    const BYTES: usize = 4 << 20;
    let server = Server::start_on_port();
    let cache = cache(&server);
    let mut redis = server.connect();
    for bound in [["maxmemory", "128mb"], ["maxmemory-policy", "allkeys-lru"]] {
        let set = redis::cmd("CONFIG").arg("SET").arg(&bound).exec(&mut redis);
        set.unwrap();
    }
    find(&cache, "large", BYTES);
    let small: Vec<_> = (0..1_000).map(|number| format!("s-{number}")).collect();
    for id in &small {
        find(&cache, id, 10);
    }
    let come = Barrier::new(READERS);
    thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                come.wait();
                find(&cache, "large", BYTES);
            });
        }
    });
    let there: usize = redis::cmd("DBSIZE").query(&mut redis).unwrap();
    assert_eq!(there, small.len() + 1, "records that are left");
}
