//! The records of the embedded store: bounded, each with its own expiry.
//!
//! Guarantees that an eviction only causes a later miss. It never brings an older record back.
//! Called by the steps of the embedded store. Knows no leases.
//!
//! No user code runs under its locks: a record is bytes here.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use quick_cache::{
    DefaultHashBuilder, OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};

use super::clock::StoreClock;
use crate::{
    record::fields::{Fields, NOT_FOUND},
    store::{TAG_CLOCK_FIELD, TagClock, keys::Keys},
};

/// The number of parts into which the records are divided, each with its own lock and its share of
/// the bound. It is small, because a record that is larger than a part cannot be kept.
const PARTS: u64 = 8;

/// The bound on all records together.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    Entries(u64),
    /// Keys, field names and values, and the overhead of keeping them.
    Bytes(u64),
}

/// Records by their data keys.
pub(super) struct Records {
    by_key: Cache<String, Arc<StoredRecord>, Weigh>,
    clock: StoreClock,
}

/// A record. It is never changed in place.
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

impl StoredRecord {
    /// Whether no tag of the caller is newer than the record.
    pub(super) fn is_for(&self, keys: &Keys) -> bool {
        let Some(tags) = keys.tags else {
            return true;
        };
        let mut fields = self.fields.iter();
        let clock = fields.find(|(name, _)| name == TAG_CLOCK_FIELD.as_bytes());
        let clock = clock.and_then(|(_, value)| TagClock::parse(value));
        clock.is_some_and(|clock| clock.covers(tags.oldest))
    }
}

impl Records {
    pub(super) fn new(bound: Bound, clock: &StoreClock) -> Records {
        let (Bound::Entries(most) | Bound::Bytes(most)) = bound;
        // Below this size, dividing the records gains nothing.
        let parts = if most < 64 * PARTS { 1 } else { PARTS };
        let entries = match bound {
            Bound::Entries(entries) => entries,
            // A guess that sizes the first allocation.
            Bound::Bytes(bytes) => bytes / 512,
        };
        let options = OptionsBuilder::new()
            .shards(usize::try_from(parts).unwrap_or(1))
            .estimated_items_capacity(usize::try_from(entries).unwrap_or(usize::MAX))
            // Rounded down, because the cache would round up and exceed the bound.
            .weight_capacity(most / parts * parts)
            .build()
            .expect("the two settings it wants are set");
        let weigh = Weigh(matches!(bound, Bound::Bytes(_)));
        let (hasher, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        Records {
            by_key: Cache::with_options(options, weigh, hasher, lifecycle),
            clock: clock.clone(),
        }
    }

    /// The record at a data key, unless it has expired.
    pub(super) fn live(&self, data: &str) -> Option<Arc<StoredRecord>> {
        let stored = self.by_key.get(data)?;
        let now = self.clock.now();
        if now < stored.until {
            return Some(stored);
        }
        self.by_key.remove_if(data, |stored| stored.until <= now);
        None
    }

    /// Stores a record, unless it has no fields. Removes the old record in any case. A concurrent
    /// reader finds the old record or the new one, and never a gap between them.
    pub(super) fn put(&self, data: &str, fields: Fields, until: Instant) {
        if fields.is_empty() {
            self.by_key.remove(data);
            return;
        }
        let stored = Arc::new(StoredRecord { fields, until });
        // If the new record is too large to be kept, this still removes the old one.
        self.by_key.insert(data.to_owned(), stored);
    }

    /// The data keys of all records that exist until the iteration ends, and perhaps of some
    /// others.
    pub(super) fn keys(&self) -> impl Iterator<Item = String> {
        self.by_key.iter().map(|(data, _)| data)
    }

    /// Removes a record. True: there was one.
    pub(super) fn take(&self, data: &str) -> bool {
        let gone = self.by_key.remove(data);
        gone.is_some_and(|(_, stored)| self.clock.now() < stored.until)
    }
}

/// How much an entry counts against the bound: 1, or its bytes if the field is true.
#[derive(Clone)]
struct Weigh(bool);

impl Weighter<String, Arc<StoredRecord>> for Weigh {
    fn weight(&self, data: &String, stored: &Arc<StoredRecord>) -> u64 {
        /// The allocations of the key and the record, and their place in the cache.
        const ENTRY: usize = 160;
        /// Two headers of vectors, and the rounding of their allocations.
        const FIELD: usize = 64;

        if !self.0 {
            return 1;
        }
        let fields = stored.fields.iter();
        let fields = fields.map(|(name, value)| FIELD + name.len() + value.len());
        (ENTRY + data.len() + fields.sum::<usize>()) as u64
    }
}
