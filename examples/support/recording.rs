//! The event log of an example, for the harness `check`. Needs the feature `event-log`.

#![allow(dead_code, reason = "each user takes its own part")]

use std::path::Path;

use cache_aside::CacheBuilder;
#[cfg(feature = "event-log")]
use cache_aside::EventLog;

/// The log of a process, if it writes one.
#[derive(Clone)]
pub(crate) struct Recording(#[cfg(feature = "event-log")] Option<EventLog>);

/// Empties the file of a run. Its processes append to it.
pub(crate) fn prepare(path: Option<&Path>) -> Result<(), String> {
    let Some(path) = path else {
        return Ok(());
    };
    if cfg!(not(feature = "event-log")) {
        return Err("for `--record`, build with `--features event-log`".to_owned());
    }
    std::fs::write(path, "").map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(feature = "event-log")]
impl Recording {
    pub(crate) fn start(path: Option<&Path>) -> Result<Recording, String> {
        let log = path.map(EventLog::create).transpose();
        log.map(Recording)
            .map_err(|error| format!("the event log: {error}"))
    }

    pub(crate) fn of<R>(&self, cache: CacheBuilder<R>) -> CacheBuilder<R> {
        match &self.0 {
            Some(log) => cache.event_log(log.clone()),
            None => cache,
        }
    }

    /// Writes everything. Later events are not recorded.
    pub(crate) fn close(&self) {
        if let Some(log) = &self.0 {
            log.close();
        }
    }
}

#[cfg(not(feature = "event-log"))]
#[expect(
    clippy::unnecessary_wraps,
    clippy::unused_self,
    reason = "as with the feature"
)]
impl Recording {
    pub(crate) fn start(_path: Option<&Path>) -> Result<Recording, String> {
        Ok(Recording())
    }

    pub(crate) fn of<R>(&self, cache: CacheBuilder<R>) -> CacheBuilder<R> {
        cache
    }

    pub(crate) fn close(&self) {}
}
