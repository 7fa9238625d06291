//! The setting for an event log.

use super::CacheBuilder;
use crate::telemetry::event_log::EventLog;

impl<R> CacheBuilder<R> {
    /// Writes what the cache does to `log`. The guide's chapter on operations shows how to check
    /// such a log.
    ///
    /// All caches that read or write the same records must have a log in the same file, from their
    /// start, and records of the same type. A lookup with
    /// [`skip_cache`](crate::LookupOptions::skip_cache) is not written, and neither is
    /// [`get_fields`](crate::Cache::get_fields): they return no whole record of the cache.
    ///
    /// # Cost
    ///
    /// Each event is formatted on the caller's thread: a few microseconds for each lookup. The log
    /// is written on a thread of its own.
    ///
    /// Defaults to none.
    #[cfg_attr(docsrs, doc(cfg(feature = "event-log")))]
    pub fn event_log(mut self, log: EventLog) -> CacheBuilder<R> {
        self.settings.event_log = Some(log);
        self
    }
}
