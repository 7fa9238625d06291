//! Invalidations that did not reach the store: remembered until they have been replayed.
//!
//! Guarantees that a key counts as [concerned](Remembered::concerns) from before the failed write returns until
//! an invalidation that was sent after it has succeeded; meanwhile this process does not read that key from
//! the store. Bounded: past the bound a whole prefix is concerned, for as long as an entry with it
//! could live that should be gone. Nothing is forgotten silently.
//!
//! `link.rs` fills the book and replays it. This file knows no store and no threads.

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

/// More than a process writes while it notices an outage, few enough to be replayed within a second.
const MOST: usize = 10_000;

/// For very long ids: how many bytes of keys are remembered at most.
const MOST_BYTES: usize = 16 << 20;

#[derive(Debug, Default)]
pub(crate) struct Remembered {
    /// Whether any key is concerned: all that a lookup has to look at while all is well. Written under the
    /// lock.
    any: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By data key.
    debts: HashMap<String, Debt>,
    /// Of the keys of all debts.
    bytes: usize,
    /// Prefixes of which no key may be read, and until when.
    bypassed: HashMap<String, Instant>,
    /// By prefix: the longest time for which an entry that is there now, or is filled by a load under way, can
    /// stay. Of all caches that there are or were, because what they wrote outlives them.
    lives: HashMap<String, Duration>,
    /// Counts what was remembered: each debt has the number of the latest write it stands for.
    turn: u64,
}

struct Debt {
    keys: Keys,
    turn: u64,
    /// Of the cache that remembers it.
    reporter: Arc<Reporter>,
}

/// An invalidation to be sent.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) keys: Keys,
    turn: u64,
}

/// How it was remembered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// By its key, and nothing else was.
    First,
    /// By its key.
    Kept,
    /// By its key, as it had been.
    Again,
    /// There is no room for the key: its whole prefix is bypassed, as of now, for so long.
    Prefix(Duration),
    /// It has been before.
    PrefixKept,
}

impl Remembered {
    /// Whether the store may hold something at this key that an invalidation should have ended.
    pub(crate) fn concerns(&self, data: &str) -> bool {
        // Acquire, with the Release in `remember`: who learned that a write had failed, from the thread that
        // wrote, sees what it remembered.
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let mut state = self.state.lock();
        self.forget_what_is_over(&mut state);
        state.concerns(data)
    }

    /// A cache is about to write entries that can stay for so long. Called before it does: a bypass that stands is
    /// prolonged, for what is filled now may be from before the write it stands for.
    pub(crate) fn will_live(&self, prefix: &str, life: Duration) {
        let mut state = self.state.lock();
        let known = state.lives.entry(prefix.to_owned()).or_default();
        *known = life.max(*known);
        let until = Instant::now() + life;
        for (bypassed, end) in &mut state.bypassed {
            if overlap(bypassed, prefix) {
                *end = until.max(*end);
            }
        }
    }

    /// Remembers an invalidation. Called before the write that failed returns.
    pub(crate) fn remember(&self, keys: &Keys, reporter: &Arc<Reporter>) -> Memory {
        let mut state = self.state.lock();
        state.turn += 1;
        let turn = state.turn;
        let memory = if let Some(known) = state.debts.get_mut(&keys.data) {
            known.turn = turn;
            Memory::Again
        } else if state.has_room_for(keys) {
            state.add(keys, turn, reporter)
        } else {
            state.bypass(&reporter.cache)
        };
        self.any.store(true, Ordering::Release);
        memory
    }

    /// Bypasses a whole prefix, as of now. Returns for how long, unless it was bypassed before.
    pub(crate) fn bypass(&self, prefix: &str) -> Option<Duration> {
        let mut state = self.state.lock();
        self.forget_what_is_over(&mut state);
        let memory = state.bypass(prefix);
        self.any.store(true, Ordering::Release);
        match memory {
            Memory::Prefix(lasts) => Some(lasts),
            _ => None,
        }
    }

    /// Until when this prefix is bypassed.
    pub(crate) fn bypassed_until(&self, prefix: &str) -> Option<Instant> {
        self.state.lock().bypassed.get(prefix).copied()
    }

    /// Bypasses a prefix no longer, if that was not prolonged since: whatever it was for has been ended.
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
            self.state.lock().debts.len()
        } else {
            0
        }
    }

    /// All that wait, to be replayed now.
    pub(crate) fn all(&self) -> Vec<Replay> {
        let state = self.state.lock();
        state.debts.values().map(Debt::replay).collect()
    }

    /// What an invalidation of this key, about to be sent, would settle.
    pub(crate) fn of(&self, keys: &Keys) -> Option<Replay> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        self.state.lock().debts.get(&keys.data).map(Debt::replay)
    }

    /// An invalidation that was sent after `replay` was taken has succeeded. Whatever was remembered since
    /// stays. Returns whom to tell that nothing was.
    pub(crate) fn settle(&self, replay: &Replay) -> Option<Arc<Reporter>> {
        let mut state = self.state.lock();
        let data = &replay.keys.data;
        let debt = state.debts.get(data);
        let settled = if debt.is_some_and(|debt| debt.turn == replay.turn) {
            state.bytes -= data.len();
            state.debts.remove(data)
        } else {
            None
        };
        self.forget_what_is_over(&mut state);
        settled.map(|debt| debt.reporter)
    }

    fn forget_what_is_over(&self, state: &mut State) {
        let now = Instant::now();
        state.bypassed.retain(|_, until| *until > now);
        let any = !state.debts.is_empty() || !state.bypassed.is_empty();
        self.any.store(any, Ordering::Release);
    }
}

