//! What a cache reports: events, counters, metrics, log messages and spans.

pub(crate) mod event;
#[cfg(feature = "event-log")]
pub(crate) mod event_log;
pub(crate) mod log_once;
#[cfg(feature = "metrics")]
pub(crate) mod metrics;
pub(crate) mod outbox;
pub(crate) mod recorder;
pub(crate) mod reporter;
pub(crate) mod shards;
pub(crate) mod stats;
pub(crate) mod trace;
