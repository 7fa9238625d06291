//! The settings of one cache.

use std::time::Duration;

use super::freshness::Freshness;
use crate::{record::fields::Schema, telemetry::recorder::EventLog};

/// The settings of a cache, checked by its builder, which documents them.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch that the program sets"
)]
pub(crate) struct Settings {
    pub(crate) prefix: String,
    pub(crate) also_invalidates: Vec<String>,
    /// The `prefix`, unless set.
    pub(crate) name: Option<String>,
    pub(crate) schema: Schema,
    pub(crate) ttl: Duration,
    pub(crate) negative_ttl: Option<Duration>,
    pub(crate) lease_ttl: Duration,
    pub(crate) max_load_time: Duration,
    pub(crate) wait_timeout: Duration,
    pub(crate) fail_on_wait_timeout: bool,
    pub(crate) fail_on_unstorable: bool,
    pub(crate) poll: Duration,
    pub(crate) keep_ttl_on_update: bool,
    pub(crate) freshness: Freshness,
    /// How many loads may run at a time. `None`: any number.
    pub(crate) max_loads: Option<usize>,
    /// How long a lookup waits for one of them. `None`: `wait_timeout`.
    pub(crate) load_queue_timeout: Option<Duration>,
    /// The capacity, in entries.
    pub(crate) near_cache: Option<usize>,
    /// `None`: the same as `ttl`.
    pub(crate) near_ttl: Option<Duration>,
    pub(crate) near_staleness: Duration,
    pub(crate) tracking: bool,
    /// How long a floor lasts. `None`: there are no floors.
    pub(crate) versions: Option<Duration>,
    pub(crate) tag_namespace: String,
    /// Whether loaders may name tags.
    pub(crate) loader_tags: bool,
    /// Whether all records are under a tag of the cache.
    pub(crate) clear_by_tag: bool,
    /// Always `None` without the feature.
    pub(crate) event_log: Option<EventLog>,
}

impl Settings {
    /// The prefixes under which a write ends the record: its own, and then the others that
    /// [`also_invalidates`](crate::CacheBuilder::also_invalidates) names.
    pub(crate) fn prefixes(&self) -> impl Iterator<Item = &str> {
        let own = std::iter::once(&self.prefix);
        own.chain(&self.also_invalidates).map(String::as_str)
    }

    /// The defaults that a refusal compares with, to name the setting that was set.
    pub(crate) const MAX_LOAD_TIME: Duration = Duration::from_secs(60);
    pub(crate) const WAIT_TIMEOUT: Duration = Duration::from_secs(10);

    /// The default of `tag_namespace`.
    pub(crate) const TAG_NAMESPACE: &str = "cache";
}
