//! A pool of connections that is created when it is needed, because the system may have no threads
//! for it.
//!
//! Called by `pool.rs`. Knows no addresses and sends nothing.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;
use r2d2::Pool;
use scheduled_thread_pool::ScheduledThreadPool;

use super::{
    connect_threads::{no_threads, workers},
    manager::Manager,
};
use crate::{store::Failure, util::postponed::Postponed};

#[derive(Default)]
pub(super) struct LazyPool {
    pool: OnceLock<(Pool<Manager>, Arc<ScheduledThreadPool>)>,
    /// Held while the pool is created, so that only one thread creates it. No user code runs under
    /// it, and nothing is sent.
    creating: Mutex<()>,
    postponed: Postponed,
}

impl LazyPool {
    pub(super) fn get(&self) -> Option<&Pool<Manager>> {
        self.pool.get().map(|(pool, _)| pool)
    }

    /// The threads that open its connections. `None`: there is no pool.
    pub(super) fn workers(&self) -> Option<&ScheduledThreadPool> {
        self.pool.get().map(|(_, workers)| &**workers)
    }

    /// The pool, which `create` makes from the threads that open its connections. Costs one atomic
    /// load if there is a pool. Fails if the system has no threads; a later call tries again.
    pub(super) fn get_or_create(
        &self,
        create: impl FnOnce(Arc<ScheduledThreadPool>) -> Pool<Manager>,
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
        let started = workers();
        self.postponed.record(started.is_err());
        let workers = Arc::new(started.map_err(no_threads)?);
        let (pool, _) = self
            .pool
            .get_or_init(|| (create(Arc::clone(&workers)), workers));
        Ok(pool)
    }
}
