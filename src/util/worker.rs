//! A thread of this crate, or a few that share their work: how they start, wait, are woken and
//! stop.
//!
//! Guarantees four things:
//!
//! - A [`Worker`] has at most one thread, or as many as it was made for. A further one is started
//!   only if there is work and no thread waits.
//! - The threads miss no change of the worker's state.
//! - The drop of the worker stops the threads and waits for nothing. A thread ends by itself,
//!   after its current task: that may wait for a network or a resolver, or run user code, such as
//!   an observer, which may wait for a lock that the dropping thread holds.
//! - In a process that was forked from the one that made the worker, there is no thread, and none
//!   is started.
//!
//! Knows nothing of what its threads do. The retry worker, the lease renewer and the loader threads
//! start on demand. Listeners and watchers start theirs at once.
//!
//! No user code runs under its lock: the closures that run there are this crate's, and change plain
//! data.

mod stop;

use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use self::stop::{Stopped, ThreadEnd};
use super::{
    process::{OfProcess, OtherProcess},
    random::shortened,
    sync::{Condvar, Mutex},
};

/// The handle of a thread, and of the state that callers share with it. Dropping it stops the
/// thread.
pub(crate) struct Worker<S = ()> {
    shared: OfProcess<Arc<SharedWorker<S>>>,
}

/// What the thread does until it must stop.
type Run<S> = dyn Fn(&WorkerContext<S>) + Send + Sync;

struct SharedWorker<S> {
    name: &'static str,
    /// The largest number of threads.
    most: usize,
    run: Box<Run<S>>,
    context: WorkerContext<S>,
}

/// What the thread sees of its worker.
pub(crate) struct WorkerContext<S = ()> {
    /// Invariant: every change that the thread waits for is made under this lock. If the thread
    /// must see the change at once, a notification of `changed` follows.
    locked: Mutex<Locked<S>>,
    /// Notified with no lock held.
    changed: Condvar,
    /// Notified, with no lock held, when a thread has ended.
    ended: Condvar,
}

#[derive(Default)]
struct Locked<S> {
    state: S,
    is_stopping: bool,
    /// None until a thread is needed, and after a failed attempt to start it.
    threads: usize,
    /// How many of them wait.
    idle: usize,
    /// How many of the idle ones have been notified and do not run yet.
    woken: usize,
}

/// What a thread does next, decided from the state of its worker.
pub(crate) enum Next<T> {
    Run(T),
    WaitUntil(Instant),
    /// Wait until the state changes.
    Wait,
}

