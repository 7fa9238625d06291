//! The end of a worker's threads, for callers that wait for it.

use std::{
    mem,
    time::{Duration, Instant},
};

use super::{Worker, WorkerContext};

impl<S: Default + Send + 'static> Worker<S> {
    /// Stops the threads, and waits until they have ended their current tasks, but not beyond
    /// `timeout`. Returns whether they have ended. The state is dropped with no lock held.
    pub(crate) fn stop(&self, timeout: Duration) -> bool {
        let now = Instant::now();
        let Some(shared) = self.shared.get(now) else {
            return true;
        };
        let context = &shared.context;
        let state = {
            let mut locked = context.locked.lock();
            locked.is_stopping = true;
            mem::take(&mut locked.state)
        };
        context.changed.notify_all();
        drop(state);
        let deadline = now.checked_add(timeout);
        let mut locked = context.locked.lock();
        // No wake-up is lost: a thread that ends changes the number under the lock.
        while locked.threads > 0 {
            locked = match deadline {
                Some(deadline) if Instant::now() >= deadline => return false,
                Some(deadline) => context.ended.wait_until(locked, deadline),
                None => context.ended.wait(locked),
            };
        }
        true
    }
}

/// Counts a thread as ended at its drop, also after a panic.
pub(super) struct ThreadEnd<'a, S>(pub(super) &'a WorkerContext<S>);

impl<S> Drop for ThreadEnd<'_, S> {
    fn drop(&mut self) {
        self.0.locked.lock().threads -= 1;
        self.0.ended.notify_all();
    }
}

/// The worker takes no more work.
#[derive(Debug, thiserror::Error)]
#[error("it has been stopped")]
pub(super) struct Stopped;
