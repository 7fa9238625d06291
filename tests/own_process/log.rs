//! The crate's output through the `log` facade.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::support::{Server, load_loaf, until};
use cache_aside::{Cache, Redis};
use log::{Level, LevelFilter, Log, Metadata, Record};

struct Lines(Mutex<Vec<(Level, String)>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.target().starts_with("cache_aside")
    }

    fn log(&self, record: &Record) {
        if self.enabled(record.metadata()) {
            let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            lines.push((record.level(), record.args().to_string()));
        }
    }

    fn flush(&self) {}
}

fn said(level: Level, what: &str) -> bool {
    let lines = LINES.0.lock().unwrap_or_else(PoisonError::into_inner);
    lines
        .iter()
        .any(|line| line.0 == level && line.1.contains(what))
}

#[test]
fn an_outage_is_logged_from_its_first_failure_to_its_end_and_no_line_twice() {
    own_process!();
    log::set_logger(&LINES).unwrap();
    log::set_max_level(LevelFilter::Info);
    let server = Server::start();
    let place = server.place();
    let redis = Redis::builder(server.url())
        .io_timeout(Duration::from_millis(50))
        .probe_interval(Duration::from_millis(50));
    let cache: Cache = Cache::builder(redis).prefix("test:").build().unwrap();
    cache.get("p-001", load_loaf).unwrap();
    server.freeze();
    for id in ["p-001", "p-002", "p-003"] {
        assert!(cache.invalidate(id).is_err());
    }
    for _ in 0..5 {
        cache.get("p-004", load_loaf).unwrap();
    }
    assert!(said(
        Level::Warn,
        &format!("cache `test:`: request `invalidate` to {place} failed: no answer within 50ms")
    ));
    assert!(said(
        Level::Warn,
        "cache `test:`: the invalidation of \"p-001\" is pending and will be replayed"
    ));
    assert!(said(
        Level::Warn,
        "too many requests in a row failed, so none is sent until the server answers a probe"
    ));
    server.thaw();
    until(|| said(Level::Info, &format!("{place} answers a probe")));
    assert!(said(
        Level::Info,
        "3 pending invalidations have been replayed"
    ));

    let lines = LINES.0.lock().unwrap();
    for (at, line) in lines.iter().enumerate() {
        assert!(!lines[..at].contains(line), "{lines:?}");
        assert!(!line.1.contains("Sourdough"), "{line:?}");
    }
    drop(lines);

    // A single one is not several.
    server.freeze();
    assert!(cache.invalidate("p-001").is_err());
    server.thaw();
    until(|| said(Level::Info, "1 pending invalidation has been replayed"));
}

fn of_level(level: Level, what: &str) -> Vec<String> {
    let lines = LINES.0.lock().unwrap_or_else(PoisonError::into_inner);
    let matching = lines
        .iter()
        .filter(|line| line.0 == level && line.1.contains(what));
    matching.map(|line| line.1.clone()).collect()
}

#[test]
fn the_drop_of_the_last_cache_says_how_many_invalidations_are_lost() {
    own_process!();
    log::set_logger(&LINES).unwrap();
    log::set_max_level(LevelFilter::Info);
    let server = Server::start();
    let redis = || {
        let redis = Redis::builder(server.url()).io_timeout(Duration::from_millis(50));
        redis.build().unwrap()
    };
    let lost = || of_level(Level::Error, "the last handle of the store was dropped");
    let cache = |redis: &Redis, prefix: &str| -> Cache {
        Cache::builder(redis).prefix(prefix).build().unwrap()
    };
    // Nothing is pending.
    let calm = redis();
    drop((cache(&calm, "test:"), calm));
    assert_eq!(lost(), [""; 0]);
    server.freeze();
    for (ids, clears, words) in [
        (
            1,
            false,
            "dropped: 1 pending invalidation (1 of cache `test:a:`) had not",
        ),
        (
            3,
            false,
            "dropped: 3 pending invalidations (3 of cache `test:a:`) had not",
        ),
        (
            2,
            true,
            "2 pending invalidations (2 of cache `test:a:`) and those of the whole prefix `test:b:` had",
        ),
        (
            0,
            true,
            "dropped: the pending invalidations of the whole prefix `test:b:` had",
        ),
    ] {
        let before = lost().len();
        let redis = Redis::builder(server.url())
            .io_timeout(Duration::from_millis(50))
            .checkout_timeout(Duration::from_millis(50))
            .connect_timeout(Duration::from_millis(50))
            .build()
            .unwrap();
        let (one, other) = (cache(&redis, "test:a:"), cache(&redis, "test:b:"));
        for id in 0..ids {
            assert!(one.invalidate(id).is_err());
        }
        assert!(!clears || other.clear().is_err());
        drop((one, redis));
        // A cache is left, and could still replay them.
        assert_eq!(lost().len(), before);
        drop(other);
        assert_eq!(lost().len(), before + 1);
        assert!(lost()[before].contains(words), "{:?}", lost());
    }
    server.thaw();
}

/// The lookups find nothing, although the primary has it.
#[test]
fn a_loader_that_returns_only_other_ids_is_logged_once() {
    own_process!();
    log::set_logger(&LINES).unwrap();
    log::set_max_level(LevelFilter::Info);
    let cache = Cache::builder(cache_aside::Memory::new(10)).prefix("test:");
    let cache: Cache = cache.build().unwrap();
    let rows = |ids: &'static [&'static str]| {
        let row = |id: &&'static str| (*id, cache_aside::Record::from([("name", "Rye Loaf")]));
        move |_: &[&str]| Ok::<_, std::convert::Infallible>(ids.iter().map(row).collect::<Vec<_>>())
    };
    let lines = || of_level(Level::Warn, "returned no id that it was asked for");
    // Some or none of the ids exist, and others may come along.
    cache.get_many(["a", "b"], rows(&[])).unwrap();
    cache.get_many(["a", "b"], rows(&["a", "other"])).unwrap();
    cache.invalidate("a").unwrap();
    assert_eq!(lines(), [""; 0]);
    for _ in 0..2 {
        let found = cache.get_many(["007", "008"], rows(&["7", "8"])).unwrap();
        assert!(found[0].record().is_none());
        assert_eq!(
            lines(),
            [
                "cache `test:`: the loader of a batch returned no id that it was asked for, but others: it was asked for \"007\" and returned \"7\""
            ]
        );
    }
    let skip = cache.options().skip_cache(true);
    skip.get_many(["007"], rows(&["7"])).unwrap();
    assert_eq!(lines().len(), 1);
}
