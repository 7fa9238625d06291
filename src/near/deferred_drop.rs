//! Drops records that leave the near cache, while no lock is held.
//!
//! Called by the near cache. The `Drop` of a record is user code and may use the cache. Such a drop
//! could deadlock under a lock of the near cache, or on the thread that reports a lost change
//! stream. So it is deferred:
//!
//! - The inserting thread drops the records that its insert evicts, after the lock is released
//!   ([`Evicted`]).
//! - A separate thread drops the records of a full clear ([`Discarded`]). A caller of `clear` may
//!   hold locks, or may be the thread that reads changes, which must not stop.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
};

use parking_lot::Mutex;
use quick_cache::Lifecycle;

use crate::{record::any::AnyRecord, util::postponed::Postponed};

/// Makes the near cache keep the evicted records until its lock is released.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DropUnlocked;

/// The records that one insert has evicted. By default, `quick_cache` hands over two records, and
/// drops the others under its lock.
pub(crate) struct Evicted<E> {
    /// Nearly always there is only this one. It needs no allocation.
    first: Option<(String, E)>,
    others: Vec<(String, E)>,
}

impl<E> Default for Evicted<E> {
    fn default() -> Evicted<E> {
        Evicted {
            first: None,
            others: Vec::new(),
        }
    }
}

impl<E> Lifecycle<String, E> for DropUnlocked {
    type RequestState = Evicted<E>;

    #[inline]
    fn on_evict(&self, evicted: &mut Evicted<E>, key: String, entry: E) {
        if evicted.first.is_none() {
            evicted.first = Some((key, entry));
        } else {
            evicted.others.push((key, entry));
        }
    }
}

/// Drops evicted records and catches their panics. A panic that escapes would end the thread that
/// reads changes. During an unwinding it would abort the process. The remaining records would not
/// be dropped.
pub(crate) fn drop_contained<T>(evicted: T) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(evicted)));
}

/// Records that were removed all at once.
#[derive(Default)]
pub(crate) struct Discarded {
    left: Arc<Mutex<Vec<AnyRecord>>>,
    /// Whether records are left because no thread could be started.
    postponed: Postponed,
}

impl Discarded {
    /// Drops these records later. Runs no user code, so it may be called under a lock.
    pub(crate) fn discard(&self, records: Vec<AnyRecord>) {
        if !records.is_empty() {
            self.left.lock().extend(records);
            self.start_thread();
        }
    }

    /// Drops the records that are left because no thread could be started. Costs one atomic load if
    /// there are none.
    #[inline]
    pub(crate) fn discard_postponed(&self) {
        if self.postponed.is_due() {
            self.start_thread();
        }
    }

