//! Flights: the loads under way in this process, and who waits for them.
//!
//! Guarantees that a flight ends in exactly one of two ways, it *lands* with an outcome or it is
//! *abandoned*, and that either wakes everyone who waits for it, also when its leader panics. Called by the
//! read path. Knows nothing of Redis, leases or records: a flight is found under whatever key it was
//! announced with.
//!
//! The shape is that of Go's `singleflight`, with one difference that matters: there is no "join whatever
//! flies for this key". The read path announces a flight under the *token of its lease*, and follows it only
//! when Redis named that token; see `lookup/`.
//!
//! # Lock order
//!
//! There are two kinds of locks, a shard of the table and the state of one flight. No thread ever holds two
//! locks of this file, and no lock is held while anything is loaded or sent.

use std::{
    collections::{HashMap, hash_map::Entry, hash_map::RandomState},
    hash::{BuildHasher, Hash},
    sync::Arc,
};

use crate::util::sync::{Condvar, Instant, Mutex, ThreadId, thread};

/// More shards than any machine has cores that would all miss in the same microsecond.
const SHARDS: usize = 16;

/// The flights of one cache, by key.
#[derive(Debug)]
pub(crate) struct Flights<K, T> {
    shards: [Mutex<HashMap<K, Arc<Flight<T>>>>; SHARDS],
    hasher: RandomState,
}

/// One load under way.
#[derive(Debug)]
pub(crate) struct Flight<T> {
    /// Taken before the loader runs: what was written before this instant, the load sees.
    announced: Instant,
    /// Whose loader it is.
    leader: ThreadId,
    /// Left once, from `Airborne` to one of the others.
    state: Mutex<State<T>>,
    /// Notified, under no lock, after the state was left.
    ended: Condvar,
}

#[derive(Debug)]
enum State<T> {
    Airborne,
    Landed(T),
    Abandoned,
}

/// How a wait for a flight ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival<T> {
    Landed(T),
    /// The leader panicked, or got no lease.
    Abandoned,
    /// The deadline passed first.
    TimedOut,
}

/// The right and the duty to end a flight. Dropped before [`land`](Leader::land), it abandons the flight, so
/// that a panic strands nobody. Dropped in any case, it takes the flight out of the table.
#[derive(Debug)]
pub(crate) struct Leader<'a, K: Eq + Hash, T> {
    table: &'a Flights<K, T>,
    key: K,
    flight: Arc<Flight<T>>,
}

impl<K: Eq + Hash + Clone, T: Clone> Flights<K, T> {
    pub(crate) fn new() -> Flights<K, T> {
        Flights {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
        }
    }

    /// Announces a flight under a key nobody else uses.
    pub(crate) fn announce(&self, key: K) -> Leader<'_, K, T> {
        let flight = Arc::new(Flight::new());
        let replaced = {
            let mut shard = self.shard(&key).lock();
            shard.insert(key.clone(), Arc::clone(&flight))
        };
        // What a flight came to is dropped under no lock.
        drop(replaced);
        Leader {
            table: self,
            key,
            flight,
        }
    }

    /// Announces a flight, unless one flies under this key already; then that one.
    pub(crate) fn announce_or_find<Q>(&self, key: &Q) -> Result<Leader<'_, K, T>, Arc<Flight<T>>>
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let key = key.to_owned();
        let flight = {
            let mut shard = self.shard(&key).lock();
            match shard.entry(key.clone()) {
                Entry::Occupied(found) => return Err(Arc::clone(found.get())),
                Entry::Vacant(free) => Arc::clone(free.insert(Arc::new(Flight::new()))),
            }
        };
        Ok(Leader {
            table: self,
            key,
            flight,
        })
    }
}

impl<K: Eq + Hash, T> Flights<K, T> {
    /// The flight under this key, if there is one.
    pub(crate) fn find(&self, key: &K) -> Option<Arc<Flight<T>>> {
        self.shard(key).lock().get(key).map(Arc::clone)
    }

    fn shard(&self, key: &K) -> &Mutex<HashMap<K, Arc<Flight<T>>>> {
        let hash = self.hasher.hash_one(key);
        &self.shards[usize::from(hash.to_be_bytes()[0]) % SHARDS]
    }
}

impl<T> Flight<T> {
    fn new() -> Flight<T> {
        Flight {
            announced: Instant::now(),
            leader: thread::current().id(),
            state: Mutex::new(State::Airborne),
            ended: Condvar::new(),
        }
    }

    pub(crate) fn announced(&self) -> Instant {
        self.announced
    }

    /// Whether waiting for this flight would be waiting for oneself.
    pub(crate) fn is_led_by_this_thread(&self) -> bool {
        self.leader == thread::current().id()
    }

    fn end(&self, how: State<T>) {
        {
            let mut state = self.state.lock();
            if !matches!(*state, State::Airborne) {
                return;
            }
            *state = how;
        }
        // A waiter looks at the state under its lock and goes to sleep in the same step that frees the
        // lock. So it either saw the new state, or was asleep before the state changed and is woken here.
        self.ended.notify_all();
    }
}

impl<T: Clone> Flight<T> {
    /// Waits for the flight's end, until `deadline` at the latest. Doesn't wait when the flight has ended.
    pub(crate) fn wait_until(&self, deadline: Instant) -> Arrival<T> {
        let mut state = self.state.lock();
        loop {
            match &*state {
                State::Landed(outcome) => return Arrival::Landed(outcome.clone()),
                State::Abandoned => return Arrival::Abandoned,
                // The loop is for wake-ups without a reason, and looks once more after the deadline.
                State::Airborne if Instant::now() >= deadline => return Arrival::TimedOut,
                State::Airborne => {
                    state = self.ended.wait_until(state, deadline);
                }
            }
        }
    }
}

impl<K: Eq + Hash, T> Leader<'_, K, T> {
    pub(crate) fn key(&self) -> &K {
        &self.key
    }

    /// Hands the outcome to everyone who waits, and to whoever finds the flight in the table until the
    /// leader leaves it.
    pub(crate) fn land(&self, outcome: T) {
        self.flight.end(State::Landed(outcome));
    }

    /// Takes the flight out of the table: nobody finds it any more, those who wait for it go on waiting.
    pub(crate) fn leave(&self) {
        let mut shard = self.table.shard(&self.key).lock();
        // Having left before, another flight may fly under this key now.
        if shard
            .get(&self.key)
            .is_some_and(|flight| Arc::ptr_eq(flight, &self.flight))
        {
            shard.remove(&self.key);
        }
    }
}

impl<K: Eq + Hash, T> Drop for Leader<'_, K, T> {
    fn drop(&mut self) {
        // Left first: a follower who is woken by the end must not find this flight once more.
        self.leave();
        self.flight.end(State::Abandoned);
    }
}
