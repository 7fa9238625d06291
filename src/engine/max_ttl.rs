//! The longest TTL that an entry of a cache can have been given.
//!
//! A bypass by prefix must last that long. An entry with more time left is from before a step of
//! the server's clock. Called by the read path.

use std::{sync::atomic::Ordering, time::Duration};

use super::{Engine, Settings};
use crate::util::limits::millis;

impl<R> Engine<R> {
    /// Call this before filling a record that stays for `total_ttl`. An invalidation that is
    /// pending by prefix must bypass the prefix for at least that long. So must one of a prefix
    /// that the cache also invalidates: its caches are taken to have the same TTLs.
    pub(crate) fn record_max_ttl(&self, total_ttl: Duration) {
        // Acquire and Release: a thread that reads the value here also sees it in the client.
        if millis(total_ttl) <= self.max_ttl.load(Ordering::Acquire) {
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
        self.max_ttl.fetch_max(millis(total_ttl), Ordering::AcqRel);
    }

    /// The longest TTL that an entry of this cache can have been given.
    pub(crate) fn max_ttl(&self) -> Duration {
        Duration::from_millis(self.max_ttl.load(Ordering::Acquire))
    }
}
