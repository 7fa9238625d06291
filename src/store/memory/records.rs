//! Records in this process: bounded, each with its own end.
//!
//! Whatever the bound drops of its own accord is a miss later on, and never something old.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use quick_cache::{
    DefaultHashBuilder, OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};

use crate::record::fields::{Fields, NOT_FOUND};

/// Into how many parts the records are divided, each with its own lock and its share of the bound.
/// Few, because a record that is larger than a part cannot be kept.
const PARTS: u64 = 8;

/// How much may be kept.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    Entries(u64),
    /// Of keys, names and values, and what it takes to keep them.
    Bytes(u64),
}

/// Records by their data keys.
pub(super) struct Records(Cache<String, Arc<StoredRecord>, Weigh>);

/// A record, never changed in place.
pub(super) struct StoredRecord {
    pub(super) fields: Fields,
    pub(super) until: Instant,
}

impl StoredRecord {
    pub(super) fn left(&self, now: Instant) -> Duration {
        self.until.saturating_duration_since(now)
    }

    pub(super) fn says_there_is_none(&self) -> bool {
        self.fields.iter().any(|(name, _)| name == NOT_FOUND)
    }
}

impl Records {
    pub(super) fn new(bound: Bound) -> Records {
        let (Bound::Entries(most) | Bound::Bytes(most)) = bound;
        // What is smaller than this is not worth dividing.
        let parts = if most < 64 * PARTS { 1 } else { PARTS };
        let entries = match bound {
            Bound::Entries(entries) => entries,
            // A guess, for the first allocation.
            Bound::Bytes(bytes) => bytes / 512,
        };
        let options = OptionsBuilder::new()
            .shards(usize::try_from(parts).unwrap_or(1))
            .estimated_items_capacity(usize::try_from(entries).unwrap_or(usize::MAX))
            // Rounded down, where the cache would round up: the bound is a bound.
            .weight_capacity(most / parts * parts)
            .build()
            .expect("the two settings it wants are set");
        let weigh = Weigh(matches!(bound, Bound::Bytes(_)));
        let (hasher, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        Records(Cache::with_options(options, weigh, hasher, lifecycle))
    }

    /// What stands at a data key, unless its time is over.
    pub(super) fn live(&self, data: &str) -> Option<Arc<StoredRecord>> {
        let stored = self.0.get(data)?;
        let now = Instant::now();
        if now < stored.until {
            return Some(stored);
        }
        self.0.remove_if(data, |stored| stored.until <= now);
        None
    }

    /// Puts a record there, unless it has no field. The old one is gone in any case; who looks
    /// meanwhile finds the one or the other, and never a gap between them.
    pub(super) fn put(&self, data: &str, fields: Fields, until: Instant) {
        if fields.is_empty() {
            self.0.remove(data);
            return;
        }
        let stored = Arc::new(StoredRecord { fields, until });
        // Also where the new one is too large to be kept, this takes the old one away.
        self.0.insert(data.to_owned(), stored);
    }

    /// The data keys of all that are there from now until the last is returned, and perhaps of some
    /// others.
    pub(super) fn keys(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(data, _)| data)
    }

    /// Takes a record away. True: there was one.
    pub(super) fn take(&self, data: &str) -> bool {
        let gone = self.0.remove(data);
        gone.is_some_and(|(_, stored)| Instant::now() < stored.until)
    }
}

/// What an entry counts against the bound. True: its bytes.
#[derive(Clone)]
struct Weigh(bool);

impl Weighter<String, Arc<StoredRecord>> for Weigh {
    fn weight(&self, data: &String, stored: &Arc<StoredRecord>) -> u64 {
        /// The key's and the record's own allocations and their place in the cache.
        const ENTRY: usize = 160;
        /// Two headers of vectors, and what their allocations are rounded up by.
        const FIELD: usize = 64;

        if !self.0 {
            return 1;
        }
        let fields = stored.fields.iter();
        let fields = fields.map(|(name, value)| FIELD + name.len() + value.len());
        (ENTRY + data.len() + fields.sum::<usize>()) as u64
    }
}
