//! A pool of connections that is created when it is needed, because the system may have no threads
//! for it.
//!
//! Called by `pool.rs`. Knows no addresses and sends nothing.

use std::{io, sync::OnceLock};

use parking_lot::Mutex;
use r2d2::Pool;
use scheduled_thread_pool::ScheduledThreadPool;

use super::{
    connect_threads::{no_threads, workers},
    manager::Manager,
};
use crate::{store::Failure, util::postponed::Postponed};

#[derive(Debug, Default)]
pub(super) struct LazyPool {
    pool: OnceLock<Pool<Manager>>,
    /// Held while the pool is created, so that only one thread creates it. No user code runs under
    /// it, and nothing is sent.
    creating: Mutex<()>,
    postponed: Postponed,
}

impl LazyPool {
    pub(super) fn get(&self) -> Option<&Pool<Manager>> {
        self.pool.get()
    }

    /// The pool, which `create` makes from the threads that open its connections. Costs one atomic
    /// load if there is a pool. Fails if the system has no threads; a later call tries again.
    pub(super) fn get_or_create(
        &self,
        create: impl FnOnce(ScheduledThreadPool) -> Pool<Manager>,
    ) -> Result<&Pool<Manager>, Failure> {
        if let Some(pool) = self.pool.get() {
            return Ok(pool);
        }
        let _creating = self.creating.lock();
        // Another thread may have created it before this one got the lock.
        if let Some(pool) = self.pool.get() {
            return Ok(pool);
        }
        if self.postponed.is_waiting() && !self.postponed.is_due() {
            return Err(no_threads(io::ErrorKind::WouldBlock.into()));
        }
        let started = workers();
        self.postponed.record(started.is_err());
        let workers = started.map_err(no_threads)?;
        Ok(self.pool.get_or_init(|| create(workers)))
    }
}
