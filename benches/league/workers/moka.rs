//! `moka` in front of a Redis by hand: what a program does that adds a map in the process to its
//! plain reads and writes of Redis. The map keeps a record for a second.

use std::{sync::Arc, time::Duration};

use ::moka::sync::Cache;
use redis::cmd;

use super::{
    plain_redis::PlainRedis,
    serve::{Primary, Setup, TTL, Worker},
};

/// How late the process may be after a write of another one.
const LOCAL_TTL: Duration = Duration::from_secs(1);

pub(super) struct Moka {
    near: Cache<String, u64>,
    redis: PlainRedis,
}

impl Moka {
    pub(super) fn new(setup: &Setup) -> Result<Moka, String> {
        let near = Cache::builder().max_capacity(1_000);
        Ok(Moka {
            near: near.time_to_live(LOCAL_TTL).build(),
            redis: PlainRedis::new(setup)?,
        })
    }

    fn read_through(&self, id: &str, primary: &Primary) -> Result<u64, String> {
        let found: Option<u64> = self.redis.one(cmd("GET").arg(id))?;
        if let Some(version) = found {
            return Ok(version);
        }
        let version = primary.read(id)?;
        let mut fill = cmd("SET");
        let fill = fill.arg(id).arg(version).arg("EX").arg(TTL.as_secs());
        self.redis.one::<()>(fill)?;
        Ok(version)
    }
}

impl Worker for Moka {
    fn get(&self, id: &str, primary: &Primary) -> Result<u64, String> {
        self.near
            .try_get_with_by_ref(id, || self.read_through(id, primary))
            .map_err(|error: Arc<String>| error.to_string())
    }

    fn invalidate(&self, id: &str) -> Result<(), String> {
        let deleted = self.redis.one(cmd("DEL").arg(id));
        self.near.invalidate(id);
        deleted
    }
}
