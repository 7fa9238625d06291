//! The near cache: records that this process has read recently, in front of the store.
//!
//! Guarantees two things. A lookup finds no entry here that was invalidated `bound` or more before
//! the lookup began. It finds no entry that was [evicted](Near::evict) before it began. Two rules
//! ensure that:
//!
//! - An entry is used only while the change stream is live, and in the epoch in which the entry was
//!   read; see `liveness.rs`.
//! - **The fence**: a record enters only if its id was not evicted since its read began. A lookup
//!   takes a [`Placeholder`] *before* it sends its request. An eviction removes the placeholder,
//!   and a record for a removed placeholder is dropped. (It is a placeholder of `quick_cache`. Its
//!   `remove` also removes placeholders, and an insert into a removed one fails. The first test
//!   checks that.)
//!
//! Called by the read path and by the subscriber to changes. Drops no record under a lock; see
//! `deferred_drop.rs`. Knows no store. An entry lives no longer than its remaining TTL in the
//! store.
//!
//! No user code runs under a lock of `quick_cache`: under it, a record's handle is only moved or
//! cloned.

pub(crate) mod deferred_drop;
pub(crate) mod lease_waiters;
pub(crate) mod liveness;
pub(crate) mod siblings;
pub(crate) mod subscriber;
pub(crate) mod tags;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use quick_cache::{
    DefaultHashBuilder, OptionsBuilder, UnitWeighter,
    sync::{Cache, GuardResult, PlaceholderGuard},
};

use crate::record::any::AnyRecord;

use self::{
    deferred_drop::{Discarded, DropUnlocked, drop_contained},
    liveness::StreamLiveness,
    tags::{EntryTags, NearTags},
};

/// The number of shards, each with its own lock. Threads that use the same shard wait some
/// nanoseconds.
const PARTS: u64 = 16;

/// At the start, memory is allocated for at most this many entries.
const AHEAD: usize = 1 << 16;

/// Records by id rather than by key, so that a lookup builds no key.
pub(crate) struct Near {
    kept: Kept,
    longest: Duration,
    discarded: Discarded,
}

type Kept = Cache<String, NearEntry, UnitWeighter, DefaultHashBuilder, DropUnlocked>;
type Reservation<'a> =
    PlaceholderGuard<'a, String, NearEntry, UnitWeighter, DefaultHashBuilder, DropUnlocked>;

#[derive(Clone)]
struct NearEntry {
    epoch: u64,
    /// In nanoseconds on the clock of `liveness.rs`.
    until: u64,
    /// When the record was cached, or earlier: on the same clock, negative before its start.
    since: i64,
    /// `None`: the primary has no such record.
    record: Option<AnyRecord>,
    /// `None`: it is under no tags.
    tags: Option<Arc<EntryTags>>,
}

/// Which entries may answer a lookup.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Accepts {
    Any,
    /// Those whose record has been cached for at most this time.
    UpTo(Duration),
    Nothing,
}

/// A reservation for a record that is about to be read.
pub(crate) struct Placeholder<'a> {
    reservation: Reservation<'a>,
    epoch: u64,
    /// Taken before the request was sent.
    began: Instant,
    longest: Duration,
    liveness: &'a StreamLiveness,
    /// Those of the lookup, as they were then.
    tags: Option<Box<NearTags<'a>>>,
}

