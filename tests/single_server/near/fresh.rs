//! A process never reads an old near record after its own write, and after another process's write
//! only within the bound.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use cache_aside::{Backend, Cache, Memory, Record, Redis, Source};

use super::{MS, get, load, near, number, settle, version, warm};
use crate::support::{Server, until, until_recovered};

/// Runs the test on a Redis and on a store in memory.
fn on_both(test: impl Fn(&Backend)) {
    let server = Server::start();
    test(&Redis::builder(server.url()).build().unwrap().into());
    test(&Memory::new(10_000).into());
}

/// A call that writes, and its name.
type Write = (&'static str, fn(&Cache));

/// Each call, to version 2.
const WRITES: [Write; 5] = [
    ("invalidate", |cache| {
        cache.invalidate("k").unwrap();
    }),
    ("write", |cache| {
        let _ = cache.write("k", || Ok::<_, Infallible>(())).unwrap();
    }),
    ("update_field", |cache| {
        cache.update_field("k", "version", "2").unwrap();
    }),
    ("update", |cache| {
        cache.update("k", |_| Some(version(2))).unwrap();
    }),
    ("a write that panics", |cache| {
        let write = || cache.write("k", || -> Result<(), Infallible> { panic!("on purpose") });
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(write));
        assert!(panicked.is_err());
    }),
];

#[test]
fn a_write_of_this_process_is_seen_at_once() {
    on_both(|backend| {
        let cache = near(backend);
        for (name, write) in WRITES {
            for _ in 0..50 {
                cache.invalidate("k").unwrap();
                warm(&cache, 1);
                write(&cache);
                assert_eq!(get(&cache, 2).0, 2, "{name}");
            }
        }
    });
}

#[test]
fn within_a_write_nothing_near_is_read() {
    on_both(|backend| {
        let cache = near(backend);
        warm(&cache, 1);
        let write = || Ok::<_, Infallible>(get(&cache, 2));
        let read = cache.write("k", write).unwrap().into_value();
        assert_eq!(read, (2, Source::Loaded));
    });
}

/// With the same prefix, with a shorter prefix, and from a cache without a near cache.
#[test]
fn a_write_through_another_cache_on_the_same_store_is_seen_at_once() {
    on_both(|backend| {
        let cache = near(backend);
        let same = near(backend);
        let short: Cache = Cache::builder(backend)
            .prefix("te")
            .near_cache(10)
            .build()
            .unwrap();
        let plain: Cache = Cache::builder(backend).prefix("test:").build().unwrap();
        for _ in 0..50 {
            for (name, write) in WRITES {
                for writer in [&same, &plain] {
                    cache.invalidate("k").unwrap();
                    warm(&cache, 1);
                    write(writer);
                    assert_eq!(get(&cache, 2).0, 2, "{name}");
                }
            }
            cache.invalidate("k").unwrap();
            warm(&cache, 1);
            short.invalidate("st:k").unwrap();
            assert_eq!(get(&cache, 2).0, 2);
        }
    });
}

#[test]
fn a_record_whose_invalidation_failed_is_not_read_near() {
    let server = Server::start();
    let redis = Redis::builder(server.url())
        .io_timeout(MS(400))
        .checkout_timeout(MS(400));
    let redis = redis.build().unwrap();
    // A bound so long that nothing else ends the entry.
    let cache: Cache = Cache::builder(&redis)
        .prefix("test:")
        .near_cache(10)
        .near_staleness(MS(60_000))
        .build()
        .unwrap();
    until(|| cache.stats().tracking_live);
    let other = || cache.get("other", load(1)).unwrap().source();
    until(|| other() == Source::Near);
    settle(&cache, &server, 1);
    // The push of its fill may have arrived before that of `k`.
    other();
    assert_eq!(other(), Source::Near);
    server.freeze();
    assert!(cache.invalidate("k").is_err());
    assert_eq!(get(&cache, 2), (2, Source::Degraded));
    assert_eq!(other(), Source::Near);
    server.thaw();
    until_recovered(&cache);
    until(|| get(&cache, 3).1 == Source::Near);
    assert_ne!(get(&cache, 3).0, 1);
}

