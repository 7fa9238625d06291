//! The prefixes of caches with versions, and how long the floors of their records last.
//!
//! A `clear` needs them: it finds the keys of records by a prefix, perhaps of several caches.
//! Called by the client when a cache is built, and before a `clear`.

use std::{collections::HashMap, time::Duration};

use super::PendingInvalidations;
use crate::store::{ScanPage, keys::Keys};

#[derive(Debug, Clone, Default)]
pub(crate) struct Lags(HashMap<String, Duration>);

impl Lags {
    /// Adds the floor keys to records that were found by a scan.
    pub(crate) fn with_floors(&self, page: ScanPage) -> ScanPage {
        if self.0.is_empty() {
            return page;
        }
        let keys = page.keys.into_iter().map(|keys| self.with_floor(keys));
        let keys = keys.collect();
        ScanPage { keys, ..page }
    }

    fn with_floor(&self, keys: Keys) -> Keys {
        let lags = self.0.iter();
        let lags = lags.filter(|(prefix, _)| keys.data.starts_with(prefix.as_str()));
        match lags.map(|(_, lag)| *lag).max() {
            Some(lag) => keys.with_floor(lag),
            None => keys,
        }
    }
}

impl PendingInvalidations {
    /// Call this when a cache is built whose records with this prefix have floors, which last for
    /// `lag`.
    pub(crate) fn record_lag(&self, prefix: &str, lag: Duration) {
        let lags = &mut self.state.lock().lags.0;
        let known = lags.entry(prefix.to_owned()).or_default();
        *known = lag.max(*known);
    }

    /// The longest lag of all caches that were built so far. A tag may be on records of any of
    /// them.
    pub(crate) fn longest_lag(&self) -> Option<Duration> {
        self.state.lock().lags.0.values().max().copied()
    }

    /// The lags of all caches that were built so far.
    pub(crate) fn lags(&self) -> Lags {
        self.state.lock().lags.clone()
    }
}
