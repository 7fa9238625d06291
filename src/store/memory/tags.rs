//! Tags in this process, with their clocks and floors.
//!
//! Guarantees what [`TaggedStore`] requires. One lock is held for each step on tags, and no other
//! lock under it. Called through [`TaggedStore`].

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{MemoryStore, clock::StoreClock};
use crate::store::{
    Entry, Failure, Store, TagClock, TagKeys, TagValues, TaggedStore, TtlRemaining, token::Token,
};

/// Below this number of values, a sweep costs more than the memory that it would free.
const LEAST_SWEEP: usize = 64;

/// The clocks, the tags and the floors, by their keys.
pub(super) struct Tags(Mutex<TagTable>);

impl Tags {
    pub(super) fn new(time: &StoreClock) -> Tags {
        Tags(Mutex::new(TagTable {
            time: time.clone(),
            ..TagTable::default()
        }))
    }
}

#[derive(Default)]
struct TagTable {
    time: StoreClock,
    values: HashMap<String, StoredClock>,
    /// When each floor lapses.
    floors: HashMap<String, Instant>,
    /// The next sweep of lapsed values happens at this number of values.
    sweep_at: usize,
}

#[derive(Clone, Copy)]
struct StoredClock {
    value: TagClock,
    until: Instant,
}

impl TagTable {
    fn live(&self, key: &str) -> Option<TagClock> {
        let standing = self.values.get(key);
        let standing = standing.filter(|standing| self.time.now() < standing.until);
        standing.map(|standing| standing.value)
    }

    /// Sets a value. No step shortens its life.
    fn put(&mut self, key: &str, value: TagClock, life: Duration) {
        let now = self.time.now();
        if self.values.len() >= self.sweep_at.max(LEAST_SWEEP) {
            self.values.retain(|_, standing| now < standing.until);
            self.floors.retain(|_, until| now < *until);
            self.sweep_at = 2 * self.values.len();
        }
        let before = self.values.get(key).map(|standing| standing.until);
        let until = before.map_or(now + life, |until| until.max(now + life));
        let standing = StoredClock { value, until };
        self.values.insert(key.to_owned(), standing);
    }

    fn clock(&self, keys: &TagKeys) -> TagClock {
        self.live(&keys.clock)
            .unwrap_or_else(|| TagClock::begin(new_epoch()))
    }

    /// Reads the values. Missing ones live for `life`, and with `keeps` all others do too.
    fn read(&mut self, keys: &TagKeys, life: Duration, keeps: bool) -> TagValues {
        let clock = self.clock(keys);
        let mut read = |key: &str| {
            let known = self.live(key).filter(|value| value.has_epoch_of(clock));
            if keeps || known.is_none() {
                self.put(key, known.unwrap_or(clock), life);
            }
            known.unwrap_or(clock)
        };
        read(&keys.clock);
        let tags = keys.tags.iter().map(|key| read(key)).collect();
        let floor = self.floors.get(&keys.floor);
        TagValues {
            clock,
            tags,
            has_floor: floor.is_some_and(|until| self.time.now() < *until),
        }
    }

    fn invalidate(&mut self, keys: &TagKeys, life: Duration, lag: Option<Duration>) {
        let clock = self.clock(keys).next();
        for key in keys.tags.iter().chain([&keys.clock]) {
            self.put(key, clock, life);
        }
        if let Some(lag) = lag {
            let until = self.time.now() + lag;
            let floor = self.floors.entry(keys.floor.clone()).or_insert(until);
            *floor = until.max(*floor);
        }
    }
}

/// Different from every other epoch.
fn new_epoch() -> u128 {
    let token = Token::random();
    let digits = token.as_bytes().iter();
    let digit = |byte: &u8| u128::from((*byte as char).to_digit(16).unwrap_or_default());
    digits.fold(0, |epoch, byte| epoch << 4 | digit(byte))
}

impl TaggedStore for MemoryStore {
    fn read_tags(&self, tags: &TagKeys, life: Duration) -> Result<TagValues, Failure> {
        self.outage.check()?;
        Ok(self.tags.0.lock().read(tags, life, false))
    }

    fn read_under_tags(
        &self,
        data: &str,
        with_ttl: bool,
        tags: &TagKeys,
        life: Duration,
    ) -> Result<(Entry, TtlRemaining, TagValues), Failure> {
        // The one request that may be told to fail.
        let (entry, left) = self.read_with_ttl(data)?;
        let values = self.tags.0.lock().read(tags, life, false);
        let left = if with_ttl { left } else { TtlRemaining::NoTtl };
        Ok((entry, left, values))
    }

    fn keep_tags(&self, tags: &TagKeys, life: Duration) -> Result<(), Failure> {
        self.outage.check()?;
        self.tags.0.lock().read(tags, life, true);
        Ok(())
    }

    fn invalidate_tags(
        &self,
        tags: &TagKeys,
        life: Duration,
        lag: Option<Duration>,
    ) -> Result<(), Failure> {
        self.outage.check()?;
        self.tags.0.lock().invalidate(tags, life, lag);
        for key in &tags.tags {
            self.listeners.tell_tag(key);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lapsed_values_are_swept_even_if_no_step_uses_them() {
        let mut table = TagTable::default();
        let tag = |name: &str| TagKeys::of("test", &[name]).unwrap();
        let long = Duration::from_secs(600);
        for id in 0..100 {
            table.read(&tag(&format!("live {id}")), long, false);
        }
        for id in 0..10_000 {
            let lapsed = tag(&format!("lapsed {id}"));
            table.invalidate(&lapsed, Duration::ZERO, Some(Duration::ZERO));
            let held = table.values.len();
            assert!(held <= 4 * 100 + LEAST_SWEEP, "{held} held, 100 live");
        }
    }

    #[test]
    fn two_epochs_differ() {
        assert_ne!(new_epoch(), new_epoch());
    }
}
