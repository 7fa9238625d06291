//! A thread of ours: how it starts, waits, is woken, stops and is joined.
//!
//! Guarantees that a [`Worker`] has one thread at most, that a change of its state is never missed
//! by the thread, and that the thread has ended when the drop of the worker returns. The exception
//! is a worker that its own thread drops: then the thread ends afterwards.
//!
//! Knows nothing of what its thread does. `retry.rs` and the lease renewer start theirs on demand;
//! listeners and watchers start theirs at once.

use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::random::shortened;

/// The handle of a thread, and of the state that callers share with it. Its drop stops the thread
/// and joins it.
pub(crate) struct Worker<S = ()> {
    shared: Arc<Shared<S>>,
}

/// What a thread does until it is to stop.
type Run<S> = dyn Fn(&WorkerContext<S>) + Send + Sync;

struct Shared<S> {
    name: &'static str,
    run: Box<Run<S>>,
    context: WorkerContext<S>,
}

/// What the thread sees of its worker.
pub(crate) struct WorkerContext<S = ()> {
    /// Invariant: what the thread waits for changes only under this lock, and a notification of
    /// `changed` follows each change that the thread has to see at once.
    locked: Mutex<Locked<S>>,
    /// Notified under no lock.
    changed: Condvar,
}

#[derive(Default)]
struct Locked<S> {
    state: S,
    is_stopping: bool,
    /// `None` until the thread is wanted, and after an attempt to start it that failed.
    thread: Option<JoinHandle<()>>,
}

/// What a thread does next, by the state of its worker.
pub(crate) enum Next<T> {
    Run(T),
    WaitUntil(Instant),
    /// Until the state changes.
    Wait,
}

impl<S: Default + Send + 'static> Worker<S> {
    /// A worker without a thread. The first [update](Worker::update) starts it.
    pub(crate) fn new(
        name: &'static str,
        run: impl Fn(&WorkerContext<S>) + Send + Sync + 'static,
    ) -> Worker<S> {
        Worker {
            shared: Arc::new(Shared {
                name,
                run: Box::new(run),
                context: WorkerContext {
                    locked: Mutex::default(),
                    changed: Condvar::new(),
                },
            }),
        }
    }

    /// Changes the state, and starts the thread if there is none. `change` runs under the lock. It
    /// returns whether the thread has to see the change at once.
    ///
    /// Fails where no thread can be started. The change is kept, and the next update tries again.
    pub(crate) fn update(&self, change: impl FnOnce(&mut S) -> bool) -> io::Result<()> {
        let context = &self.shared.context;
        let (must_wake, started) = {
            let mut locked = context.locked.lock();
            let must_wake = change(&mut locked.state);
            (must_wake, self.start_once(&mut locked.thread))
        };
        if must_wake {
            context.changed.notify_one();
        }
        started
    }

    /// Called under the lock, so that of two callers only one starts the thread.
    fn start_once(&self, thread: &mut Option<JoinHandle<()>>) -> io::Result<()> {
        if thread.is_none() {
            let shared = Arc::clone(&self.shared);
            let builder = thread::Builder::new().name(shared.name.to_owned());
            *thread = Some(builder.spawn(move || (shared.run)(&shared.context))?);
        }
        Ok(())
    }
}

impl Worker {
    /// Starts a thread at once. It has no state but whether it is to stop.
    pub(crate) fn start(
        name: &'static str,
        run: impl Fn(&WorkerContext) + Send + Sync + 'static,
    ) -> io::Result<Worker> {
        let worker = Worker::new(name, run);
        worker.update(|()| false)?;
        Ok(worker)
    }
}

impl<S> WorkerContext<S> {
    pub(crate) fn is_stopping(&self) -> bool {
        self.locked.lock().is_stopping
    }

    /// Waits until `next` has something to run. `None`: the thread is to stop.
    ///
    /// `next` runs under the lock: at first, after each change, and when a wait ends.
    pub(crate) fn wait_for<T>(&self, mut next: impl FnMut(&mut S) -> Next<T>) -> Option<T> {
        let mut locked = self.locked.lock();
        // No wake-up is lost: a change is made under the lock, which is free only while the thread
        // already waits. So the thread sees the change here, or the notification ends its wait.
        while !locked.is_stopping {
            match next(&mut locked.state) {
                Next::Run(task) => return Some(task),
                Next::WaitUntil(until) => {
                    self.changed.wait_until(&mut locked, until);
                }
                Next::Wait => self.changed.wait(&mut locked),
            }
        }
        None
    }

