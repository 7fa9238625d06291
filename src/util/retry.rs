//! The retry worker: one thread that repeats a task until it succeeds.
//!
//! Guarantees that after a [call](RetryWorker::call) the task is run, again and again with growing pauses, until it
//! says that all is well; nobody waits for it meanwhile. The thread is started by the first call, sleeps
//! while there is none, and is joined on drop. What the task is, `client.rs` knows.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::random::shortened;

/// The pause before the first try. What was a hiccup is over by then.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// Dropped, it stops the thread and joins it.
pub(crate) struct RetryWorker {
    shared: Arc<RetryShared>,
}

struct RetryShared {
    /// True: all is well.
    task: Box<dyn Fn() -> bool + Send + Sync>,
    longest_pause: Duration,
    state: Mutex<RetryState>,
    /// Notified, under no lock, after the state was changed.
    wake: Condvar,
}

#[derive(Default)]
struct RetryState {
    /// Set after that which is to be mended.
    called: bool,
    stopped: bool,
    thread: Option<JoinHandle<()>>,
}

impl RetryWorker {
    pub(crate) fn new(
        longest_pause: Duration,
        task: impl Fn() -> bool + Send + Sync + 'static,
    ) -> RetryWorker {
        RetryWorker {
            shared: Arc::new(RetryShared {
                task: Box::new(task),
                longest_pause,
                state: Mutex::default(),
                wake: Condvar::new(),
            }),
        }
    }

    /// There is something to mend. Fails where there is no thread to do it; the next call tries again.
    pub(crate) fn call(&self) -> io::Result<()> {
        {
            let mut state = self.shared.state.lock();
            state.called = true;
            if state.thread.is_none() {
                let shared = Arc::clone(&self.shared);
                let thread = thread::Builder::new().name("cache-aside-recovery".to_owned());
                state.thread = Some(thread.spawn(move || shared.run())?);
            }
        }
        // No wake-up is lost: the thread reads `called` under the lock before it sleeps.
        self.shared.wake.notify_one();
        Ok(())
    }
}

impl RetryShared {
    fn run(&self) {
        let mut state = self.state.lock();
        loop {
            while !state.called && !state.stopped {
                self.wake.wait(&mut state);
            }
            // Before the task: what is called for while that runs is called for anew.
            state.called = false;
            let mut pause = FIRST_PAUSE.min(self.longest_pause);
            loop {
                let until = Instant::now() + shortened(pause);
                while !state.stopped && !self.wake.wait_until(&mut state, until).timed_out() {}
                if state.stopped {
                    return;
                }
                drop(state);
                // A store of the user's that panics is not well; the next try may find it so.
                let done = catch_unwind(AssertUnwindSafe(|| (self.task)())).unwrap_or(false);
                state = self.state.lock();
                if done {
                    break;
                }
                pause = (2 * pause).min(self.longest_pause);
            }
        }
    }
}

impl Drop for RetryWorker {
    fn drop(&mut self) {
        let thread = {
            let mut state = self.shared.state.lock();
            state.stopped = true;
            state.thread.take()
        };
        self.shared.wake.notify_one();
        if let Some(thread) = thread
            // An observer that drops the last cache does so on this very thread, which ends after it.
            && thread.thread().id() != thread::current().id()
        {
            // The thread ends after what it is doing. Had it panicked, there would be nobody to tell.
            let _ = thread.join();
        }
    }
}