impl<S: Default + Send + 'static> Worker<S> {
    /// Creates a worker without a thread. The first [update](Worker::update) starts it.
    pub(crate) fn new(
        name: &'static str,
        run: impl Fn(&WorkerContext<S>) + Send + Sync + 'static,
    ) -> Worker<S> {
        Worker::with_threads(name, 1, run)
    }

    /// Creates a worker with up to `most` threads, which all do `run`.
    pub(crate) fn with_threads(
        name: &'static str,
        most: usize,
        run: impl Fn(&WorkerContext<S>) + Send + Sync + 'static,
    ) -> Worker<S> {
        Worker {
            shared: OfProcess::new(Arc::new(SharedWorker {
                name,
                most,
                run: Box::new(run),
                context: WorkerContext {
                    locked: Mutex::default(),
                    changed: Condvar::new(),
                    ended: Condvar::new(),
                },
            })),
        }
    }

    /// Changes the state, and starts a thread if it is needed. `change` runs under the lock. It
    /// returns whether a thread must see the change at once.
    ///
    /// Fails if there is no thread and none can be started. The change is kept, and the next update
    /// tries again. Also fails, and changes nothing, in another process than that of the worker,
    /// and after [`stop`](Worker::stop).
    pub(crate) fn update(&self, change: impl FnOnce(&mut S) -> bool) -> io::Result<()> {
        let Some(shared) = self.shared.get(Instant::now()) else {
            return Err(io::Error::other(OtherProcess));
        };
        let context = &shared.context;
        let (must_wake, started) = {
            let mut locked = context.locked.lock();
            if locked.is_stopping {
                return Err(io::Error::other(Stopped));
            }
            let must_wake = change(&mut locked.state);
            (
                must_wake,
                Worker::start_if_needed(shared, &mut locked, must_wake),
            )
        };
        if must_wake {
            context.changed.notify_one();
        }
        started
    }

    /// Changes the state, and starts and wakes no thread. `change` runs under the lock. Does
    /// nothing in another process than that of the worker.
    pub(crate) fn change(&self, change: impl FnOnce(&mut S)) {
        if let Some(shared) = self.shared.get(Instant::now()) {
            change(&mut shared.context.locked.lock().state);
        }
    }

    /// Called under the lock, so only one of two callers starts a thread.
    fn start_if_needed(
        shared: &Arc<SharedWorker<S>>,
        locked: &mut Locked<S>,
        must_wake: bool,
    ) -> io::Result<()> {
        if must_wake && locked.idle > locked.woken {
            locked.woken += 1;
            return Ok(());
        }
        if locked.threads > 0 && (!must_wake || locked.threads >= shared.most) {
            return Ok(());
        }
        match Worker::start_one(shared) {
            Ok(()) => locked.threads += 1,
            // The threads that run do the work, later.
            Err(_) if locked.threads > 0 => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn start_one(shared: &Arc<SharedWorker<S>>) -> io::Result<()> {
        #[cfg(test)]
        tests::start_is_allowed()?;
        let shared = Arc::clone(shared);
        let builder = thread::Builder::new().name(shared.name.to_owned());
        let run = move || {
            let _end = ThreadEnd(&shared.context);
            (shared.run)(&shared.context);
        };
        builder.spawn(run).map(drop)
    }
}

impl Worker {
    /// Starts the thread, unless it was started before. Fails if no thread can be started; the next
    /// call tries again.
    pub(crate) fn start_thread(&self) -> io::Result<()> {
        self.update(|()| false)
    }

    /// Starts the thread at once. Its only state is whether it must stop.
    pub(crate) fn start(
        name: &'static str,
        run: impl Fn(&WorkerContext) + Send + Sync + 'static,
    ) -> io::Result<Worker> {
        let worker = Worker::new(name, run);
        worker.start_thread()?;
        Ok(worker)
    }
}

impl<S> WorkerContext<S> {
    pub(crate) fn is_stopping(&self) -> bool {
        self.locked.lock().is_stopping
    }

    /// Waits until `next` has something to run. `None`: the thread must stop.
    ///
    /// `next` runs under the lock: at the start, after each change, and when a wait ends.
    pub(crate) fn wait_for<T>(&self, mut next: impl FnMut(&mut S) -> Next<T>) -> Option<T> {
        let mut locked = self.locked.lock();
        // No wake-up is lost: a change needs the lock, and this thread releases the lock only by
        // waiting. So it either sees the change here, or is woken by the notification.
        while !locked.is_stopping {
            match next(&mut locked.state) {
                Next::Run(task) => return Some(task),
                wait => {
                    locked.idle += 1;
                    locked = match wait {
                        Next::WaitUntil(until) => self.changed.wait_until(locked, until),
                        _ => self.changed.wait(locked),
                    };
                    locked.idle -= 1;
                    locked.woken = locked.woken.saturating_sub(1);
                }
            }
        }
        None
    }

    /// Pauses for `pause`, shortened at random. Returns whether the thread must stop.
    pub(crate) fn pause(&self, pause: Duration) -> bool {
        self.pause_until(Instant::now() + shortened(pause))
    }

    /// Pauses until `until`. Returns whether the thread must stop.
    pub(crate) fn pause_until(&self, until: Instant) -> bool {
        let next = |_: &mut S| {
            if Instant::now() < until {
                Next::WaitUntil(until)
            } else {
                Next::Run(())
            }
        };
        self.wait_for(next).is_none()
    }

    /// Changes the state from the thread itself. So no thread needs to be woken.
    pub(crate) fn update(&self, change: impl FnOnce(&mut S)) {
        change(&mut self.locked.lock().state);
    }
}

/// Runs user code, such as a store, a logger or an observer, and contains its panic, so that later
/// work still happens. `None`: it panicked. It may succeed the next time.
pub(crate) fn contain_panic<T>(task: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(task)).ok()
}

impl<S> Drop for Worker<S> {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.get(Instant::now()) {
            shared.context.locked.lock().is_stopping = true;
            shared.context.changed.notify_all();
        }
    }
}

/// The system has no thread for a worker: its limit of threads is reached.
#[derive(Debug, thiserror::Error)]
#[error("no thread could be started to {purpose}")]
pub(crate) struct NoThread {
    pub(crate) purpose: &'static str,
    #[source]
    pub(crate) error: io::Error,
}

impl<S> fmt::Debug for Worker<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Worker")
            .field(&self.shared.peek().name)
            .finish()
    }
}

#[cfg(test)]
pub(crate) mod tests;
