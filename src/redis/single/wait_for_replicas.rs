//! Steps that end only when replicas have the change too (`WAIT`).
//!
//! Redis acknowledges a change before its replicas have it. If the master is then lost, the change
//! is lost too, even an invalidation: the replica that takes over still has the record. A step that
//! waits until all replicas that may take over have its change loses nothing.
//!
//! `WAIT` waits for the latest change *of its own connection*. Some versions of Redis ignore what
//! other connections did before. An invalidation that finds nothing changes nothing, but the
//! replicas may not yet have the change of an earlier one. So the step always changes something: it
//! sets the lease key, and deletes it again. It uses no other key and no later request, because
//! those would go to another node while a cluster moves the slot.
//!
//! Called by `invalidate`, `expire`, `unguard` and the updates.

use std::time::Duration;

use redis::{RedisResult, cmd};

use super::store::RedisStore;
use crate::{
    redis::{connection::Connection, pool::run_request::RetryPolicy},
    store::{Failure, FailureKind},
    util::limits::millis,
};

impl RedisStore {
    /// Runs a step, and waits until the replicas have its change and all earlier ones. The step
    /// must always change something: see [`forces_change`](RedisStore::forces_change).
    pub(crate) fn run_replicated<T>(
        &self,
        retry_policy: RetryPolicy,
        mut run: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, Failure> {
        let wanted = self.replicas;
        if wanted == 0 {
            return self.run(retry_policy, run);
        }
        // Nothing is received during the wait, so it must be shorter than the idle timeout.
        let within = self.connections.timeouts().io / 2;
        let (done, have) = self.run(retry_policy, |connection| {
            let done = run(connection)?;
            let mut wait = cmd("WAIT");
            let have: u32 = wait.arg(wanted).arg(millis(within)).query(connection)?;
            Ok((done, have))
        })?;
        if have < wanted {
            let behind = ReplicasBehind {
                have,
                wanted,
                within,
            };
            let failure = Failure::new(FailureKind::Rejected, behind);
            return Err(self.connections.at_server(failure));
        }
        Ok(done)
    }

    /// The argument that makes a script always change something.
    pub(crate) fn forces_change(&self) -> u8 {
        u8::from(self.replicas > 0)
    }
}

/// The change was made. It is lost if the server that made it is lost.
#[derive(Debug, thiserror::Error)]
#[error(
    "{have} of {wanted} replicas confirmed the invalidation within {within:?}; it is lost if the server is"
)]
struct ReplicasBehind {
    have: u32,
    wanted: u32,
    within: Duration,
}
