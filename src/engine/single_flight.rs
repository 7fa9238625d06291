//! The loads under way in this process, and the threads that wait for them.
//!
//! Guarantees that a call ends in exactly one of two ways: it is *done*, with an outcome, or it is
//! *abandoned*. Either end wakes every thread that waits for the call, also if the leader panics.
//! Called by the read path. Knows nothing of Redis, leases or records: a call is identified by the
//! key with which it was started.
//!
//! It resembles Go's `singleflight`, with one important difference: a lookup does not join any call
//! that is pending for its record. The read path starts a call under the *token of its lease*. It
//! follows a call only if Redis named the token of that call; see `read/`.
//!
//! # Lock order
//!
//! There are three kinds of locks: one for each shard of the table, and for each call one for its
//! state and one for its leader. No thread holds two locks of this file at once. No lock is held
//! during a load or a request.
//!
//! No user code runs under any of them. An outcome holds a user's record or error. Under a
//! lock it is only moved, or its handle is cloned; it is dropped after the lock.

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

/// It is rare that more threads than this miss in the same microsecond.
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
    /// Taken before the loader runs. So the load sees everything that was written before this
    /// instant.
    started: Instant,
    /// The thread that runs the loader. `None`: it will be another thread than the one that started
    /// the call.
    leader: Mutex<Option<ThreadId>>,
    /// Identifies the record that it loads: a hash by the hasher of its table.
    record: u64,
    /// Changes once, from `Pending` to another state.
    state: Mutex<CallState<T>>,
    /// Notified, with no lock held, after that change.
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
    /// The leader panicked, or did not get the lease.
    Abandoned,
    /// The deadline passed before the call ended.
    TimedOut,
}

/// The right and the duty to end a call. Dropping it removes the call from the table. If the call
/// is not [complete](Leader::complete) by then, the drop abandons it, so that no thread waits for
/// ever after a panic.
#[derive(Debug)]
pub(crate) struct Leader<'a, K: Eq + Hash, T> {
    table: &'a SingleFlight<K, T>,
    key: K,
    call: Arc<Call<T>>,
    /// Another thread leads the call, or will.
    is_detached: bool,
}

impl<K: Eq + Hash + Clone, T: Clone> SingleFlight<K, T> {
    pub(crate) fn new() -> SingleFlight<K, T> {
        SingleFlight {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
        }
    }

    /// Starts a call that loads `record`, under a key that no other call has.
    pub(crate) fn start(&self, key: K, record: &str) -> Leader<'_, K, T> {
        let call = Arc::new(Call::new(self.hasher.hash_one(record)));
        let replaced = {
            let mut shard = self.shard(&key).lock();
            shard.insert(key.clone(), Arc::clone(&call))
        };
        // Dropped with no lock held: dropping an outcome may run user code.
        drop(replaced);
        Leader {
            table: self,
            key,
            call,
            is_detached: false,
        }
    }

    /// Starts a call that loads `record`. If one is already pending under this key, returns that
    /// one. It may load [another](SingleFlight::loads) record.
    pub(crate) fn start_or_find<Q>(
        &self,
        key: &Q,
        record: &str,
    ) -> Result<Leader<'_, K, T>, Arc<Call<T>>>
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let key = key.to_owned();
        let call = {
            let mut shard = self.shard(&key).lock();
            match shard.entry(key.clone()) {
                Entry::Occupied(found) => return Err(Arc::clone(found.get())),
                Entry::Vacant(free) => {
                    let call = Call::new(self.hasher.hash_one(record));
                    Arc::clone(free.insert(Arc::new(call)))
                }
            }
        };
        Ok(Leader {
            table: self,
            key,
            call,
            is_detached: false,
        })
    }
}

impl<K: Eq + Hash, T> SingleFlight<K, T> {
    /// The call under this key, if there is one.
    pub(crate) fn find(&self, key: &K) -> Option<Arc<Call<T>>> {
        self.shard(key).lock().get(key).map(Arc::clone)
    }

