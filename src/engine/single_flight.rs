//! The loads under way in this process, and the threads that wait for them.
//!
//! Guarantees that a call ends in exactly one of two ways, it *lands* with an outcome or it is
//! *abandoned*, and that either wakes everyone who waits for it, also when its leader panics. Called by the
//! read path. Knows nothing of Redis, leases or records: a call is found under whatever key it was
//! started with.
//!
//! The shape is that of Go's `singleflight`, with one difference that matters: there is no "join whatever
//! is pending for this key". The read path announces a call under the *token of its lease*, and follows it only
//! when Redis named that token; see `lookup/`.
//!
//! # Lock order
//!
//! There are two kinds of locks, a shard of the table and the state of one call. No thread ever holds two
//! locks of this file, and no lock is held while anything is loaded or sent.

use std::{
    collections::{HashMap, hash_map::Entry, hash_map::RandomState},
    hash::{BuildHasher, Hash},
    mem,
    sync::Arc,
};

use crate::util::{
    sync::{Condvar, Instant, Mutex, ThreadId, thread},
    wakeup::{Subscribers, Wakeup},
};

/// More shards than any machine has cores that would all miss in the same microsecond.
const SHARDS: usize = 16;

/// The calls of one cache, by key.
#[derive(Debug)]
pub(crate) struct SingleFlight<K, T> {
    shards: [Mutex<HashMap<K, Arc<Call<T>>>>; SHARDS],
    hasher: RandomState,
}

/// One load under way.
#[derive(Debug)]
pub(crate) struct Call<T> {
    /// Taken before the loader runs: what was written before this instant, the load sees.
    started: Instant,
    /// Whose loader it is.
    leader: ThreadId,
    /// Left once, from `Pending` to one of the others.
    state: Mutex<CallState<T>>,
    /// Notified, under no lock, after the state was left.
    ended: Condvar,
}

#[derive(Debug)]
enum CallState<T> {
    Pending(Subscribers),
    Done(T),
    Abandoned,
}

/// How a wait for a call ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum WaitOutcome<T> {
    Done(T),
    /// The leader panicked, or got no lease.
    Abandoned,
    /// The deadline passed first.
    TimedOut,
}

/// The right and the duty to end a call. Dropped before [`land`](Leader::land), it abandons the call, so
/// that a panic strands nobody. Dropped in any case, it takes the call out of the table.
#[derive(Debug)]
pub(crate) struct Leader<'a, K: Eq + Hash, T> {
    table: &'a SingleFlight<K, T>,
    key: K,
    call: Arc<Call<T>>,
}

impl<K: Eq + Hash + Clone, T: Clone> SingleFlight<K, T> {
    pub(crate) fn new() -> SingleFlight<K, T> {
        SingleFlight {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
        }
    }

    /// Announces a call under a key nobody else uses.
    pub(crate) fn start(&self, key: K) -> Leader<'_, K, T> {
        let call = Arc::new(Call::new());
        let replaced = {
            let mut shard = self.shard(&key).lock();
            shard.insert(key.clone(), Arc::clone(&call))
        };
        // What a call came to is dropped under no lock.
        drop(replaced);
        Leader {
            table: self,
            key,
            call,
        }
    }

    /// Announces a call, unless one is pending under this key already; then that one.
    pub(crate) fn start_or_find<Q>(&self, key: &Q) -> Result<Leader<'_, K, T>, Arc<Call<T>>>
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let key = key.to_owned();
        let call = {
            let mut shard = self.shard(&key).lock();
            match shard.entry(key.clone()) {
                Entry::Occupied(found) => return Err(Arc::clone(found.get())),
                Entry::Vacant(free) => Arc::clone(free.insert(Arc::new(Call::new()))),
            }
        };
        Ok(Leader {
            table: self,
            key,
            call,
        })
    }
}

impl<K: Eq + Hash, T> SingleFlight<K, T> {
    /// The call under this key, if there is one.
    pub(crate) fn find(&self, key: &K) -> Option<Arc<Call<T>>> {
        self.shard(key).lock().get(key).map(Arc::clone)
    }

    fn shard(&self, key: &K) -> &Mutex<HashMap<K, Arc<Call<T>>>> {
        let hash = self.hasher.hash_one(key);
        &self.shards[usize::from(hash.to_be_bytes()[0]) % SHARDS]
    }
}

impl<T> Call<T> {
    fn new() -> Call<T> {
        Call {
            started: Instant::now(),
            leader: thread::current().id(),
            state: Mutex::new(CallState::Pending(Subscribers::default())),
            ended: Condvar::new(),
        }
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Whether waiting for this call would be waiting for oneself.
    pub(crate) fn is_led_by_this_thread(&self) -> bool {
        self.leader == thread::current().id()
    }

    fn end(&self, how: CallState<T>) {
        let subscribers = {
            let mut state = self.state.lock();
            let CallState::Pending(subscribers) = &mut *state else {
                return;
            };
            let subscribers = mem::take(subscribers);
            *state = how;
            subscribers
        };
        // A waiter looks at the state under its lock and goes to sleep in the same step that frees the
        // lock. So it either saw the new state, or was asleep before the state changed and is woken here.
        self.ended.notify_all();
        subscribers.notify();
    }

    /// Notifies `wakeup` with this number when the call ends: at once if it has ended already.
    pub(crate) fn subscribe(&self, wakeup: &Arc<Wakeup>, number: usize) {
        let mut state = self.state.lock();
        // Under the lock: a call that ends after this sees the subscriber.
        if let CallState::Pending(subscribers) = &mut *state {
            subscribers.add(wakeup, number);
        } else {
            drop(state);
            wakeup.notify(number);
        }
    }
}

impl<T: Clone> Call<T> {
    /// Waits for the call's end, until `deadline` at the latest. Doesn't wait when the call has ended.
    pub(crate) fn wait_until(&self, deadline: Instant) -> WaitOutcome<T> {
        let mut state = self.state.lock();
        loop {
            match &*state {
                CallState::Done(outcome) => return WaitOutcome::Done(outcome.clone()),
                CallState::Abandoned => return WaitOutcome::Abandoned,
                // The loop is for wake-ups without a reason, and looks once more after the deadline.
                CallState::Pending(_) if Instant::now() >= deadline => {
                    return WaitOutcome::TimedOut;
                }
                CallState::Pending(_) => {
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

    /// Hands the outcome to everyone who waits, and to whoever finds the call in the table until the
    /// leader leaves it.
    pub(crate) fn complete(&self, outcome: T) {
        self.call.end(CallState::Done(outcome));
    }

    /// Takes the call out of the table: nobody finds it any more, those who wait for it go on waiting.
    pub(crate) fn unregister(&self) {
        let mut shard = self.table.shard(&self.key).lock();
        // Having left before, another call may fly under this key now.
        if shard
            .get(&self.key)
            .is_some_and(|call| Arc::ptr_eq(call, &self.call))
        {
            shard.remove(&self.key);
        }
    }
}

impl<K: Eq + Hash, T> Drop for Leader<'_, K, T> {
    fn drop(&mut self) {
        // Left first: a follower who is woken by the end must not find this call once more.
        self.unregister();
        self.call.end(CallState::Abandoned);
    }
}
