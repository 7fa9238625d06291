//! Steps that have ended only when replicas have them as well (`WAIT`).
//!
//! Redis acknowledges a change before its replicas have it. A master that is lost right then takes with it what it had
//! acknowledged: an invalidation, too, and the replica that takes over has the record that it ended. Whoever waits until
//! as many replicas have the change as may take over loses none.
//!
//! `WAIT` waits for the latest change *of its own connection*, in some versions of Redis whatever others did before. An
//! invalidation that finds nothing to end changes nothing; but what another one ended just now may not be on the replicas
//! yet. So the step itself then changes something in any case: it sets the lease key, and deletes it again. (Not another key, and
//! not afterwards: while a cluster moves the slot, that would be sent to another node.)

use std::{error::Error as StdError, fmt, time::Duration};

use redis::{Connection, RedisResult, cmd};

use super::store::RedisStore;
use crate::{
    redis::pool::RetryPolicy,
    store::{Failure, FailureKind},
    util::limits::millis,
};

impl RedisStore {
    /// Runs a step until the replicas have what it changed, and what others did before. It must change something in any
    /// case: see [`tells`](RedisStore::tells).
    pub(crate) fn run_replicated<T>(
        &self,
        retry_policy: RetryPolicy,
        mut run: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, Failure> {
        let wanted = self.replicas;
        if wanted == 0 {
            return self.run(retry_policy, run);
        }
        // The wire is silent meanwhile.
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
            return Err(Failure::new(FailureKind::Rejected, behind));
        }
        Ok(done)
    }

    /// The word for scripts that are to change something in any case.
    pub(crate) fn tells(&self) -> u8 {
        u8::from(self.replicas > 0)
    }
}

/// It was done, and may be lost with the server that did it.
#[derive(Debug)]
struct ReplicasBehind {
    have: u32,
    wanted: u32,
    within: Duration,
}

impl fmt::Display for ReplicasBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ReplicasBehind {
            have,
            wanted,
            within,
        } = self;
        write!(
            f,
            "{have} of {wanted} replicas had it within {within:?}; it is lost if the server is"
        )
    }
}

impl StdError for ReplicasBehind {}
