//! A cache is dropped by a thread that holds a lock, while user code on a thread of the cache waits
//! for that lock. The drop waits for nothing, so neither thread waits for ever.

use std::{
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use cache_aside::{Cache, Event, Redis, Source};
use serde::{Deserialize, Serialize};

use crate::support::{Server, until};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// The lock of a test, and whether user code waits for it.
struct Held {
    lock: Mutex<()>,
    is_waiting: Mutex<Option<mpsc::Sender<()>>>,
}

impl Held {
    const fn new() -> Held {
        Held {
            lock: Mutex::new(()),
            is_waiting: Mutex::new(None),
        }
    }

    /// What the user code does on a thread of the cache.
    fn wait(&self) {
        let waits = self.is_waiting.lock().unwrap().take();
        if let Some(waits) = waits {
            waits.send(()).unwrap();
            drop(self.lock.lock().unwrap());
        }
    }

    /// Takes the lock, makes the user code wait for it, and drops the cache.
    fn drops<T: Send>(&'static self, cache: T, cause: impl Fn(&T) + Send) {
        let (sender, waits) = mpsc::channel();
        let (done, is_done) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(move || {
                let held = self.lock.lock().unwrap();
                *self.is_waiting.lock().unwrap() = Some(sender);
                let began = Instant::now();
                loop {
                    cause(&cache);
                    match waits.recv_timeout(MS(1_000)) {
                        Ok(()) => break,
                        // On a busy machine the cause may come too early: see the callers.
                        Err(_) => assert!(began.elapsed() < MS(20_000), "user code runs"),
                    }
                }
                drop(cache);
                drop(held);
                done.send(()).unwrap();
            });
            // A deadlock would keep the scope from ending.
            if is_done.recv_timeout(MS(40_000)).is_err() {
                eprintln!("the drop of the cache waits for ever");
                std::process::exit(1);
            }
        });
    }
}

static OF_RECORD: Held = Held::new();

#[derive(Serialize, Deserialize)]
struct Thing {
    name: String,
}

impl Drop for Thing {
    fn drop(&mut self) {
        if thread::current().name() == Some("cache-aside-listener") {
            OF_RECORD.wait();
        }
    }
}

/// Another process has changed the record, so the thread that receives changes drops it.
#[test]
fn the_drop_of_a_near_cache_does_not_wait_for_the_drop_of_a_record() {
    let server = Server::start();
    let load = |_: &str| {
        Ok::<_, std::convert::Infallible>(Some(Thing {
            name: "Rye".to_owned(),
        }))
    };
    let cache = Cache::builder(server.url()).prefix("test:");
    let cache: Cache<Thing> = cache.near_cache(10).build().unwrap();
    let other = server.cache();
    OF_RECORD.drops(cache, |cache| {
        // If the stream of changes is late, the cache drops the record before the invalidation.
        until(|| cache.stats().tracking_live);
        until(|| cache.get("k", load).unwrap().source() == Source::Near);
        other.invalidate("k").unwrap();
    });
}

static OF_OBSERVER: Held = Held::new();

/// The server is back, so the recovery thread reports the replay of an invalidation.
#[test]
fn the_drop_of_a_cache_does_not_wait_for_its_observer() {
    let server = Arc::new(Server::start());
    let redis = Redis::builder(server.url())
        .io_timeout(MS(100))
        .checkout_timeout(MS(100));
    let cache: Cache = Cache::builder(redis)
        .prefix("test:")
        .observer(|_: &str, event: &Event<'_>| {
            if matches!(event, Event::InvalidationReplayed) {
                OF_OBSERVER.wait();
            }
        })
        .build()
        .unwrap();
    server.freeze();
    assert!(cache.invalidate("k").is_err());
    OF_OBSERVER.drops(cache, |_| server.thaw());
}
