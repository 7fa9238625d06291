//! Invalidations that did not reach the store: remembered until they have been replayed.
//!
//! Guarantees that a key counts as [pending](PendingInvalidations::why) from before the failed
//! write returns until a later invalidation has succeeded. Meanwhile this process does not read
//! that key from the store. The memory is bounded. Beyond the bound a whole prefix is
//! [bypassed](bypass), as it is after a failed `clear`. Nothing is forgotten silently.
//!
//! Called by the client to the store, which adds invalidations and replays them. This file knows no
//! store and no threads.
//!
//! No user code runs under its lock. A reporter, whose observer is the user's, leaves the lock
//! before it is called or dropped.

mod bypass;
mod cause;
mod flush;
mod lags;
mod lost;
mod target;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

pub(crate) use self::lost::Lost;
pub(crate) use self::target::{TagEnding, Target};
use self::{bypass::Bypasses, cause::PendingError, flush::Emptied, lags::Lags};
use crate::{store::keys::Keys, telemetry::reporter::Reporter};

/// A process writes fewer keys than this before it notices an outage. The server replays this many
/// within a second.
const MAX_KEYS: usize = 10_000;

/// How many bytes of keys are remembered at most: a bound for very long ids.
const MAX_BYTES: usize = 16 << 20;

#[derive(Debug, Default)]
pub(crate) struct PendingInvalidations {
    /// Whether any key is pending. If none is, a lookup reads only this flag. Written under the
    /// lock.
    any: AtomicBool,
    state: Mutex<PendingState>,
    emptied: Emptied,
}

#[derive(Default)]
struct PendingState {
    /// By data key, or by the key of the tag.
    entries: HashMap<String, Pending>,
    /// How many of them are tags, by the clock of their namespace.
    tags: HashMap<String, usize>,
    /// The total length of the keys of all entries.
    bytes: usize,
    /// Prefixes whose keys must not be read.
    bypasses: Bypasses,
    /// How long the floors of records last.
    lags: Lags,
    /// Counts the failed writes. Each entry and each bypass has the number of its latest one.
    sequence: u64,
}

struct Pending {
    target: Target,
    sequence: u64,
    /// Belongs to the cache whose write failed.
    reporter: Arc<Reporter>,
}

/// An invalidation to send.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) target: Target,
    sequence: u64,
}

/// How an invalidation was recorded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// Its key was recorded. No other key was pending.
    First,
    /// Its key was recorded. Other keys were pending.
    Kept,
    /// Its key was recorded. The same key was pending before.
    Again,
    /// There was no room for the key, so its whole prefix is bypassed from now on, for this time.
    Prefix(Duration),
    /// There was no room for the key, and its prefix was bypassed before.
    PrefixKept,
}

impl PendingInvalidations {
    /// Why the store may hold an entry at this key that an invalidation should have deleted; `None`
    /// if it does not.
    pub(crate) fn why(&self, data: &str) -> Option<PendingError> {
        // Acquire, paired with the Release in `remember`. A thread that learned of a failed write
        // from its writer also sees the record of that failure.
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.state.lock();
        self.forget_what_is_over(&mut state);
        state.why(data)
    }

    /// Call this before a cache writes entries that can stay for as long as `life`. Prolongs a
    /// bypass that has not ended, because a fill may have loaded its record before the failed
    /// write.
    pub(crate) fn record_max_ttl(&self, prefix: &str, life: Duration) {
        self.state.lock().bypasses.record_max_ttl(prefix, life);
    }

    /// Records an invalidation of a record with this prefix. Call it before the failed write
    /// returns.
    pub(crate) fn remember(&self, keys: &Keys, prefix: &str, reporter: &Arc<Reporter>) -> Recorded {
        self.remember_target(Target::Record(keys.clone()), prefix, reporter)
    }

    fn remember_target(&self, target: Target, prefix: &str, reporter: &Arc<Reporter>) -> Recorded {
        let mut state = self.state.lock();
        state.sequence += 1;
        let sequence = state.sequence;
        let recorded = if let Some(known) = state.entries.get_mut(target.key()) {
            known.sequence = sequence;
            known.target.join(target);
            Recorded::Again
        } else if state.has_room_for(target.key()) {
            state.add(target, sequence, reporter)
        } else {
            let bypasses = &mut state.bypasses;
            bypasses.add(prefix, PendingError::TooMany, sequence)
        };
        self.any.store(true, Ordering::Release);
        recorded
    }

