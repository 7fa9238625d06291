//! Invalidations that did not reach the store: remembered until they have been replayed.
//!
//! Guarantees that a key counts as [pending](PendingInvalidations::why) from before the failed
//! write returns until a later invalidation has succeeded. Meanwhile this process does not read
//! that key from the store. The memory is bounded. Beyond the bound a whole prefix is pending, for
//! as long as an outdated entry with that prefix can live. Nothing is forgotten silently.
//!
//! Called by the client to the store, which adds invalidations and replays them. This file knows no
//! store and no threads.

mod cause;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use self::cause::PendingError;
use crate::util::sync::Mutex;
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
}

#[derive(Default)]
struct PendingState {
    /// By data key.
    entries: HashMap<String, Pending>,
    /// The total length of the keys of all entries.
    bytes: usize,
    /// Prefixes whose keys must not be read.
    bypassed: HashMap<String, Bypass>,
    /// By prefix, the longest time that an entry can stay: one that is stored now, or one that a
    /// running load fills. Includes caches that no longer exist, because their entries outlive
    /// them.
    max_ttls: HashMap<String, Duration>,
    /// Counts the failed writes. Each entry has the number of its latest failed write.
    sequence: u64,
}

struct Bypass {
    until: Instant,
    why: PendingError,
}

struct Pending {
    keys: Keys,
    sequence: u64,
    /// Belongs to the cache whose write failed.
    reporter: Arc<Reporter>,
}

/// An invalidation to send.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) keys: Keys,
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
        let mut state = self.state.lock();
        let known = state.max_ttls.entry(prefix.to_owned()).or_default();
        *known = life.max(*known);
        let until = Instant::now() + life;
        for (bypassed, bypass) in &mut state.bypassed {
            if overlap(bypassed, prefix) {
                bypass.until = until.max(bypass.until);
            }
        }
    }

    /// Records an invalidation. Call it before the failed write returns.
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
            state.bypass(&reporter.prefix, PendingError::TooMany)
        };
        self.any.store(true, Ordering::Release);
        recorded
    }

    /// Bypasses a whole prefix from now on, because a `clear` did not finish. Returns for how long,
    /// or `None` if it was bypassed before.
    pub(crate) fn bypass(&self, prefix: &str) -> Option<Duration> {
        let mut state = self.state.lock();
        self.forget_what_is_over(&mut state);
        let recorded = state.bypass(prefix, PendingError::Clear);
        self.any.store(true, Ordering::Release);
        match recorded {
            Recorded::Prefix(lasts) => Some(lasts),
            _ => None,
        }
    }

    /// The instant until which this prefix is bypassed.
    pub(crate) fn bypassed_until(&self, prefix: &str) -> Option<Instant> {
        self.state.lock().until(prefix)
    }

    /// Ends the bypass of a prefix, because its outdated entries have been deleted. Does nothing if
    /// the bypass was prolonged in the meantime.
    pub(crate) fn lift(&self, prefix: &str, until: Option<Instant>) {
        let mut state = self.state.lock();
        if until.is_some() && state.until(prefix) == until {
            state.bypassed.remove(prefix);
            self.forget_what_is_over(&mut state);
        }
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
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        self.state
            .lock()
            .entries
            .get(&keys.data)
            .map(Pending::replay)
    }

    /// Removes a pending invalidation after a successful request. The request must have been sent
    /// after `replay` was taken. Keeps the invalidation if another write has failed since. If it
    /// was removed, returns the reporter to notify.
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
        state.bypassed.retain(|_, bypass| bypass.until > now);
        let any = !state.entries.is_empty() || !state.bypassed.is_empty();
        self.any.store(any, Ordering::Release);
    }
}

impl PendingState {
    fn why(&self, data: &str) -> Option<PendingError> {
        if self.entries.contains_key(data) {
            return Some(PendingError::Record);
        }
        let mut bypassed = self.bypassed.iter();
        let bypassed = bypassed.find(|(prefix, _)| data.starts_with(prefix.as_str()));
        bypassed.map(|(_, bypass)| bypass.why)
    }

    fn until(&self, prefix: &str) -> Option<Instant> {
        self.bypassed.get(prefix).map(|bypass| bypass.until)
    }

    fn has_room_for(&self, keys: &Keys) -> bool {
        self.entries.len() < MAX_KEYS && self.bytes + keys.data.len() <= MAX_BYTES
    }

    /// Bypasses a prefix until the last outdated entry has expired, whichever cache wrote it.
    fn bypass(&mut self, prefix: &str, why: PendingError) -> Recorded {
        let max_ttls = self.max_ttls.iter();
        let max_ttls = max_ttls.filter(|(other, _)| overlap(other, prefix));
        let life = max_ttls.map(|(_, life)| *life).max().unwrap_or_default();
        let until = Instant::now() + life;
        if let Some(known) = self.bypassed.get_mut(prefix) {
            known.until = until.max(known.until);
            Recorded::PrefixKept
        } else {
            let bypass = Bypass { until, why };
            self.bypassed.insert(prefix.to_owned(), bypass);
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

/// Whether any key can begin with both prefixes.
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
    /// Leaves out the keys, because they may contain data that a log must not show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingState")
            .field("entries", &self.entries.len())
            .field("bypassed", &self.bypassed.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
