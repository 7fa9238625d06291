//! Near records whose drop uses the cache: wherever one is dropped, no thread waits for its own
//! lock.

use std::{
    cell::Cell,
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
        mpsc,
    },
    thread,
};

use cache_aside::{Backend, Cache, Error, Memory, Redis, Source};
use serde::{Deserialize, Serialize};

use super::MS;
use crate::support::{Server, until};

/// The state of one test. Its cache lives as long as the process: dropping a cache that deadlocks
/// would deadlock too.
struct Test {
    cache: &'static Cache<Thing>,
    /// How many drops have used the cache, and returned.
    used: AtomicU32,
}

static TESTS: Mutex<Option<HashMap<String, Arc<Test>>>> = Mutex::new(None);

/// A record that uses the cache of its test when it is dropped.
#[derive(Serialize, Deserialize)]
struct Thing {
    test: String,
}

thread_local! {
    /// A record that a drop loads is dropped as well, and must not do the same.
    static IS_DROPPING: Cell<bool> = const { Cell::new(false) };
}

impl Drop for Thing {
    fn drop(&mut self) {
        let tests = TESTS.lock().unwrap();
        let Some(test) = tests.as_ref().and_then(|all| all.get(&self.test).cloned()) else {
            return;
        };
        drop(tests);
        if IS_DROPPING.replace(true) {
            return;
        }
        let cache = test.cache;
        // In all shards of the near cache, so that the locked one is used too.
        for id in 0..16 {
            let _ = cache.get(id, |_| Err::<Option<Thing>, _>("no"));
        }
        let _ = cache.invalidate("another");
        IS_DROPPING.set(false);
        test.used.fetch_add(1, SeqCst);
    }
}

impl Test {
    /// A cache with 64 records, of which as many as fit are near.
    fn new(name: &str, backend: impl Into<Backend>, capacity: usize) -> Arc<Test> {
        let builder = Cache::builder(backend).prefix("test:");
        let builder = builder.near_cache(capacity);
        let cache: Cache<Thing> = builder.build().unwrap();
        let cache: &'static Cache<Thing> = Box::leak(Box::new(cache));
        until(|| cache.stats().tracking_live);
        let test = Arc::new(Test {
            cache,
            used: AtomicU32::new(0),
        });
        if capacity >= 64 {
            for id in 0..64 {
                // The push of its own fill may still be on its way.
                until(|| test.get(name, id) == Some(Source::Near));
            }
        }
        let mut tests = TESTS.lock().unwrap();
        let tests = tests.get_or_insert_default();
        tests.insert(name.to_owned(), Arc::clone(&test));
        test
    }

    /// Where the record came from; none if this lookup shared the load of a drop, which fails.
    fn get(&self, name: &str, id: u32) -> Option<Source> {
        let test = name.to_owned();
        let load = |_: &str| Ok::<_, &str>(Some(Thing { test }));
        match self.cache.get(id, load) {
            Ok(found) => Some(found.source()),
            Err(Error::Loader(error)) if error.to_string() == "no" => None,
            Err(error) => panic!("{error:?}"),
        }
    }

    /// Does this, and waits until it has dropped a record. A deadlock fails the test.
    fn drops_by(self: &Arc<Test>, run: impl FnOnce(&Test) + Send + 'static) {
        let (done, is_done) = mpsc::channel();
        let test = Arc::clone(self);
        let used = test.used.load(SeqCst);
        thread::spawn(move || {
            run(&test);
            until(|| test.used.load(SeqCst) > used);
            // Afterwards everything works.
            let listens = || test.cache.stats().tracking_live;
            until(listens);
            done.send(()).unwrap();
        });
        let waited = is_done.recv_timeout(MS(50_000));
        waited.expect("it ends, and doesn't wait for itself");
    }
}

fn redis(server: &Server) -> Redis {
    Redis::builder(server.url()).build().unwrap()
}

fn all(server: &Server, command: &str, args: &[&str]) {
    let mut direct = server.connect();
    redis::cmd(command).arg(args).exec(&mut direct).unwrap();
}

