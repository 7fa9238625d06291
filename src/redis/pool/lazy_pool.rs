//! A pool of connections that is created when it is needed: the system may have no threads for it,
//! and a process may fork before its first request.
//!
//! Guarantees that no pool is created in a process if an ancestor had created one. The threads of
//! r2d2's pool wait in `parking_lot`, which keeps all waiting threads of a process in one table,
//! linked through their stacks. A fork copies the table, but not the threads. In the child, new
//! threads get the same stacks, and the first one that waits may fail, or search for ever.
//!
//! Knows no addresses and sends nothing.

use std::{
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use r2d2::{Builder, Pool};
use scheduled_thread_pool::ScheduledThreadPool;

use super::{
    connect_threads::{SharedThreads, no_threads},
    manager::Manager,
};
use crate::{
    store::{Failure, FailureKind},
    util::{postponed::Postponed, process::Process},
};

/// Limits the pauses of r2d2 between attempts to connect. They begin with 200 ms and double up to
/// half of this. So a server that comes back is found within half a second.
const RECONNECT: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(in crate::redis) struct LazyPool {
    pool: OnceLock<(Pool<Manager>, Arc<ScheduledThreadPool>)>,
    /// Held while the pool is created, so that only one thread creates it. No user code runs under
    /// it, and nothing is sent.
    creating: Mutex<()>,
    postponed: Postponed,
    /// The threads that open its connections. Other pools may have them too.
    threads: SharedThreads,
    is_short_lived: bool,
}

impl LazyPool {
    /// A pool whose connections these threads open.
    #[cfg(feature = "cluster")]
    pub(in crate::redis) fn sharing(threads: SharedThreads) -> LazyPool {
        LazyPool {
            threads,
            ..LazyPool::default()
        }
    }

    /// The same for a pool that is dropped soon. Before that, it closes no idle connections. r2d2
    /// leaves its check for these to the threads for ever, even if the pool was dropped. So threads
    /// that many pools have had would get more and more to do.
    #[cfg(feature = "cluster")]
    pub(in crate::redis) fn short_lived(threads: SharedThreads) -> LazyPool {
        LazyPool {
            is_short_lived: true,
            ..LazyPool::sharing(threads)
        }
    }

    pub(super) fn get(&self) -> Option<&Pool<Manager>> {
        self.pool.get().map(|(pool, _)| pool)
    }

    /// The threads that open its connections. `None`: there is no pool.
    pub(super) fn workers(&self) -> Option<&ScheduledThreadPool> {
        self.pool.get().map(|(_, workers)| &**workers)
    }

    /// The pool, of at most `size` connections. It is created if there is none; otherwise this
    /// costs one atomic load. Fails if the system has no threads; a later call tries again. Also
    /// fails, for ever, if this process was forked from one with a pool.
    pub(super) fn get_or_create(
        &self,
        size: u32,
        idle_timeout: Duration,
        manager: impl FnOnce() -> Manager,
    ) -> Result<&Pool<Manager>, Failure> {
        if let Some(pool) = self.get() {
            return Ok(pool);
        }
        let _creating = self.creating.lock();
        // Another thread may have created it before this one got the lock.
        if let Some(pool) = self.get() {
            return Ok(pool);
        }
        if self.postponed.is_waiting() && !self.postponed.is_due() {
            return Err(no_threads(io::ErrorKind::WouldBlock.into()));
        }
        claim_process()?;
        let started = self.threads.get_or_start();
        self.postponed.record(started.is_err());
        let workers = started.map_err(no_threads)?;
        let create = || {
            let builder = self.builder(size, idle_timeout);
            let builder = builder.thread_pool(Arc::clone(&workers));
            (builder.build_unchecked(manager()), workers)
        };
        let (pool, _) = self.pool.get_or_init(create);
        Ok(pool)
    }

    fn builder(&self, size: u32, idle_timeout: Duration) -> Builder<Manager> {
        let builder = if self.is_short_lived {
            Pool::builder().idle_timeout(None).max_lifetime(None)
        } else {
            Pool::builder().idle_timeout(Some(idle_timeout))
        };
        builder
            .max_size(size)
            // No connection is opened before it is needed: a tool that asks once should connect
            // once.
            .min_idle(Some(0))
            .connection_timeout(RECONNECT)
            // `is_valid` only compares here.
            .test_on_check_out(true)
            // The caller that waits gets the error of a failed connect, so r2d2 need not log each
            // retry.
            .error_handler(Box::new(r2d2::NopErrorHandler))
    }
}

/// The process that created the first pool, of all processes in a line of ancestors. 0: none has.
static FIRST: AtomicU32 = AtomicU32::new(0);

/// Fails if no pool can be created in this process.
pub(crate) fn check_process() -> Result<(), Failure> {
    allows(FIRST.load(Ordering::Relaxed), Process::current().id())
}

/// The same. If no process has created a pool, this one counts as the first from now on.
fn claim_process() -> Result<(), Failure> {
    let here = Process::current().id();
    let first = FIRST.compare_exchange(0, here, Ordering::Relaxed, Ordering::Relaxed);
    allows(first.unwrap_or_else(|first| first), here)
}

fn allows(first: u32, here: u32) -> Result<(), Failure> {
    if first == 0 || first == here {
        return Ok(());
    }
    Err(Failure::new(FailureKind::Rejected, ForkedLate))
}

#[derive(Debug, thiserror::Error)]
#[error(
    "this process was forked from one that had already sent requests to Redis, and no connection pool works after \
     that; fork before the first lookup or write"
)]
struct ForkedLate;