    /// Whether a call of this table loads `record`. A store that names one token for two records
    /// would otherwise give the record of one to the other.
    pub(crate) fn loads(&self, call: &Call<T>, record: &str) -> bool {
        call.record == self.hasher.hash_one(record)
    }

    /// Takes over a call of this table that another thread has [detached](Leader::detach).
    pub(crate) fn attach(&self, (key, call): DetachedCall<K, T>) -> Leader<'_, K, T> {
        *call.leader.lock() = Some(thread::current().id());
        Leader {
            table: self,
            key,
            call,
            is_detached: false,
        }
    }

    fn shard(&self, key: &K) -> &Mutex<HashMap<K, Arc<Call<T>>>> {
        let hash = self.hasher.hash_one(key);
        &self.shards[usize::from(hash.to_be_bytes()[0]) % SHARDS]
    }
}

impl<T> Call<T> {
    fn new(record: u64) -> Call<T> {
        Call {
            started: Instant::now(),
            leader: Mutex::new(Some(thread::current().id())),
            record,
            state: Mutex::new(CallState::Pending(Subscribers::default())),
            ended: Condvar::new(),
        }
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Whether the calling thread would wait for itself if it waited for this call.
    pub(crate) fn is_led_by_this_thread(&self) -> bool {
        *self.leader.lock() == Some(thread::current().id())
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
        // No wake-up is lost: a waiter reads the state under its lock, and its wait releases the
        // lock atomically. So the waiter either saw the new state, or was already waiting when the
        // state changed, and is woken here.
        self.ended.notify_all();
        subscribers.notify();
    }

    /// Notifies `wakeup` with this number when the call ends. Does so at once if it has ended
    /// already.
    pub(crate) fn subscribe(&self, wakeup: &Arc<Wakeup>, number: usize) {
        let mut state = self.state.lock();
        // Under the lock, so that a call that ends later sees this subscriber.
        if let CallState::Pending(subscribers) = &mut *state {
            subscribers.add(wakeup, number);
        } else {
            drop(state);
            wakeup.notify(number);
        }
    }
}

impl<T: Clone> Call<T> {
    /// Waits for the end of the call, but not beyond `deadline`. Returns at once if it has ended.
    pub(crate) fn wait_until(&self, deadline: Instant) -> WaitOutcome<T> {
        let mut state = self.state.lock();
        loop {
            match &*state {
                CallState::Done(outcome) => return WaitOutcome::Done(outcome.clone()),
                CallState::Abandoned => return WaitOutcome::Abandoned,
                // The loop ignores spurious wake-ups, and reads the state once more after the
                // deadline.
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

/// A call without a leader. It must be [attached](SingleFlight::attach) again, or its followers
/// wait until their deadlines.
pub(crate) type DetachedCall<K, T> = (K, Arc<Call<T>>);

impl<K: Eq + Hash + Clone, T> Leader<'_, K, T> {
    /// Lets go of the call without ending it, so that another thread can lead it.
    pub(crate) fn detach(mut self) -> DetachedCall<K, T> {
        self.is_detached = true;
        *self.call.leader.lock() = None;
        (self.key.clone(), Arc::clone(&self.call))
    }
}

impl<K: Eq + Hash, T> Leader<'_, K, T> {
    pub(crate) fn key(&self) -> &K {
        &self.key
    }

    pub(crate) fn call(&self) -> Arc<Call<T>> {
        Arc::clone(&self.call)
    }

    /// Gives the outcome to every waiting thread. Threads that find the call in the table later
    /// also get it, until the call is [unregistered](Leader::unregister).
    pub(crate) fn complete(&self, outcome: T) {
        self.call.end(CallState::Done(outcome));
    }

    /// Removes the call from the table, so that no other thread finds it. Threads that already wait
    /// for it continue to wait.
    pub(crate) fn unregister(&self) {
        let mut shard = self.table.shard(&self.key).lock();
        // If the call was removed before, another call may now have this key.
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
        if self.is_detached {
            return;
        }
        // Removed first: a follower that is woken must not find this call again.
        self.unregister();
        self.call.end(CallState::Abandoned);
    }
}