    /// Pauses, for a time that is shortened at random. Returns whether the thread is to stop.
    pub(crate) fn pause(&self, pause: Duration) -> bool {
        self.pause_until(Instant::now() + shortened(pause))
    }

    /// Pauses until then. Returns whether the thread is to stop.
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

    /// Changes the state, by the thread itself. So it wakes no thread.
    pub(crate) fn update(&self, change: impl FnOnce(&mut S)) {
        change(&mut self.locked.lock().state);
    }
}

/// Runs code of the program's, such as its store, logger or observer, where a panic must not end
/// what comes after. `None`: it panicked. It may succeed the next time.
pub(crate) fn contain_panic<T>(task: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(task)).ok()
}

impl<S> Drop for Worker<S> {
    fn drop(&mut self) {
        let context = &self.shared.context;
        let thread = {
            let mut locked = context.locked.lock();
            locked.is_stopping = true;
            locked.thread.take()
        };
        context.changed.notify_one();
        if let Some(thread) = thread
            // An observer may drop the last cache on this very thread, which cannot join itself.
            && thread.thread().id() != thread::current().id()
        {
            // It ends after what it is doing. If it panicked, there is nobody to tell.
            let _ = thread.join();
        }
    }
}

impl<S> fmt::Debug for Worker<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Worker").field(&self.shared.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver};

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    /// A worker that sends each number of its state, and panics at a 0.
    fn sender() -> (Worker<Vec<u32>>, Receiver<u32>) {
        let (sender, sent) = mpsc::channel();
        let worker = Worker::new("test", move |context: &WorkerContext<Vec<u32>>| {
            let next = |numbers: &mut Vec<u32>| numbers.pop().map_or(Next::Wait, Next::Run);
            while let Some(number) = context.wait_for(next) {
                let _ = contain_panic(|| {
                    assert_ne!(number, 0, "the task's own");
                    let _ = sender.send(number);
                });
            }
        });
        (worker, sent)
    }

    fn push(worker: &Worker<Vec<u32>>, number: u32) {
        let pushed = worker.update(|numbers| {
            numbers.push(number);
            true
        });
        pushed.unwrap();
    }

    #[test]
    fn the_first_update_starts_the_thread_and_each_one_wakes_it() {
        let (worker, sent) = sender();
        assert!(worker.shared.context.locked.lock().thread.is_none());
        for number in 1..1000 {
            push(&worker, number);
            assert_eq!(sent.recv_timeout(LONG), Ok(number));
        }
    }

    #[test]
    fn a_panic_of_a_task_does_not_end_the_thread() {
        let (worker, sent) = sender();
        push(&worker, 0);
        push(&worker, 1);
        assert_eq!(sent.recv_timeout(LONG), Ok(1));
    }

    #[test]
    fn a_drop_returns_when_the_thread_has_ended() {
        let alive = Arc::new(());
        let held = Arc::clone(&alive);
        let (paused, is_paused) = mpsc::channel();
        let worker = Worker::start("test", move |context| {
            assert_eq!(Arc::strong_count(&held), 2);
            paused.send(()).unwrap();
            assert!(context.pause(600 * LONG));
            assert!(context.is_stopping());
        });
        is_paused.recv_timeout(LONG).unwrap();
        let began = Instant::now();
        drop(worker.unwrap());
        assert!(began.elapsed() < LONG);
        assert_eq!(Arc::strong_count(&alive), 1, "nothing holds it any more");
    }

    #[test]
    fn a_worker_that_its_own_thread_drops_ends_afterwards() {
        let (to_thread, handed_over) = mpsc::channel::<Worker>();
        let (ended, has_ended) = mpsc::channel();
        let handed_over = Mutex::new(handed_over);
        let worker = Worker::start("test", move |context| {
            drop(handed_over.lock().recv_timeout(LONG).unwrap());
            ended.send(context.pause(600 * LONG)).unwrap();
        });
        to_thread.send(worker.unwrap()).unwrap();
        assert_eq!(has_ended.recv_timeout(LONG), Ok(true), "it is told to stop");
    }
}
