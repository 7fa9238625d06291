//! Prefixes whose records are not read, because any of them may be outdated.
//!
//! Guarantees that a prefix stays bypassed until each of its outdated entries must have expired, or
//! until a `clear` that began later has deleted them. A `clear` that failed is due again. The
//! client repeats it: see `client/clear.rs`.
//!
//! Too many pending invalidations also bypass a prefix. They make no `clear` due: it would delete
//! keys of other programs that the caller did not ask to delete. If the caller clears the prefix,
//! that ends this bypass too.
//!
//! Called under the lock of the pending invalidations.

use std::{
    collections::HashMap,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::{PendingInvalidations, Recorded, cause::PendingError};

#[derive(Default)]
pub(super) struct Bypasses {
    by_prefix: HashMap<String, Bypass>,
    /// By prefix, the longest time that an entry can stay: one that is stored now, or one that a
    /// running load fills. Includes caches that no longer exist, because their entries outlive
    /// them.
    max_ttls: HashMap<String, Duration>,
}

struct Bypass {
    until: Instant,
    why: PendingError,
    /// The number of the latest failure that makes it necessary.
    sequence: u64,
    /// When the `clear` may be repeated. `None` if no `clear` failed.
    clear_at: Option<Instant>,
}

impl Bypasses {
    pub(super) fn is_empty(&self) -> bool {
        self.by_prefix.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.by_prefix.len()
    }

    /// When the first bypass ends by itself.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.by_prefix.values().map(|bypass| bypass.until).min()
    }

    /// Prolongs the bypasses of this prefix for new entries that can stay for as long as `life`.
    pub(super) fn record_max_ttl(&mut self, prefix: &str, life: Duration) {
        let known = self.max_ttls.entry(prefix.to_owned()).or_default();
        *known = life.max(*known);
        let until = Instant::now() + life;
        for (bypassed, bypass) in &mut self.by_prefix {
            if overlap(bypassed, prefix) {
                bypass.until = until.max(bypass.until);
            }
        }
    }

    /// Bypasses a prefix until the last outdated entry has expired, whichever cache wrote it.
    pub(super) fn add(&mut self, prefix: &str, why: PendingError, sequence: u64) -> Recorded {
        let max_ttls = self.max_ttls.iter();
        let max_ttls = max_ttls.filter(|(other, _)| overlap(other, prefix));
        let life = max_ttls.map(|(_, life)| *life).max().unwrap_or_default();
        let now = Instant::now();
        let (until, clear_at) = (now + life, (why == PendingError::Clear).then_some(now));
        if let Some(known) = self.by_prefix.get_mut(prefix) {
            known.until = until.max(known.until);
            known.sequence = sequence;
            if clear_at.is_some() {
                (known.why, known.clear_at) = (why, clear_at);
            }
            return Recorded::PrefixKept;
        }
        let bypass = Bypass {
            until,
            why,
            sequence,
            clear_at,
        };
        self.by_prefix.insert(prefix.to_owned(), bypass);
        Recorded::Prefix(life)
    }

    /// Why the record at this key is bypassed.
    pub(super) fn why(&self, data: &str) -> Option<PendingError> {
        let mut all = self.by_prefix.iter();
        let found = all.find(|(prefix, _)| data.starts_with(prefix.as_str()));
        found.map(|(_, bypass)| bypass.why)
    }

    /// Ends the bypasses whose outdated entries a `clear` of this prefix has deleted: those of
    /// longer prefixes too, but none with a failure after `began`.
    pub(super) fn lift(&mut self, prefix: &str, began: u64) {
        self.by_prefix
            .retain(|bypassed, bypass| !bypassed.starts_with(prefix) || bypass.sequence > began);
    }

    /// Ends all bypasses, and returns their prefixes.
    pub(super) fn take(&mut self) -> Vec<String> {
        let mut prefixes: Vec<_> = self.by_prefix.drain().map(|(prefix, _)| prefix).collect();
        prefixes.sort();
        prefixes
    }

    pub(super) fn remove_expired(&mut self) {
        let now = Instant::now();
        self.by_prefix.retain(|_, bypass| bypass.until > now);
    }

    /// The prefixes whose `clear` failed; only those that may be repeated `by` this instant. A
    /// short prefix comes before the longer ones that its `clear` includes.
    pub(super) fn clears(&self, by: Option<Instant>) -> Vec<String> {
        let mut prefixes: Vec<_> = self
            .by_prefix
            .iter()
            .filter(|(_, bypass)| {
                bypass
                    .clear_at
                    .is_some_and(|at| by.is_none_or(|by| at <= by))
            })
            .map(|(prefix, _)| prefix.clone())
            .collect();
        prefixes.sort_by_key(String::len);
        prefixes
    }

    pub(super) fn needs_clear(&self, prefix: &str) -> bool {
        let bypass = self.by_prefix.get(prefix);
        bypass.is_some_and(|bypass| bypass.clear_at.is_some())
    }

    /// Keeps the `clear` of this prefix from being repeated before `at`.
    pub(super) fn defer_clear(&mut self, prefix: &str, at: Instant) {
        if let Some(bypass) = self.by_prefix.get_mut(prefix) {
            bypass.clear_at = bypass.clear_at.map(|_| at);
        }
    }
}

impl PendingInvalidations {
    /// The prefixes whose failed `clear` is to be repeated now.
    pub(crate) fn due_clears(&self) -> Vec<String> {
        self.clears(Some(Instant::now()))
    }

    /// Whether any failed `clear` is to be repeated, now or later.
    pub(crate) fn has_clears(&self) -> bool {
        !self.clears(None).is_empty()
    }

    fn clears(&self, by: Option<Instant>) -> Vec<String> {
        if !self.any.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut state = self.state.lock();
        self.forget_what_is_over(&mut state);
        state.bypasses.clears(by)
    }

    /// Whether the failed `clear` of this prefix is still to be repeated.
    pub(crate) fn needs_clear(&self, prefix: &str) -> bool {
        let mut state = self.state.lock();
        self.forget_what_is_over(&mut state);
        state.bypasses.needs_clear(prefix)
    }

    /// Keeps the `clear` of this prefix from being repeated before `at`.
    pub(crate) fn defer_clear(&self, prefix: &str, at: Instant) {
        self.state.lock().bypasses.defer_clear(prefix, at);
    }
}

/// Whether any key can begin with both prefixes.
fn overlap(one: &str, other: &str) -> bool {
    one.starts_with(other) || other.starts_with(one)
}
