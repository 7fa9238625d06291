//! The helper from the documentation of Redis (its use case "cache-aside"), rewritten, with the
//! constants of the documentation.

use std::{
    collections::HashMap,
    process, thread,
    time::{Duration, Instant},
};

use redis::cmd;

use super::{
    plain_redis::PlainRedis,
    serve::{Primary, Setup, TTL, Worker},
};

const LOCK_TTL: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(25);
const LOCK: &str = "return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0";
const UNLOCK: &str =
    "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0";

pub(super) struct Helper(PlainRedis);

impl Helper {
    pub(super) fn new(setup: &Setup) -> Result<Helper, String> {
        PlainRedis::new(setup).map(Helper)
    }

    fn read(&self, key: &str) -> Result<Option<u64>, String> {
        let fields: HashMap<String, u64> = self.0.one(cmd("HGETALL").arg(key))?;
        Ok(fields.get("version").copied())
    }

    fn load(&self, id: &str, key: &str, primary: &Primary) -> Result<u64, String> {
        let version = primary.read(id)?;
        let mut fill = redis::pipe();
        fill.atomic().del(key).ignore();
        fill.hset(key, "version", version).ignore();
        fill.cmd("EXPIRE").arg(key).arg(TTL.as_secs()).ignore();
        self.0.query::<()>(&fill)?;
        Ok(version)
    }

    fn eval(&self, script: &str, key: &str, args: &[String]) -> Result<bool, String> {
        let mut call = cmd("EVAL");
        self.0.one(call.arg(script).arg(1).arg(key).arg(args))
    }
}

impl Worker for Helper {
    fn get(&self, id: &str, primary: &Primary) -> Result<u64, String> {
        let key = format!("cache:product:{id}");
        if let Some(version) = self.read(&key)? {
            return Ok(version);
        }
        let lock = format!("lock:{key}");
        let (thread, now) = (thread::current().id(), Instant::now());
        let token = format!("{}-{thread:?}-{now:?}", process::id());
        let ttl = LOCK_TTL.as_millis().to_string();
        if self.eval(LOCK, &lock, &[token.clone(), ttl])? {
            let version = self.load(id, &key, primary);
            self.eval(UNLOCK, &lock, &[token])?;
            return version;
        }
        while now.elapsed() < LOCK_TTL {
            thread::sleep(POLL);
            if let Some(version) = self.read(&key)? {
                return Ok(version);
            }
        }
        self.load(id, &key, primary)
    }

    fn invalidate(&self, id: &str) -> Result<(), String> {
        self.0.one(cmd("DEL").arg(format!("cache:product:{id}")))
    }
}
