//! Invalidations that did not reach the store: remembered until they have been replayed.
//!
//! Guarantees that a key counts as [pending](PendingInvalidations::contains) from before the failed
//! write returns until an invalidation that was sent later has succeeded. Meanwhile this process
//! does not read that key from the store. Its memory is bounded: beyond the bound a whole prefix is
//! pending, for as long as an outdated entry with that prefix can live. Nothing is forgotten
//! silently.
//!
//! The client to the store adds invalidations and replays them. This file knows no store and no
//! threads.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{store::keys::Keys, telemetry::reporter::Reporter};

/// More than a process writes before it notices an outage, and few enough to replay within a
/// second.
const MAX_KEYS: usize = 10_000;

/// For very long ids: how many bytes of keys are remembered at most.
const MAX_BYTES: usize = 16 << 20;

#[derive(Debug, Default)]
pub(crate) struct PendingInvalidations {
    /// Whether any key is pending. While none is, a lookup reads nothing but this. Written under
    /// the lock.
    any: AtomicBool,
    state: Mutex<PendingState>,
}

#[derive(Default)]
struct PendingState {
    /// By data key.
    entries: HashMap<String, Pending>,
    /// Of the keys of all entries.
    bytes: usize,
    /// Prefixes whose keys must not be read, and until when.
    bypassed: HashMap<String, Instant>,
    /// By prefix, the longest time for which an entry can stay that is stored now or is filled by a
    /// load under way. Of all caches past and present, because their entries outlive them.
    max_ttls: HashMap<String, Duration>,
    /// Numbers the failed writes. Each entry has the number of its latest one.
    sequence: u64,
}

struct Pending {
    keys: Keys,
    sequence: u64,
    /// Of the cache whose write failed.
    reporter: Arc<Reporter>,
}

/// An invalidation to be sent.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) keys: Keys,
    sequence: u64,
}

/// How an invalidation was recorded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// By its key, as the only one.
    First,
    /// By its key.
    Kept,
    /// By its key, which had been recorded before.
    Again,
    /// There is no room for the key. From now on its whole prefix is bypassed, for so long.
    Prefix(Duration),
    /// The same, and the prefix was bypassed before.
    PrefixKept,
}

impl PendingInvalidations {
    /// Whether the store may hold an entry at this key that an invalidation should have deleted.
    pub(crate) fn contains(&self, data: &str) -> bool {
        // Acquire, with the Release in `remember`: a thread that learned of a failed write from the
        // thread that wrote also sees what that one recorded.
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let mut state = self.state.lock();
        self.forget_what_is_over(&mut state);
        state.contains(data)
    }

    /// To be called before a cache writes entries that can stay for so long. Prolongs a bypass that
    /// is in force, because a fill may have loaded its record before the write that failed.
    pub(crate) fn record_max_ttl(&self, prefix: &str, life: Duration) {
        let mut state = self.state.lock();
        let known = state.max_ttls.entry(prefix.to_owned()).or_default();
        *known = life.max(*known);
        let until = Instant::now() + life;
        for (bypassed, end) in &mut state.bypassed {
            if overlap(bypassed, prefix) {
                *end = until.max(*end);
            }
        }
    }

    /// Records an invalidation. To be called before the write that failed returns.
    pub(crate) fn remember(&self, keys: &Keys, reporter: &Arc<Reporter>) -> Recorded {
        let mut state = self.state.lock();
        state.sequence += 1;
        let sequence = state.sequence;
        let recorded = if let Some(known) = state.entries.get_mut(&keys.data) {
            known.sequence = sequence;
            Recorded::Again
        } else if state.has_room_for(keys) {
            state.add(keys, sequence, reporter)
        } else {
            state.bypass(&reporter.prefix)
        };
        self.any.store(true, Ordering::Release);
        recorded
    }

    /// Bypasses a whole prefix from now on. Returns for how long, unless it was bypassed before.
    pub(crate) fn bypass(&self, prefix: &str) -> Option<Duration> {
        let mut state = self.state.lock();
        self.forget_what_is_over(&mut state);
        let recorded = state.bypass(prefix);
        self.any.store(true, Ordering::Release);
        match recorded {
            Recorded::Prefix(lasts) => Some(lasts),
            _ => None,
        }
    }