impl Near {
    /// Creates a near cache for at most `capacity` entries, each for at most `longest`.
    pub(crate) fn new(capacity: usize, longest: Duration) -> Near {
        let most = capacity as u64;
        let parts = if most < 64 * PARTS { 1 } else { PARTS };
        let options = OptionsBuilder::new()
            .shards(usize::try_from(parts).unwrap_or(1))
            .estimated_items_capacity(capacity.min(AHEAD))
            // Rounded down, so that the bound is not exceeded.
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

    /// The entry of this id, for a lookup that began at `began`. `Ok(None)`: the primary has no
    /// such record. `Err`: a placeholder for the record that the lookup is going to read, or `None`
    /// if it gets no placeholder. `tags`: those of the lookup. An entry that the lookup does not
    /// accept is removed.
    #[inline]
    pub(crate) fn find<'a>(
        &'a self,
        liveness: &'a StreamLiveness,
        id: &str,
        began: Instant,
        accepts: Accepts,
        tags: Option<Box<NearTags<'a>>>,
    ) -> Result<Option<AnyRecord>, Option<Placeholder<'a>>> {
        let now = liveness.nanos(began);
        if !liveness.is_live(now) || tags.as_ref().is_some_and(|tags| !tags.is_live()) {
            self.discarded.discard_postponed();
            return Err(None);
        }
        let epoch = liveness.epoch();
        let earliest = match accepts {
            Accepts::Any => i64::MIN,
            Accepts::UpTo(age) => before(now, age),
            Accepts::Nothing => i64::MAX,
        };
        let is_good = |entry: &NearEntry| {
            let is_for_tags = match (&entry.tags, &tags) {
                (None, None) => true,
                (Some(entry), Some(tags)) => tags.admit(entry),
                // As in the store: such an entry is none for a lookup without tags.
                (None, Some(_)) | (Some(_), None) => false,
            };
            entry.epoch == epoch && now < entry.until && entry.since >= earliest && is_for_tags
        };
        match self.kept.get(id) {
            Some(entry) if is_good(&entry) => return Ok(entry.record),
            Some(_) => drop(self.kept.remove_if(id, |entry| !is_good(entry))),
            None => {}
        }
        self.discarded.discard_postponed();
        Err(self.reserve(liveness, id, (began, epoch), tags))
    }

    /// A placeholder for the record that a lookup is going to read. Out of line, to keep a near hit
    /// small.
    #[inline(never)]
    fn reserve<'a>(
        &'a self,
        liveness: &'a StreamLiveness,
        id: &str,
        (began, epoch): (Instant, u64),
        tags: Option<Box<NearTags<'a>>>,
    ) -> Option<Placeholder<'a>> {
        // Does not wait: if another lookup reads the same record, that one fills the entry.
        match self.kept.get_value_or_guard(id, Some(Duration::ZERO)) {
            GuardResult::Guard(reservation) => Some(Placeholder {
                reservation,
                epoch,
                began,
                longest: self.longest,
                liveness,
                tags,
            }),
            // The entry was filled after this lookup had searched for it, so it is not used.
            GuardResult::Value(_) | GuardResult::Timeout => None,
        }
    }

    /// Removes the entry of this id, and the placeholder of a lookup that is reading it. Drops the
    /// record, so do not call this under a lock.
    pub(crate) fn evict(&self, id: &str) {
        drop_contained(self.kept.remove(id));
    }

    /// Frees the memory of all entries. The entries become unusable through the next epoch, and not
    /// through this call. The epoch also refuses the records for the present placeholders.
    pub(crate) fn clear(&self) {
        // While the change stream is down, this is called repeatedly.
        if !self.kept.is_empty() {
            let records = self.kept.drain().filter_map(|(_, entry)| entry.record);
            self.discarded.discard(records.collect());
        }
    }
}

impl Placeholder<'_> {
    /// Puts the record that was read under these tags too, which it lists.
    pub(crate) fn add_tags(&mut self, keys: &[String]) {
        if let Some(tags) = &mut self.tags {
            tags.add(keys);
        }
    }

    /// Inserts the record that was read, unless the placeholder was removed. `left`: the remaining
    /// TTL in the store when the record was read. `age`: for how long it had been there, at most.
    pub(crate) fn fill(self, record: Option<AnyRecord>, left: Duration, age: Duration) {
        // An entry of another epoch would not be used, and would only take up room.
        if self.liveness.epoch() != self.epoch {
            return;
        }
        let tags = match self.tags.map(|tags| tags.of_entry()) {
            None => None,
            Some(Some(tags)) => Some(tags),
            // Their stream was down meanwhile.
            Some(None) => return,
        };
        let end = self.began + left.min(self.longest);
        let entry = NearEntry {
            epoch: self.epoch,
            until: self.liveness.nanos(end),
            since: before(self.liveness.nanos(self.began), age),
            record,
            tags,
        };
        // Refused if the id was evicted in the meantime, or if there was no room.
        let _ = self.reservation.insert(entry);
    }
}

/// An instant on the clock of `liveness.rs`, and an age before it. Enough for 290 years.
fn before(now: u64, age: Duration) -> i64 {
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    now.saturating_sub(i64::try_from(age.as_nanos()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