impl State {
    fn concerns(&self, data: &str) -> bool {
        let mut bypassed = self.bypassed.keys();
        self.debts.contains_key(data) || bypassed.any(|prefix| data.starts_with(prefix.as_str()))
    }

    fn has_room_for(&self, keys: &Keys) -> bool {
        self.debts.len() < MOST && self.bytes + keys.data.len() <= MOST_BYTES
    }

    /// Until the last entry that some write should have ended is gone, whichever cache wrote it.
    fn bypass(&mut self, prefix: &str) -> Memory {
        let lives = self.lives.iter();
        let lives = lives.filter(|(other, _)| overlap(other, prefix));
        let life = lives.map(|(_, life)| *life).max().unwrap_or_default();
        let until = Instant::now() + life;
        if let Some(known) = self.bypassed.get_mut(prefix) {
            *known = until.max(*known);
            Memory::PrefixKept
        } else {
            self.bypassed.insert(prefix.to_owned(), until);
            Memory::Prefix(life)
        }
    }

    fn add(&mut self, keys: &Keys, turn: u64, reporter: &Arc<Reporter>) -> Memory {
        let is_first = self.debts.is_empty();
        self.bytes += keys.data.len();
        let debt = Debt {
            keys: keys.clone(),
            turn,
            reporter: Arc::clone(reporter),
        };
        self.debts.insert(keys.data.clone(), debt);
        if is_first {
            Memory::First
        } else {
            Memory::Kept
        }
    }
}

/// Whether a key may begin with both.
fn overlap(one: &str, other: &str) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

impl Debt {
    fn replay(&self) -> Replay {
        Replay {
            keys: self.keys.clone(),
            turn: self.turn,
        }
    }
}

impl fmt::Debug for State {
    /// Without the keys: they may say more than a log should.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("debts", &self.debts.len())
            .field("bypassed", &self.bypassed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(data: &str) -> Keys {
        Keys::of(data.to_owned())
    }

    fn remember(book: &Remembered, data: &str) -> Memory {
        book.will_live("cache:", Duration::from_millis(20));
        book.remember(
            &keys(data),
            &Arc::new(Reporter::new("cache:".to_owned(), None)),
        )
    }

    #[test]
    fn a_key_is_concerned_until_it_is_settled() {
        let book = Remembered::default();
        assert_eq!(remember(&book, "cache:a"), Memory::First);
        assert_eq!(remember(&book, "cache:b"), Memory::Kept);
        assert!(book.concerns("cache:a") && !book.concerns("cache:c"));
        book.settle(&book.of(&keys("cache:a")).unwrap());
        assert!(!book.concerns("cache:a") && book.concerns("cache:b"));
        assert_eq!(book.len(), 1);
    }

    /// The write that failed last is not settled by a request that was sent before it.
    #[test]
    fn what_is_remembered_while_a_replay_is_on_its_way_stays() {
        let book = Remembered::default();
        remember(&book, "cache:a");
        let replay = book.all().remove(0);
        remember(&book, "cache:a");
        book.settle(&replay);
        assert!(book.concerns("cache:a"));
    }

    /// Of two caches with one prefix the entries of one live longer; or some that are filled while it lasts.
    #[test]
    fn a_bypass_lasts_as_long_as_what_any_cache_may_have_written() {
        for (sooner, later) in [(60_000, 1), (1, 60_000)] {
            let book = Remembered::default();
            let life = |millis| book.will_live("cache:", Duration::from_millis(millis));
            life(sooner);
            let overflow = remember(&book, &"x".repeat(MOST_BYTES + 1));
            assert!(matches!(overflow, Memory::Prefix(_)));
            life(later);
            std::thread::sleep(Duration::from_millis(25));
            assert!(book.concerns("cache:a"));
        }
    }

    #[test]
    fn a_prefix_that_is_bypassed_concerns_all_its_keys_for_as_long_as_an_entry_can_live() {
        let book = Remembered::default();
        book.will_live("cache:", Duration::from_millis(20));
        assert_eq!(book.bypass("cache:"), Some(Duration::from_millis(20)));
        assert_eq!(book.bypass("cache:"), None);
        assert!(book.concerns("cache:a") && !book.concerns("other:a"));
        std::thread::sleep(Duration::from_millis(25));
        assert!(!book.concerns("cache:a"));
    }

    #[test]
    fn what_is_settled_leaves_room() {
        let book = Remembered::default();
        let long = "x".repeat(MOST_BYTES);
        for _ in 0..3 {
            assert_eq!(remember(&book, &long), Memory::First);
            book.settle(&book.all().remove(0));
        }
    }

    #[test]
    fn past_its_bound_a_prefix_is_concerned_for_as_long_as_an_entry_can_live() {
        let book = Remembered::default();
        for id in 0..MOST {
            remember(&book, &format!("cache:{id}"));
        }
        assert_eq!(remember(&book, "cache:0"), Memory::Again);
        let life = Duration::from_millis(20);
        assert_eq!(remember(&book, "cache:more"), Memory::Prefix(life));
        assert_eq!(remember(&book, "cache:more"), Memory::PrefixKept);
        assert!(book.concerns("cache:anything") && !book.concerns("another"));
        let long = "x".repeat(MOST_BYTES + 1);
        assert_eq!(
            remember(&Remembered::default(), &long),
            Memory::Prefix(life)
        );
        std::thread::sleep(Duration::from_millis(25));
        assert!(!book.concerns("cache:anything") && book.concerns("cache:0"));
    }
}