    /// Until when this prefix is bypassed.
    pub(crate) fn bypassed_until(&self, prefix: &str) -> Option<Instant> {
        self.state.lock().bypassed.get(prefix).copied()
    }

    /// Ends the bypass of a prefix, because its outdated entries have been deleted. Does nothing if
    /// the bypass was prolonged since.
    pub(crate) fn lift(&self, prefix: &str, until: Option<Instant>) {
        let mut state = self.state.lock();
        if until.is_some() && state.bypassed.get(prefix).copied() == until {
            state.bypassed.remove(prefix);
            self.forget_what_is_over(&mut state);
        }
    }

    /// How many invalidations wait to be replayed.
    pub(crate) fn len(&self) -> usize {
        if self.any.load(Ordering::Acquire) {
            self.state.lock().entries.len()
        } else {
            0
        }
    }

    /// All of them, to be replayed now.
    pub(crate) fn all(&self) -> Vec<Replay> {
        let state = self.state.lock();
        state.entries.values().map(Pending::replay).collect()
    }

    /// The pending invalidation that is complete when a request for this key, sent after this call,
    /// succeeds.
    pub(crate) fn of(&self, keys: &Keys) -> Option<Replay> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        self.state
            .lock()
            .entries
            .get(&keys.data)
            .map(Pending::replay)
    }

    /// Removes a pending invalidation, because a request that was sent after `replay` was taken has
    /// succeeded. Keeps it if another write failed since. Returns whom to tell that it is removed.
    pub(crate) fn complete(&self, replay: &Replay) -> Option<Arc<Reporter>> {
        let mut state = self.state.lock();
        let data = &replay.keys.data;
        let entry = state.entries.get(data);
        let completed = if entry.is_some_and(|entry| entry.sequence == replay.sequence) {
            state.bytes -= data.len();
            state.entries.remove(data)
        } else {
            None
        };
        self.forget_what_is_over(&mut state);
        completed.map(|entry| entry.reporter)
    }

    fn forget_what_is_over(&self, state: &mut PendingState) {
        let now = Instant::now();
        state.bypassed.retain(|_, until| *until > now);
        let any = !state.entries.is_empty() || !state.bypassed.is_empty();
        self.any.store(any, Ordering::Release);
    }
}

impl PendingState {
    fn contains(&self, data: &str) -> bool {
        let mut bypassed = self.bypassed.keys();
        self.entries.contains_key(data) || bypassed.any(|prefix| data.starts_with(prefix.as_str()))
    }

    fn has_room_for(&self, keys: &Keys) -> bool {
        self.entries.len() < MAX_KEYS && self.bytes + keys.data.len() <= MAX_BYTES
    }

    /// Lasts until the last outdated entry is gone, whichever cache wrote it.
    fn bypass(&mut self, prefix: &str) -> Recorded {
        let max_ttls = self.max_ttls.iter();
        let max_ttls = max_ttls.filter(|(other, _)| overlap(other, prefix));
        let life = max_ttls.map(|(_, life)| *life).max().unwrap_or_default();
        let until = Instant::now() + life;
        if let Some(known) = self.bypassed.get_mut(prefix) {
            *known = until.max(*known);
            Recorded::PrefixKept
        } else {
            self.bypassed.insert(prefix.to_owned(), until);
            Recorded::Prefix(life)
        }
    }

    fn add(&mut self, keys: &Keys, sequence: u64, reporter: &Arc<Reporter>) -> Recorded {
        let is_first = self.entries.is_empty();
        self.bytes += keys.data.len();
        let entry = Pending {
            keys: keys.clone(),
            sequence,
            reporter: Arc::clone(reporter),
        };
        self.entries.insert(keys.data.clone(), entry);
        if is_first {
            Recorded::First
        } else {
            Recorded::Kept
        }
    }
}

/// Whether some key may begin with both prefixes.
fn overlap(one: &str, other: &str) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

impl Pending {
    fn replay(&self) -> Replay {
        Replay {
            keys: self.keys.clone(),
            sequence: self.sequence,
        }
    }
}

impl fmt::Debug for PendingState {
    /// Without the keys: they may say more than a log should.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingState")
            .field("entries", &self.entries.len())
            .field("bypassed", &self.bypassed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
