//! A value for each few threads, so that threads do not contend when they count.
//!
//! The statistics of a cache use it. The choice of the value for a thread is arbitrary, and two
//! threads may share one. So `T` must be safe to share. This file knows nothing about `T`.

use std::{
    cell::Cell,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
};

use crossbeam_utils::CachePadded;

/// Most machines have fewer cores than this. Each shard takes 128 bytes.
const MOST: usize = 64;

/// Shards per core. With one shard per core, two of eight threads that run on two cores would share
/// a shard half the time.
const FOR_EACH_CORE: usize = 4;

thread_local! {
    /// The number of the thread, assigned at its first call. 0: not yet assigned.
    static NUMBER: Cell<usize> = const { Cell::new(0) };
}

/// The shards. Their number is a power of two, and each has its own cache lines.
#[derive(Debug)]
pub(crate) struct Shards<T>(Box<[CachePadded<T>]>);

impl<T: Default> Default for Shards<T> {
    fn default() -> Shards<T> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let count = (FOR_EACH_CORE * cores).next_power_of_two().min(MOST);
        Shards((0..count).map(|_| CachePadded::default()).collect())
    }
}

impl<T> Shards<T> {
    /// The value of the calling thread.
    #[inline]
    pub(crate) fn own(&self) -> &T {
        let number = match NUMBER.get() {
            0 => number_this_thread(),
            number => number,
        };
        &self.0[number & (self.0.len() - 1)]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|shard| &**shard)
    }
}

#[cold]
fn number_this_thread() -> usize {
    static LATEST: AtomicUsize = AtomicUsize::new(0);
    let number = LATEST.fetch_add(1, Relaxed).wrapping_add(1);
    NUMBER.set(number);
    number
}

#[cfg(test)]
mod tests {
    use std::{ptr, sync::Barrier};

    use super::*;

    #[test]
    fn a_thread_always_has_the_same_and_no_two_lie_in_one_cache_line() {
        let shards = Shards::<AtomicUsize>::default();
        let both = Barrier::new(2);
        let own = || {
            both.wait();
            let own = ptr::from_ref(shards.own()).addr();
            assert_eq!(ptr::from_ref(shards.own()).addr(), own);
            own
        };
        let (one, other) = thread::scope(|scope| {
            let (one, other) = (scope.spawn(own), scope.spawn(own));
            (one.join().unwrap(), other.join().unwrap())
        });
        // Threads of other tests may take numbers in between.
        assert!(one == other || one.abs_diff(other) >= 64);
    }
}
