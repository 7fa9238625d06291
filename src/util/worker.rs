//! The end of a thread of ours: how it is told, and how long it may sleep until then.

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::random::shortened;

/// Whether a thread is to end.
#[derive(Debug, Default)]
pub(crate) struct End {
    is_near: Mutex<bool>,
    /// Notified, under no lock, after it was set.
    wake: Condvar,
}

impl End {
    pub(crate) fn is_near(&self) -> bool {
        *self.is_near.lock()
    }

    /// Pauses, not quite so long. True: it is to end.
    pub(crate) fn is_near_within(&self, pause: Duration) -> bool {
        self.is_near_by(Instant::now() + shortened(pause))
    }

    /// Pauses until then. True: it is to end.
    pub(crate) fn is_near_by(&self, until: Instant) -> bool {
        let mut is_near = self.is_near.lock();
        // No wake-up is lost: the flag is set under the lock.
        while !*is_near && !self.wake.wait_until(&mut is_near, until).timed_out() {}
        *is_near
    }
}

/// Dropped, it stops the thread and joins it.
#[derive(Debug)]
pub(crate) struct Handle {
    end: Arc<End>,
    thread: Option<JoinHandle<()>>,
}

impl Handle {
    /// Starts a thread.
    pub(crate) fn start(name: &str, run: impl FnOnce(&End) + Send + 'static) -> io::Result<Handle> {
        let end = Arc::<End>::default();
        let told = Arc::clone(&end);
        let thread = thread::Builder::new().name(name.to_owned());
        let thread = Some(thread.spawn(move || run(&told))?);
        Ok(Handle { end, thread })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        *self.end.is_near.lock() = true;
        self.end.wake.notify_one();
        if let Some(thread) = self.thread.take()
            // What is dropped by its own thread doesn't wait for it: that one ends after this.
            && thread.thread().id() != thread::current().id()
        {
            // It ends after what it is at. Had it panicked, there would be nobody to tell.
            let _ = thread.join();
        }
    }
}
