//! The retry worker: one thread that repeats a task until it succeeds.
//!
//! Guarantees that after a [call](RetryWorker::call) the task runs, repeatedly and with growing
//! pauses, until it reports success. No caller waits for it. The first call starts the thread,
//! which sleeps while there is nothing to do. It does not know what the task does: the client to a
//! store probes and replays, a cluster client asks for the topology.

use std::{io, mem, time::Duration};

use super::{
    backoff::Backoff,
    worker::{Next, Worker, WorkerContext, contain_panic},
};

/// The pause before the first attempt. A brief disturbance is over by then.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// Repeats the task on its thread. Dropping it stops the thread, which ends after the current task.
pub(crate) struct RetryWorker {
    /// The state is whether the task must run. It is set after the failure that makes the task
    /// necessary.
    worker: Worker<bool>,
}

impl RetryWorker {
    /// `task` returns true if it succeeded, and then need not be repeated.
    pub(crate) fn new(
        longest_pause: Duration,
        task: impl Fn() -> bool + Send + Sync + 'static,
    ) -> RetryWorker {
        let run = move |context: &WorkerContext<bool>| {
            // Cleared before the task runs: a call during the task makes it run once more.
            let next = |called: &mut bool| {
                if mem::take(called) {
                    Next::Run(())
                } else {
                    Next::Wait
                }
            };
            while context.wait_for(next).is_some() {
                let mut backoff = Backoff::new(FIRST_PAUSE, longest_pause);
                loop {
                    if context.pause(backoff.next()) {
                        return;
                    }
                    if contain_panic(&task) == Some(true) {
                        break;
                    }
                }
            }
        };
        RetryWorker {
            worker: Worker::new("cache-aside-recovery", run),
        }
    }

    /// Makes the task run. Fails if no thread can be started; the next call tries again.
    pub(crate) fn call(&self) -> io::Result<()> {
        self.worker.update(|called| {
            *called = true;
            true
        })
    }
}
