//! The event log of a process, for the example `check`.

use std::path::Path;

#[cfg(feature = "event-log")]
use cache_aside::EventLog;
use cache_aside::{CacheBuilder, Record};

use crate::plan::Plan;

/// `None`: nothing is recorded.
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
    pub(crate) fn start(plan: &Plan) -> Result<Recording, String> {
        let log = plan.record.as_ref().map(EventLog::create).transpose();
        log.map(Recording)
            .map_err(|error| format!("the event log: {error}"))
    }

    pub(crate) fn of(&self, cache: CacheBuilder<Record>) -> CacheBuilder<Record> {
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
    pub(crate) fn start(_plan: &Plan) -> Result<Recording, String> {
        Ok(Recording())
    }

    pub(crate) fn of(&self, cache: CacheBuilder<Record>) -> CacheBuilder<Record> {
        cache
    }

    pub(crate) fn close(&self) {}
}