#[test]
fn when_the_store_is_emptied() {
    let server = Arc::new(Server::start());
    let test = Test::new("emptied", redis(&server), 1000);
    let emptied = Arc::clone(&server);
    test.drops_by(move |_| all(&emptied, "FLUSHALL", &[]));
}

#[test]
fn when_the_listener_is_lost() {
    let server = Arc::new(Server::start());
    let test = Test::new("lost", redis(&server), 1000);
    let killer = Arc::clone(&server);
    test.drops_by(move |_| all(&killer, "CLIENT", &["KILL", "TYPE", "normal"]));
}

#[test]
fn when_the_cache_is_cleared() {
    let server = Server::start();
    for (name, backend) in [
        ("cleared", Backend::from(redis(&server))),
        // It has no room for most of the near records.
        ("cleared in memory", Backend::from(Memory::new(32))),
    ] {
        let test = Test::new(name, backend, 1000);
        test.drops_by(|test| {
            test.cache.clear().unwrap();
        });
    }
}

#[test]
fn when_there_is_no_room() {
    let server = Server::start();
    let test = Test::new("room", redis(&server), 8);
    test.drops_by(|test| {
        for _ in 0..5 {
            for id in 0..64 {
                test.get("room", id);
            }
        }
    });
}

#[test]
fn when_this_process_ends_the_record() {
    let server = Server::start();
    let test = Test::new("ended", redis(&server), 1000);
    test.drops_by(|test| {
        for id in 0..32 {
            test.cache.invalidate(id).unwrap();
        }
        let ids: Vec<_> = (32..64).map(|id| id.to_string()).collect();
        test.cache.invalidate_many(&ids).unwrap();
    });
}

#[test]
fn when_another_process_ends_the_record() {
    let server = Arc::new(Server::start());
    let test = Test::new("pushed", redis(&server), 1000);
    let other = Arc::clone(&server);
    test.drops_by(move |_| {
        for id in 0..64 {
            all(&other, "DEL", &[&format!("test:{id}")]);
        }
    });
}

#[test]
fn when_the_entry_is_over() {
    let server = Server::start();
    let cache = Cache::builder(redis(&server)).prefix("test:");
    let cache: Cache<Thing> = cache.near_cache(100).near_ttl(MS(20)).build().unwrap();
    let cache: &'static Cache<Thing> = Box::leak(Box::new(cache));
    let test = Arc::new(Test {
        cache,
        used: AtomicU32::new(0),
    });
    let shared = Arc::clone(&test);
    TESTS
        .lock()
        .unwrap()
        .get_or_insert_default()
        .insert("over".to_owned(), shared);
    test.drops_by(|test| {
        until(|| {
            for id in 0..16 {
                test.get("over", id);
            }
            test.used.load(SeqCst) > 0
        });
    });
}

/// A record that panics when a thread of the cache drops it.
#[derive(Serialize, Deserialize)]
struct Panics {
    id: u8,
}

impl Drop for Panics {
    fn drop(&mut self) {
        let thread = thread::current();
        let is_ours = thread
            .name()
            .is_some_and(|name| name.starts_with("cache-aside"));
        assert!(!is_ours, "the record's own");
    }
}

#[test]
fn a_record_that_panics_when_it_is_dropped_does_not_end_the_listener() {
    let server = Server::start();
    let cache = Cache::builder(redis(&server)).prefix("test:");
    let cache: Cache<Panics> = cache
        .near_cache(100)
        .near_staleness(MS(200))
        .build()
        .unwrap();
    let is_near = || {
        let load = |_: &str| Ok::<_, &str>(Some(Panics { id: 1 }));
        cache.get("k", load).unwrap().source() == Source::Near
    };
    for (command, args) in [
        ("DEL", &["test:k"][..]),
        ("FLUSHALL", &[]),
        ("DEL", &["test:k"]),
    ] {
        until(is_near);
        all(&server, command, args);
        until(|| !is_near());
    }
    until(is_near);
}
