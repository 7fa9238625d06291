//! The end of a thread of ours: how it is told, and how long it may sleep until then.

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::random::shortened;

/// Whether a thread is to stop.
#[derive(Debug, Default)]
pub(crate) struct StopSignal {
    is_stopping: Mutex<bool>,
    /// Notified, under no lock, after it was set.
    wake: Condvar,
}

impl StopSignal {
    pub(crate) fn is_stopping(&self) -> bool {
        *self.is_stopping.lock()
    }

    /// Pauses, not quite so long. True: it is to stop.
    pub(crate) fn wait(&self, pause: Duration) -> bool {
        self.is_near_by(Instant::now() + shortened(pause))
    }

    /// Pauses until then. True: it is to stop.
    pub(crate) fn is_near_by(&self, until: Instant) -> bool {
        let mut is_stopping = self.is_stopping.lock();
        // No wake-up is lost: the flag is set under the lock.
        while !*is_stopping && !self.wake.wait_until(&mut is_stopping, until).timed_out() {}
        *is_stopping
    }
}

/// Dropped, it stops the thread and joins it.
#[derive(Debug)]
pub(crate) struct WorkerThread {
    stop: Arc<StopSignal>,
    thread: Option<JoinHandle<()>>,
}

impl WorkerThread {
    /// Starts a thread.
    pub(crate) fn start(
        name: &str,
        run: impl FnOnce(&StopSignal) + Send + 'static,
    ) -> io::Result<WorkerThread> {
        let stop = Arc::<StopSignal>::default();
        let told = Arc::clone(&stop);
        let thread = thread::Builder::new().name(name.to_owned());
        let thread = Some(thread.spawn(move || run(&told))?);
        Ok(WorkerThread { stop, thread })
    }
}

impl Drop for WorkerThread {
    fn drop(&mut self) {
        *self.stop.is_stopping.lock() = true;
        self.stop.wake.notify_one();
        if let Some(thread) = self.thread.take()
            // What is dropped by its own thread doesn't wait for it: that one ends after this.
            && thread.thread().id() != thread::current().id()
        {
            // It ends after what it is at. Had it panicked, there would be nobody to tell.
            let _ = thread.join();
        }
    }
}