    /// Bypasses a whole prefix from now on, because a `clear` did not finish. Returns for how long
    /// at most, or `None` if it was bypassed before.
    pub(crate) fn bypass(&self, prefix: &str) -> Option<Duration> {
        let mut state = self.state.lock();
        self.forget_what_is_over(&mut state);
        state.sequence += 1;
        let sequence = state.sequence;
        let recorded = state.bypasses.add(prefix, PendingError::Clear, sequence);
        self.any.store(true, Ordering::Release);
        match recorded {
            Recorded::Prefix(lasts) => Some(lasts),
            _ => None,
        }
    }

    /// The number of the latest failed write.
    pub(crate) fn sequence(&self) -> u64 {
        self.state.lock().sequence
    }

    /// Ends the bypasses of this prefix, because a `clear` has deleted their outdated entries.
    /// `began`: the [sequence](PendingInvalidations::sequence) before its first request.
    pub(crate) fn lift(&self, prefix: &str, began: u64) {
        let mut state = self.state.lock();
        state.bypasses.lift(prefix, began);
        self.forget_what_is_over(&mut state);
    }

    /// How many invalidations wait for their replay.
    pub(crate) fn len(&self) -> usize {
        if self.any.load(Ordering::Acquire) {
            self.state.lock().entries.len()
        } else {
            0
        }
    }

    /// All pending invalidations, to replay now.
    pub(crate) fn all(&self) -> Vec<Replay> {
        let state = self.state.lock();
        state.entries.values().map(Pending::replay).collect()
    }

    /// The pending invalidation of this key, if there is one. A request for the key completes it,
    /// if it is sent after this call and succeeds.
    pub(crate) fn of(&self, keys: &Keys) -> Option<Replay> {
        self.of_key(&keys.data)
    }

    /// The same for the key of a record or of a tag.
    pub(crate) fn of_key(&self, key: &str) -> Option<Replay> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        self.state.lock().entries.get(key).map(Pending::replay)
    }

    /// Removes a pending invalidation after a successful request. The request must have been sent
    /// after `replay` was taken. Keeps the invalidation if another write has failed since. If it
    /// was removed, returns the reporter to notify.
    pub(crate) fn complete(&self, replay: &Replay) -> Option<Arc<Reporter>> {
        let mut state = self.state.lock();
        let key = replay.target.key();
        let entry = state.entries.get(key);
        let completed = if entry.is_some_and(|entry| entry.sequence == replay.sequence) {
            state.remove(key)
        } else {
            None
        };
        self.forget_what_is_over(&mut state);
        completed.map(|entry| entry.reporter)
    }

    fn forget_what_is_over(&self, state: &mut PendingState) {
        state.bypasses.remove_expired();
        let any = !state.entries.is_empty() || !state.bypasses.is_empty();
        if self.any.swap(any, Ordering::AcqRel) && !any {
            self.emptied.notify();
        }
    }
}

impl PendingState {
    fn why(&self, data: &str) -> Option<PendingError> {
        if self.entries.contains_key(data) {
            return Some(PendingError::Record);
        }
        self.bypasses.why(data)
    }

    fn has_room_for(&self, key: &str) -> bool {
        self.entries.len() < MAX_KEYS && self.bytes + key.len() <= MAX_BYTES
    }

    fn remove(&mut self, key: &str) -> Option<Pending> {
        let removed = self.entries.remove(key)?;
        self.bytes -= key.len();
        self.count_tag(&removed.target, false);
        Some(removed)
    }

    fn add(&mut self, target: Target, sequence: u64, reporter: &Arc<Reporter>) -> Recorded {
        let is_first = self.entries.is_empty();
        let key = target.key().to_owned();
        self.bytes += key.len();
        self.count_tag(&target, true);
        let entry = Pending {
            target,
            sequence,
            reporter: Arc::clone(reporter),
        };
        self.entries.insert(key, entry);
        if is_first {
            Recorded::First
        } else {
            Recorded::Kept
        }
    }
}

impl Pending {
    fn replay(&self) -> Replay {
        Replay {
            target: self.target.clone(),
            sequence: self.sequence,
        }
    }
}

impl fmt::Debug for PendingState {
    /// Leaves out the keys, because they may contain data that a log must not show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingState")
            .field("entries", &self.entries.len())
            .field("bypasses", &self.bypasses.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
