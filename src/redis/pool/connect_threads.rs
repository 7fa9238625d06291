//! The threads that open and close the connections of a pool, or of several pools.
//!
//! Guarantees that a system without threads is an error and not a panic. Called by the pool.
//!
//! No user code runs under its lock: threads of this crate are started there.

use std::{
    io,
    panic::catch_unwind,
    sync::{Arc, Weak, mpsc},
    thread,
};

use parking_lot::Mutex;
use scheduled_thread_pool::{OnPoolDropBehavior, ScheduledThreadPool};

use crate::{
    store::{Failure, FailureKind},
    util::worker::NoThread,
};

/// How many connections are opened at the same time. Three, as in r2d2, so that one attempt that
/// hangs does not block the others.
const CONNECTING: usize = 3;

/// How many threads are started to see whether the system has enough. Twice as many as are needed,
/// because the system counts a thread for a moment longer than it runs.
const PROBED: usize = 2 * CONNECTING;

/// Threads that open connections, and that close those which are idle for too long. They exist
/// while a pool has them. Each clone is the same threads.
///
/// The default threads of r2d2 would exist for up to half a minute after the pool was dropped,
/// until their next check for idle connections.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedThreads(Arc<Mutex<Weak<ScheduledThreadPool>>>);

impl SharedThreads {
    /// The threads, which are started if no pool has them.
    pub(super) fn get_or_start(&self) -> io::Result<Arc<ScheduledThreadPool>> {
        let mut threads = self.0.lock();
        if let Some(running) = threads.upgrade() {
            return Ok(running);
        }
        let started = Arc::new(workers()?);
        *threads = Arc::downgrade(&started);
        Ok(started)
    }

    /// How many clones there are.
    #[cfg(feature = "cluster")]
    pub(in crate::redis) fn clones(&self) -> usize {
        Arc::strong_count(&self.0)
    }
}

fn workers() -> io::Result<ScheduledThreadPool> {
    probe(PROBED)?;
    // Another thread of the process may take the last place after the probe. The thread pool panics
    // then.
    catch_unwind(start).map_err(|_| io::ErrorKind::WouldBlock.into())
}

/// The failure of a request if these threads cannot be started.
pub(crate) fn no_threads(error: io::Error) -> Failure {
    let purpose = "open connections";
    Failure::new(FailureKind::Unavailable, NoThread { purpose, error })
}

fn start() -> ScheduledThreadPool {
    ScheduledThreadPool::builder()
        .num_threads(CONNECTING)
        .on_drop_behavior(OnPoolDropBehavior::DiscardPendingScheduled)
        .thread_name_pattern("cache-aside-connect")
        .build()
}

/// Whether this many threads can run at once. The thread pool cannot be asked: it panics if one of
/// its threads cannot be started.
fn probe(count: usize) -> io::Result<()> {
    let mut running = Vec::new();
    let started = (0..count).try_for_each(|_| {
        let (end, until_end) = mpsc::channel::<()>();
        let builder = thread::Builder::new().name("cache-aside-probe".to_owned());
        // Ends when the sender is dropped.
        let thread = builder.spawn(move || _ = until_end.recv())?;
        running.push((end, thread));
        Ok(())
    });
    for (end, thread) in running {
        drop(end);
        let _ = thread.join();
    }
    started
}
