//! Until when tags are known to live in the store.
//!
//! Guarantees nothing: a tag that ends too early costs loads, and a second request to keep it costs
//! a round trip. So the table is small, and tags that share a place in it do no harm. Called when
//! an entry was filled.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::util::limits::millis;

/// Programs use few tags at a time; others are kept once more.
const PLACES: usize = 1 << 12;

#[derive(Default)]
pub(crate) struct TagLives(OnceLock<Table>);

struct Table {
    base: Instant,
    hasher: RandomState,
    /// In milliseconds since `base`, and a part of the hash.
    until: Box<[AtomicU64]>,
}

/// How many bits of a place tell which tag it belongs to.
const TAG_BITS: u32 = 16;

impl TagLives {
    /// Whether this tag is known to live for `time` from now.
    pub(super) fn lasts(&self, key: &str, time: Duration) -> bool {
        let Some(table) = self.0.get() else {
            return false;
        };
        let (place, tag) = table.place(key);
        let kept = place.load(Relaxed);
        kept & MASK == tag && table.at(time) <= kept >> TAG_BITS
    }

    /// Records that this tag lives for `time` from now, at least.
    pub(super) fn record(&self, key: &str, time: Duration) {
        let table = self.0.get_or_init(Table::new);
        let (place, tag) = table.place(key);
        // Rounded down: the request was sent before this.
        place.store(table.at(time.mul_f64(0.9)) << TAG_BITS | tag, Relaxed);
    }
}

const MASK: u64 = (1 << TAG_BITS) - 1;

impl Table {
    fn new() -> Table {
        Table {
            base: Instant::now(),
            hasher: RandomState::new(),
            until: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    fn place(&self, key: &str) -> (&AtomicU64, u64) {
        let hash = self.hasher.hash_one(key);
        let at = usize::try_from(hash % PLACES as u64).unwrap_or_default();
        (&self.until[at], hash >> (64 - TAG_BITS))
    }

    fn at(&self, from_now: Duration) -> u64 {
        // Ten years are less than 2^39 milliseconds.
        millis(self.base.elapsed() + from_now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_known_to_live_for_nearly_as_long_as_it_was_kept() {
        let lives = TagLives::default();
        let minute = Duration::from_secs(60);
        assert!(!lives.lasts("a", Duration::ZERO));
        lives.record("a", minute);
        assert!(lives.lasts("a", minute / 2) && !lives.lasts("a", minute));
        assert!(!lives.lasts("b", Duration::ZERO));
    }
}
