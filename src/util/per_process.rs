//! A value that every process makes for itself.
//!
//! Guarantees that a process which was forked gets a new value. It neither uses nor drops the one
//! of its parent, and waits for no lock or thread of it. See [`process`](super::process) for the
//! reasons. Handles and clients are such values: all that has threads, locks or connections is in
//! them.

use std::{
    panic::{RefUnwindSafe, UnwindSafe},
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::process::OfProcess;

/// How long a thread waits before it looks again whether another one has made the value. Making it
/// sends no request, so one pause is nearly always enough.
const PAUSE: Duration = Duration::from_millis(1);

/// The value of this process, and the way to make one. A clone shares the value.
pub(crate) struct PerProcess<T>(Arc<ProcessValue<T>>);

/// The same, without keeping the value alive.
pub(crate) struct WeakPerProcess<T>(Weak<ProcessValue<T>>);

/// The value of one process in a line of ancestors.
struct ProcessValue<T> {
    value: OfProcess<T>,
    make: Arc<dyn Fn() -> T + Send + Sync>,
    /// The value of the next process. It is set only in processes to which `value` does not belong.
    next: OnceLock<Box<ProcessValue<T>>>,
    /// The id of the process of which a thread makes `next`. A fork may copy the id, but not that
    /// thread. So the id of another process counts as none.
    maker: AtomicU32,
}

// A value can be used after a panic if `T` can. A panic in `make` leaves nothing behind.
impl<T: UnwindSafe> UnwindSafe for PerProcess<T> {}
impl<T: RefUnwindSafe> RefUnwindSafe for PerProcess<T> {}

impl<T> PerProcess<T> {
    /// `make` makes the value of this process now, and that of each child at its first use. It must
    /// use no lock and no connection of the parent, and should not wait.
    pub(crate) fn new(make: impl Fn() -> T + Send + Sync + 'static) -> PerProcess<T> {
        PerProcess::with(make(), make)
    }

    /// The same with a value for this process.
    pub(crate) fn with(value: T, make: impl Fn() -> T + Send + Sync + 'static) -> PerProcess<T> {
        PerProcess(Arc::new(ProcessValue::new(value, Arc::new(make))))
    }

    pub(crate) fn get(&self) -> &T {
        self.get_at(Instant::now())
    }

    /// The same. `now`: the clock, read a moment ago.
    #[inline]
    pub(crate) fn get_at(&self, now: Instant) -> &T {
        self.0.get(now)
    }

    /// The value of the process that made this handle. Only for what never changes, such as
    /// settings: it saves a system call.
    pub(crate) fn first(&self) -> &T {
        self.0.value.peek()
    }

    pub(crate) fn downgrade(&self) -> WeakPerProcess<T> {
        WeakPerProcess(Arc::downgrade(&self.0))
    }
}

impl<T> WeakPerProcess<T> {
    /// `None`: the last handle was dropped.
    pub(crate) fn upgrade(&self) -> Option<PerProcess<T>> {
        self.0.upgrade().map(PerProcess)
    }
}

impl<T> Clone for PerProcess<T> {
    fn clone(&self) -> PerProcess<T> {
        PerProcess(Arc::clone(&self.0))
    }
}

impl<T> ProcessValue<T> {
    fn new(value: T, make: Arc<dyn Fn() -> T + Send + Sync>) -> ProcessValue<T> {
        ProcessValue {
            value: OfProcess::new(value),
            make,
            next: OnceLock::new(),
            maker: AtomicU32::new(0),
        }
    }

    #[inline]
    fn get(&self, now: Instant) -> &T {
        // If there is a next one, this value belongs to an ancestor, even if its process id has
        // been assigned again.
        if self.next.get().is_none()
            && let Some(value) = self.value.get(now)
        {
            return value;
        }
        self.of_child(now)
    }

    #[cold]
    #[inline(never)]
    fn of_child(&self, now: Instant) -> &T {
        loop {
            if let Some(next) = self.next.get() {
                return next.get(now);
            }
            self.make_next();
        }
    }

    /// Makes the next value, or pauses if another thread is making it.
    ///
    /// This is not `OnceLock::get_or_init`. If the process forks during that call, its child waits
    /// for ever: the lock is taken by a thread that the child does not have.
    fn make_next(&self) {
        let here = std::process::id();
        let before = self.maker.load(Ordering::Acquire);
        let is_mine = before != here
            && self
                .maker
                .compare_exchange(before, here, Ordering::AcqRel, Ordering::Acquire)
                .is_ok();
        if !is_mine {
            thread::sleep(PAUSE);
            return;
        }
        let _making = Making(&self.maker);
        // Another thread may have made it before this one became the maker.
        if self.next.get().is_none() {
            let next = ProcessValue::new((self.make)(), Arc::clone(&self.make));
            let _ = self.next.set(Box::new(next));
        }
    }
}

/// The right to make the next value. Its drop gives the right back, even if `make` panics.
struct Making<'a>(&'a AtomicU32);

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::{
            Barrier,
            atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        },
    };

    use super::*;
    use crate::util::process::tests::inherited;

    /// A handle that was inherited from another process, and how often a value was made since.
    fn handle() -> (PerProcess<usize>, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let make: Arc<dyn Fn() -> usize + Send + Sync> =
            Arc::new(move || counted.fetch_add(1, SeqCst) + 1);
        let generation = ProcessValue {
            value: inherited(0),
            ..ProcessValue::new(0, make)
        };
        (PerProcess(Arc::new(generation)), count)
    }

    #[test]
    fn a_process_keeps_the_value_that_it_has_made() {
        let made = AtomicUsize::new(0);
        let handle = PerProcess::new(move || made.fetch_add(1, SeqCst));
        assert_eq!([*handle.get(), *handle.clone().get()], [0, 0]);
    }

    #[test]
    fn the_threads_of_a_child_make_one_value_for_all_of_them() {
        let (handle, count) = handle();
        let all = Barrier::new(8);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    all.wait();
                    assert_eq!(*handle.get(), 1);
                });
            }
        });
        assert_eq!((count.load(SeqCst), *handle.first()), (1, 0));
    }

    #[test]
    fn a_value_that_a_thread_of_another_process_was_making_is_made() {
        let (handle, _) = handle();
        // Longer than any process id of Linux.
        handle.0.maker.store(u32::MAX, SeqCst);
        assert_eq!(*handle.get(), 1);
    }

    #[test]
    fn a_panic_while_a_value_is_made_does_not_keep_the_next_call_from_making_it() {
        let has_panicked = AtomicBool::new(false);
        let make: Arc<dyn Fn() -> usize + Send + Sync> = Arc::new(move || {
            assert!(has_panicked.swap(true, SeqCst), "the first time");
            7
        });
        let generation = ProcessValue {
            value: inherited(0),
            ..ProcessValue::new(0, make)
        };
        let handle = PerProcess(Arc::new(generation));
        assert!(catch_unwind(AssertUnwindSafe(|| *handle.get())).is_err());
        assert_eq!(*handle.get(), 7);
    }
}
