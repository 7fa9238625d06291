//! The near cache: what this process has read recently, in front of the store.
//!
//! Guarantees that a lookup finds no entry here that was invalidated `bound` or more before the
//! lookup began, and none that was [evicted](Near::evict) before it began. Two rules ensure that:
//!
//! - An entry is used only while the change stream is live, and in the epoch in which the entry was
//!   read; see `liveness.rs`.
//! - **The fence**: a record enters only if its id was not evicted since before the record was read.
//!   A lookup takes a [`Placeholder`] *before* it sends its request. An eviction removes the
//!   placeholder, and a record for a removed placeholder is dropped. (It is a placeholder of
//!   `quick_cache`: its `remove` also removes those, and an insert into a removed one fails. The
//!   first test checks that.)
//!
//! Drops no record under a lock; see `deferred_drop.rs`. Knows no store. An entry lives as long as
//! the TTL that was left in the store, or shorter.

pub(crate) mod deferred_drop;
pub(crate) mod lease_waiters;
pub(crate) mod liveness;
pub(crate) mod siblings;
pub(crate) mod subscriber;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use quick_cache::{
    DefaultHashBuilder, OptionsBuilder, UnitWeighter,
    sync::{Cache, GuardResult, PlaceholderGuard},
};

use self::{
    deferred_drop::{Discarded, DropUnlocked, drop_contained},
    liveness::StreamLiveness,
};

/// The number of shards, each with its own lock. Threads that meet at one wait some nanoseconds.
const PARTS: u64 = 16;

/// Room is allocated in advance for at most this many entries.
const AHEAD: usize = 1 << 16;

/// Records by their ids, so that a lookup builds no key.
pub(crate) struct Near<R> {
    kept: Kept<R>,
    longest: Duration,
    discarded: Discarded<R>,
}

type Kept<R> = Cache<String, NearEntry<R>, UnitWeighter, DefaultHashBuilder, DropUnlocked>;
type Reservation<'a, R> =
    PlaceholderGuard<'a, String, NearEntry<R>, UnitWeighter, DefaultHashBuilder, DropUnlocked>;

struct NearEntry<R> {
    epoch: u64,
    /// In nanoseconds, on the clock of `liveness.rs`.
    until: u64,
    /// `None`: the primary has no such record.
    record: Option<Arc<R>>,
}

impl<R> Clone for NearEntry<R> {
    fn clone(&self) -> NearEntry<R> {
        NearEntry {
            record: self.record.clone(),
            ..*self
        }
    }
}

/// A reservation for a record that is about to be read.
pub(crate) struct Placeholder<'a, R> {
    reservation: Reservation<'a, R>,
    epoch: u64,
    /// Before the request was sent.
    began: Instant,
    longest: Duration,
    liveness: &'a StreamLiveness,
}

impl<R> Near<R> {
    /// For at most this many entries, each for at most `longest`.
    pub(crate) fn new(capacity: usize, longest: Duration) -> Near<R> {
        let most = capacity as u64;
        let parts = if most < 64 * PARTS { 1 } else { PARTS };
        let options = OptionsBuilder::new()
            .shards(usize::try_from(parts).unwrap_or(1))
            .estimated_items_capacity(capacity.min(AHEAD))
            // Rounded down, so that the bound holds.
            .weight_capacity(most / parts * parts)
            .build()
            .expect("the two settings it wants are set");
        let hasher = DefaultHashBuilder::default();
        let kept = Cache::with_options(options, UnitWeighter, hasher, DropUnlocked);
        let discarded = Discarded::default();
        Near {
            kept,
            longest,
            discarded,
        }
    }

    /// The entry of this id for a lookup that began at `began`; `Ok(None)`: the primary has no such
    /// record. Else a placeholder for what the lookup is going to read, if it can have one.
    pub(crate) fn find<'a>(
        &'a self,
        liveness: &'a StreamLiveness,
        id: &str,
        began: Instant,
    ) -> Result<Option<Arc<R>>, Option<Placeholder<'a, R>>> {
        let now = liveness.nanos(began);
        if !liveness.is_live(now) {
            return Err(None);
        }
        let epoch = liveness.epoch();
        let is_good = |entry: &NearEntry<R>| entry.epoch == epoch && now < entry.until;
        match self.kept.get(id) {
            Some(entry) if is_good(&entry) => return Ok(entry.record),
            Some(_) => drop(self.kept.remove_if(id, |entry| !is_good(entry))),
            None => {}
        }
        // Without a wait: if another lookup reads the same, that one fills the entry.
        match self.kept.get_value_or_guard(id, Some(Duration::ZERO)) {
            GuardResult::Guard(reservation) => Err(Some(Placeholder {
                reservation,
                epoch,
                began,
                longest: self.longest,
                liveness,
            })),
            // It was filled after this lookup had looked, so it is not used.
            GuardResult::Value(_) | GuardResult::Timeout => Err(None),
        }
    }

    /// Removes the entry of this id, and the placeholder of a lookup that reads it now. Drops the
    /// record: do not call this under a lock.
    pub(crate) fn evict(&self, id: &str) {
        drop_contained(self.kept.remove(id));
    }

    /// Frees all entries. The next epoch, not this, makes them unusable and refuses the records for
    /// the present placeholders.
    pub(crate) fn clear(&self)
    where
        R: Send + Sync + 'static,
    {
        // While the change stream is down, this is called repeatedly.
        if !self.kept.is_empty() {
            let records = self.kept.drain().filter_map(|(_, entry)| entry.record);
            self.discarded.discard(records.collect());
        }
    }
}

impl<R> Placeholder<'_, R> {
    /// Inserts what was read, unless the placeholder was removed. `left`: the remaining TTL in the
    /// store when it was read.
    pub(crate) fn fill(self, record: Option<Arc<R>>, left: Duration) {
        // An entry of another epoch is not used, and would only take up room.
        if self.liveness.epoch() != self.epoch {
            return;
        }
        let end = self.began + left.min(self.longest);
        let entry = NearEntry {
            epoch: self.epoch,
            until: self.liveness.nanos(end),
            record,
        };
        // Refused: the id was evicted meanwhile, or there was no room left.
        let _ = self.reservation.insert(entry);
    }
}

#[cfg(test)]
mod tests;
