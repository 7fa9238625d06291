//! The longest TTLs that the entries of a cache can have been given.
//!
//! A bypass by prefix must last that long. An entry with more time left is from before a step of
//! the server's clock. The age of an entry is at most the difference to the time that it has left.
//! Called by the read path.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::{Engine, Settings};
use crate::util::limits::millis;

/// In milliseconds. They are longer than the settings say only after a lookup or a loader has set a
/// longer TTL.
#[derive(Default)]
pub(super) struct MaxTtls {
    /// Of any entry. The client has it too.
    entry: AtomicU64,
    /// Of an entry that says that no record exists.
    negative: AtomicU64,
}

impl Engine {
    pub(super) fn record_max_ttls_of_settings(&self) {
        let Settings {
            ttl,
            negative_ttl,
            freshness,
            ..
        } = &self.settings;
        self.record_max_ttl(freshness.total_ttl(*ttl));
        self.record_max_negative_ttl(negative_ttl.unwrap_or_default());
    }

    /// Call this before filling a record that stays for `total_ttl`. An invalidation that is
    /// pending by prefix must bypass the prefix for at least that long. So must one of a prefix
    /// that the cache also invalidates: its caches are taken to have the same TTLs.
    pub(crate) fn record_max_ttl(&self, total_ttl: Duration) {
        // Acquire and Release: a thread that reads the value here also sees it in the client.
        if millis(total_ttl) <= self.max_ttls.entry.load(Ordering::Acquire) {
            return;
        }
        let Settings {
            max_load_time,
            lease_ttl,
            versions,
            ..
        } = self.settings;
        // A load that is under way may still fill, until its lease ends. With versions, a replica
        // that lags may still give the old record.
        let life = total_ttl + max_load_time + lease_ttl + versions.unwrap_or_default();
        for prefix in self.prefixes() {
            self.client.record_max_ttl(prefix, life);
        }
        // Any of its lookups may be under tags.
        let of_tags = self.settings.tag_keys(&[]).prefix();
        self.client.record_max_ttl(&of_tags, life);
        self.max_ttls
            .entry
            .fetch_max(millis(total_ttl), Ordering::AcqRel);
    }

    /// Call this before filling an entry that says that no record exists.
    pub(super) fn record_max_negative_ttl(&self, ttl: Duration) {
        self.max_ttls
            .negative
            .fetch_max(millis(ttl), Ordering::AcqRel);
    }

    /// The longest TTL that an entry of this cache can have been given, if a lookup may give it
    /// `total_ttl`.
    pub(crate) fn max_ttl(&self, total_ttl: Duration) -> Duration {
        total_ttl.max(Duration::from_millis(
            self.max_ttls.entry.load(Ordering::Acquire),
        ))
    }

    /// The longest TTL that an entry can have been given which says that no record exists.
    pub(crate) fn max_negative_ttl(&self) -> Duration {
        Duration::from_millis(self.max_ttls.negative.load(Ordering::Acquire))
    }
}
