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