    /// Without a thread the records stay until a lookup tries again. Nothing is logged, because a
    /// logger is user code too.
    fn start_thread(&self) {
        let left = Arc::clone(&self.left);
        let thread = thread::Builder::new().name("cache-aside-discard".to_owned());
        let started = thread.spawn(move || {
            let records = mem::take(&mut *left.lock());
            records.into_iter().for_each(drop_contained);
        });
        self.postponed.record(started.is_err());
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Weak,
            atomic::{AtomicUsize, Ordering::SeqCst},
            mpsc,
        },
        time::{Duration, Instant},
    };

    use super::*;
    use crate::near::{Accepts, Near, liveness::StreamLiveness};

    const LONG: Duration = Duration::from_secs(600);

    /// A near cache whose records read it when they are dropped.
    struct Both {
        near: Near,
        liveness: StreamLiveness,
        dropped: AtomicUsize,
    }

    struct Looking(Weak<Both>);

    impl Drop for Looking {
        fn drop(&mut self) {
            if let Some(both) = self.0.upgrade() {
                // Fills all shards, including the one whose lock may be held.
                for id in 0..32 {
                    both.find(&id.to_string());
                }
                both.dropped.fetch_add(1, SeqCst);
            }
        }
    }

    impl Both {
        fn new(capacity: usize) -> Arc<Both> {
            let liveness = StreamLiveness::new();
            liveness.confirm(Instant::now() + LONG);
            Arc::new(Both {
                near: Near::new(capacity, LONG),
                liveness,
                dropped: AtomicUsize::new(0),
            })
        }

        fn find(&self, id: &str) -> bool {
            let found = self
                .near
                .find(&self.liveness, id, Instant::now(), Accepts::Any, None);
            found.is_ok()
        }

        fn put(self: &Arc<Both>, id: usize) {
            let (id, now) = (id.to_string(), Instant::now());
            if let Err(Some(placeholder)) =
                self.near.find(&self.liveness, &id, now, Accepts::Any, None)
            {
                placeholder.fill(
                    Some(AnyRecord::new(Looking(Arc::downgrade(self)))),
                    LONG,
                    Duration::ZERO,
                );
            }
        }
    }

    /// Calls `run` on a separate thread. A deadlock fails the test.
    fn ends(run: impl FnOnce() + Send + 'static) {
        let (done, is_done) = mpsc::channel();
        thread::spawn(move || {
            run();
            done.send(()).unwrap();
        });
        let waited = is_done.recv_timeout(Duration::from_secs(20));
        waited.expect("it ends, and does not wait for itself");
    }

    #[test]
    fn records_that_look_into_the_near_cache_are_dropped_by_a_clear() {
        for capacity in [100, 5000] {
            let both = Both::new(capacity);
            (0..90).for_each(|id| both.put(id));
            let cleared = Arc::clone(&both);
            ends(move || {
                cleared.liveness.start_epoch();
                cleared.near.clear();
            });
            let deadline = Instant::now() + Duration::from_secs(20);
            while both.dropped.load(SeqCst) < 90 {
                assert!(Instant::now() < deadline, "all are dropped, at some time");
                thread::yield_now();
            }
        }
    }

    #[test]
    fn records_that_look_into_the_near_cache_are_dropped_one_by_one() {
        let both = Both::new(100);
        ends(move || {
            for id in 0..1000 {
                both.put(id);
                both.near.evict(&(id / 2).to_string());
            }
            assert!(both.dropped.load(SeqCst) > 800);
        });
    }

    /// If records return soon after their eviction, `quick_cache` lets them exceed their share.
    /// When another record returns, one insert evicts many of them.
    #[test]
    fn none_of_many_records_that_one_insert_evicts_is_dropped_under_the_lock() {
        const MOST: usize = 1000;
        let (both, most_at_once) = (Both::new(MOST), Arc::new(AtomicUsize::new(0)));
        let most = Arc::clone(&most_at_once);
        ends(move || {
            for round in 0..4 {
                // The cache is full, and remembers the earlier evictions.
                for id in 0..2 * MOST {
                    both.put(id);
                }
                (0..2 * MOST).for_each(|id| both.near.evict(&(2 * id).to_string()));
                for id in (0..2 * MOST).rev() {
                    both.put(id);
                    both.find(&(id + round).to_string());
                    let before = both.dropped.load(SeqCst);
                    both.put(10 * MOST + id);
                    most.fetch_max(both.dropped.load(SeqCst) - before, SeqCst);
                }
            }
        });
        assert!(most_at_once.load(SeqCst) > 2, "the test has its case");
    }

    #[test]
    fn a_record_that_panics_when_it_is_dropped_does_not_stop_the_other_drops() {
        static DROPPED: AtomicUsize = AtomicUsize::new(0);
        struct Panics;
        impl Drop for Panics {
            fn drop(&mut self) {
                DROPPED.fetch_add(1, SeqCst);
                panic!("the record's own");
            }
        }
        let discarded = Discarded::default();
        discarded.discard((0..5).map(|_| AnyRecord::new(Panics)).collect());
        let deadline = Instant::now() + Duration::from_secs(20);
        while DROPPED.load(SeqCst) < 5 {
            assert!(Instant::now() < deadline);
            thread::yield_now();
        }
    }
}
