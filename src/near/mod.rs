//! The near cache: what this process has read of late, in front of the store.
//!
//! Guarantees two things to a lookup. It finds nothing here that was invalidated `bound` or more
//! before it began. It finds nothing that was [evicted](Near::evict) before it began. Two rules do
//! that:
//!
//! - An entry is used only while the change stream is live, and in the epoch in which it was read.
//!   See `liveness.rs`.
//! - **The fence**: a record is inserted only if nothing was evicted under its id since before it
//!   was read. A reader takes a [`Placeholder`] *before* it sends its request. An eviction removes
//!   the placeholder, and an insert into a removed placeholder is dropped. `quick_cache` does that:
//!   `remove` also removes placeholders, and an insert through a removed one fails. The first test
//!   below checks it.
//!
//! Drops no record under a lock: see `deferred_drop.rs`. Knows no store. An entry ends with its
//! remaining time in the store, or earlier.

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

/// Into how many parts the entries are divided, each with its own lock: threads that meet at one wait some nanoseconds.
const PARTS: u64 = 16;

/// Room is made ahead for no more than this.
const AHEAD: usize = 1 << 16;

/// Records by their ids, so that a look needs no key.
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
    /// In nanoseconds, as `liveness.rs` counts them.
    until: u64,
    /// `None`: that there is no such record.
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

/// A reservation for what is about to be read.
pub(crate) struct Placeholder<'a, R> {
    reservation: Reservation<'a, R>,
    epoch: u64,
    /// Before the request was sent.
    began: Instant,
    longest: Duration,
    liveness: &'a StreamLiveness,
}

impl<R> Near<R> {
    /// For this many entries at most, each for no longer than `longest`.
    pub(crate) fn new(capacity: usize, longest: Duration) -> Near<R> {
        let most = capacity as u64;
        let parts = if most < 64 * PARTS { 1 } else { PARTS };
        let options = OptionsBuilder::new()
            .shards(usize::try_from(parts).unwrap_or(1))
            .estimated_items_capacity(capacity.min(AHEAD))
            // Rounded down: the bound is a bound.
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

    /// What is here under this id, for a lookup that began now; `Some(None)`: that there is no such record. Or else a placeholder for
    /// what it is going to read, where it may have one.
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
        // Without a wait: where another reads the same, that one puts it here.
        match self.kept.get_value_or_guard(id, Some(Duration::ZERO)) {
            GuardResult::Guard(reservation) => Err(Some(Placeholder {
                reservation,
                epoch,
                began,
                longest: self.longest,
                liveness,
            })),
            // Came in this very moment: not for who looked before.
            GuardResult::Value(_) | GuardResult::Timeout => Err(None),
        }
    }

    /// Takes away what is here under this id, and the placeholder of whoever reads it right now. Drops the record: not to be
    /// called under a lock.
    pub(crate) fn evict(&self, id: &str) {
        drop_contained(self.kept.remove(id));
    }

    /// Frees all there is. What makes it unusable is the next epoch, and it refuses what comes to the placeholders of now.
    pub(crate) fn clear(&self)
    where
        R: Send + Sync + 'static,
    {
        // While nothing is heard, this is called again and again.
        if !self.kept.is_empty() {
            let records = self.kept.drain().filter_map(|(_, entry)| entry.record);
            self.discarded.discard(records.collect());
        }
    }
}

impl<R> Placeholder<'_, R> {
    /// Puts there what was read, if the placeholder was not taken away. `left`: how much of its time it had in the store at that moment.
    pub(crate) fn fill(self, record: Option<Arc<R>>, left: Duration) {
        // It would only be in the way: an entry of another epoch is not used.
        if self.liveness.epoch() != self.epoch {
            return;
        }
        let end = self.began + left.min(self.longest);
        let entry = NearEntry {
            epoch: self.epoch,
            until: self.liveness.nanos(end),
            record,
        };
        // Refused: it was evicted meanwhile, or had room no longer.
        let _ = self.reservation.insert(entry);
    }
}

#[cfg(test)]
mod tests;
