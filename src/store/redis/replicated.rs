//! Steps that have ended only when replicas have them as well (`WAIT`).
//!
//! Redis acknowledges a change before its replicas have it. A master that is lost right then takes with it what it had
//! acknowledged: an invalidation, too, and the replica that takes over has the record that it ended. Whoever waits until
//! as many replicas have the change as may take over loses none.
//!
//! `WAIT` waits for the latest change *of its own connection*, in some versions of Redis whatever others did before. An
//! invalidation that finds nothing to end changes nothing; but what another one ended just now may not be on the replicas
//! yet. So before the `WAIT` goes a change that is one in any case, to a key that lives for a millisecond.

use std::{error::Error as StdError, fmt, time::Duration};

use redis::{Connection, RedisResult, cmd};

use super::server::RedisStore;
use crate::{
    key::Keys,
    setting::millis,
    store::{Failure, Symptom, connection::Conduct},
};

/// What is added to a lease key for that one, so that it lies in the same slot and a user who may write the lease may
/// write it.
const MARK: &str = ":wait";

impl RedisStore {
    /// Runs a step that ends something, of these records.
    pub(super) fn run_ending<T>(
        &self,
        conduct: Conduct,
        keys: &[&Keys],
        run: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, Failure> {
        match keys.first() {
            Some(first) if self.replicas > 0 => {
                let mark = format!("{}{MARK}", first.lease);
                self.run_replicated(conduct, Some(&mark), run)
            }
            _ => self.run(conduct, run),
        }
    }

    /// Runs a step until the replicas have what it changed; with a mark, what others did before as well.
    pub(in crate::store) fn run_replicated<T>(
        &self,
        conduct: Conduct,
        mark: Option<&str>,
        mut run: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, Failure> {
        let wanted = self.replicas;
        if wanted == 0 {
            return self.run(conduct, run);
        }
        // The wire is silent meanwhile.
        let within = self.connections.timeouts().io / 2;
        let (done, have) = self.run(conduct, |connection| {
            let done = run(connection)?;
            if let Some(mark) = mark {
                let mut set = cmd("SET");
                set.arg(mark).arg("").arg("PX").arg(1).exec(connection)?;
            }
            let mut wait = cmd("WAIT");
            let have: u32 = wait.arg(wanted).arg(millis(within)).query(connection)?;
            Ok((done, have))
        })?;
        if have < wanted {
            let behind = Behind {
                have,
                wanted,
                within,
            };
            return Err(Failure::new(Symptom::Refused, behind));
        }
        Ok(done)
    }
}

/// It was done, and may be lost with the server that did it.
#[derive(Debug)]
struct Behind {
    have: u32,
    wanted: u32,
    within: Duration,
}

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Behind {
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

impl StdError for Behind {}