#[test]
fn a_write_of_another_process_is_heard() {
    let server = Server::start();
    let (cache, other) = (near(server.url()), server.cache());
    let mut slowest = Duration::ZERO;
    for _ in 0..200 {
        cache.invalidate("k").unwrap();
        warm(&cache, 1);
        other.invalidate("k").unwrap();
        let written = Instant::now();
        until(|| get(&cache, 2).0 == 2);
        slowest = slowest.max(written.elapsed());
    }
    // The bound. A push is far faster.
    assert!(slowest < MS(1000), "{slowest:?}");
}

/// A program that knows neither this crate nor its leases.
#[test]
fn what_another_program_does_to_a_record_is_heard() {
    let server = Server::start();
    let cache = near(server.url());
    for foreign in [
        &["HSET", "test:k", "version", "2"][..],
        &["DEL", "test:k"],
        &["UNLINK", "test:k"],
        &["RENAME", "test:k", "test:elsewhere"],
        &["PEXPIRE", "test:k", "1"],
        &["FLUSHDB"],
        &["FLUSHALL"],
    ] {
        cache.invalidate("k").unwrap();
        warm(&cache, 1);
        let mut command = redis::cmd(foreign[0]);
        command
            .arg(&foreign[1..])
            .exec(&mut server.connect())
            .unwrap();
        until(|| get(&cache, 2).0 == 2);
    }
}

/// Threads that read and write in one process, with two caches. No lookup returns a record from
/// before a write that had returned when it began.
#[test]
fn no_lookup_of_this_process_returns_what_was_there_before_a_write_of_it() {
    on_both(|backend| {
        let caches = [near(backend), near(backend)];
        let (primary, settled) = (AtomicU64::new(0), AtomicU64::new(0));
        let stop = AtomicBool::new(false);
        let read = |cache: &Cache| {
            let floor = settled.load(SeqCst);
            let load = |_: &str| Ok::<_, Infallible>(Some(version(primary.load(SeqCst))));
            let found = cache.get("k", load).unwrap();
            let (seen, source) = (number(&found), found.source());
            assert!(
                seen >= floor,
                "{seen} from {source}, and {floor} was settled"
            );
        };
        let write = |cache: &Cache, turn: u64| {
            let commit = || primary.fetch_add(1, SeqCst) + 1;
            let committed = match turn % 4 {
                0 => cache
                    .write("k", || Ok::<_, Infallible>(commit()))
                    .unwrap()
                    .into_value(),
                1 => {
                    let committed = commit();
                    let older = |cached: &Record| {
                        cached.get("version").unwrap().parse::<u64>().unwrap() < committed
                    };
                    match cache.update("k", |cached| older(cached).then(|| version(committed))) {
                        Ok(_) | Err(cache_aside::Error::Contended { .. }) => committed,
                        Err(error) => panic!("{error}"),
                    }
                }
                _ => {
                    let committed = commit();
                    cache.invalidate("k").unwrap();
                    committed
                }
            };
            settled.fetch_max(committed, SeqCst);
            // Time to be read near.
            thread::sleep(MS(1));
        };
        thread::scope(|scope| {
            let (read, write, stop) = (&read, &write, &stop);
            for cache in caches.iter().cycle().take(4) {
                scope.spawn(move || {
                    while !stop.load(SeqCst) {
                        read(cache);
                    }
                });
            }
            let writers: Vec<_> = caches
                .iter()
                .map(|cache| scope.spawn(move || (0..400).for_each(|turn| write(cache, turn))))
                .collect();
            let ended: Vec<_> = writers
                .into_iter()
                .map(thread::ScopedJoinHandle::join)
                .collect();
            stop.store(true, SeqCst);
            assert!(ended.iter().all(Result::is_ok));
        });
        for cache in &caches {
            assert!(cache.stats().near_hits > 100, "{:?}", cache.stats());
        }
    });
}
