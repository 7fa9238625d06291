//! The primary store: versions that only grow, in its own Redis, which has no faults.
//!
//! ```text
//! version:k   the newest committed version of record k
//! commits:k   the latest versions of k, by the time of their commit, for replicas that lag
//! settled:k   the newest version whose invalidation has returned
//! trail:k     the latest writes of k, for a report and for the duration of a stale answer
//! ```
//!
//! Each thread has one connection. If this store fails, nothing can be checked, so a failure is a
//! panic.

use std::time::Duration;

use redis::{Client, Connection, RedisResult, Script, cmd};
use serde::{Deserialize, Serialize};

use crate::plan::Instant;

/// A record is deleted once in this many versions, and written again by the next version.
const DELETED_EVERY: u64 = 10;

/// About the number of writes of a record in some seconds.
const LONGEST_TRAIL: isize = 1000;

/// Never decreases `settled`: another writer may be faster between the invalidation and this.
const SETTLE: &str = "
if tonumber(ARGV[1]) > tonumber(redis.call('GET', KEYS[1]) or '0') then
  redis.call('SET', KEYS[1], ARGV[1])
end
redis.call('LPUSH', KEYS[2], ARGV[2])
redis.call('LTRIM', KEYS[2], 0, ARGV[3])";

const COMMIT: &str = "
local now = redis.call('TIME')
local version = redis.call('INCR', KEYS[1])
redis.call('ZADD', KEYS[2], string.format('%.0f', now[1] * 1000000 + now[2]), version)
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, ARGV[1])
return version";

const REPLICATED: &str = "
local now = redis.call('TIME')
local by = string.format('%.0f', now[1] * 1000000 + now[2] - ARGV[1])
return redis.call('ZREVRANGEBYSCORE', KEYS[1], by, '-inf', 'LIMIT', 0, 1)[1] or 0";

pub(crate) struct Primary {
    connection: Connection,
    settle: Script,
    commit: Script,
    replicated: Script,
}

/// A write that has ended.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
    pub(crate) process: u32,
    pub(crate) thread: u32,
    pub(crate) version: u64,
    /// Whether a lookup that begins after it must not find an older version.
    pub(crate) is_settled: bool,
    /// The call, and how it ended.
    pub(crate) what: String,
}

impl Primary {
    pub(crate) fn connect(url: &str) -> Result<Primary, String> {
        let connection = Client::open(url).and_then(|client| client.get_connection());
        Ok(Primary {
            connection: connection.map_err(|error| format!("the primary store: {error}"))?,
            settle: Script::new(SETTLE),
            commit: Script::new(COMMIT),
            replicated: Script::new(REPLICATED),
        })
    }

    /// Commits a new version.
    pub(crate) fn commit(&mut self, key: &str) -> u64 {
        let mut call = self.commit.prepare_invoke();
        call.key(of("version", key)).key(of("commits", key));
        call.arg(-1 - LONGEST_TRAIL);
        must(call.invoke(&mut self.connection))
    }

    /// The newest version on a replica that lags by this time.
    pub(crate) fn replicated(&mut self, key: &str, lag: Duration) -> u64 {
        let mut call = self.replicated.prepare_invoke();
        let lag = u64::try_from(lag.as_micros()).expect("it is short");
        call.key(of("commits", key)).arg(lag);
        must(call.invoke(&mut self.connection))
    }

    pub(crate) fn newest(&mut self, key: &str) -> u64 {
        self.number("version", key)
    }

    pub(crate) fn settled(&mut self, key: &str) -> u64 {
        self.number("settled", key)
    }

    fn number(&mut self, what: &str, key: &str) -> u64 {
        let number: Option<u64> = must(cmd("GET").arg(of(what, key)).query(&mut self.connection));
        number.unwrap_or(0)
    }

    /// Records that a write has ended. A lookup that starts from now on must find version `settled`
    /// or a newer one. With `settled` 0, the write guarantees nothing.
    pub(crate) fn note(&mut self, key: &str, settled: u64, event: &Event) {
        let text = serde_json::to_string(event).expect("an event is plain data");
        let mut call = self.settle.prepare_invoke();
        call.key(of("settled", key)).key(of("trail", key));
        call.arg(settled).arg(text).arg(LONGEST_TRAIL - 1);
        must(call.invoke::<()>(&mut self.connection));
    }

    /// Since when a lookup must find a newer version than this.
    pub(crate) fn stale_since(&mut self, key: &str, version: u64) -> Option<Instant> {
        let writes = self.trail(key).into_iter();
        let newer = writes.filter(|write| write.is_settled && write.version > version);
        newer.map(|write| write.ended).min()
    }

    /// The latest writes that have ended, oldest first.
    pub(crate) fn trail(&mut self, key: &str) -> Vec<Event> {
        let mut request = cmd("LRANGE");
        request.arg(of("trail", key)).arg(0).arg(-1);
        let lines: Vec<String> = must(request.query(&mut self.connection));
        let events = lines.iter().rev();
        events
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }
}

fn of(what: &str, key: &str) -> String {
    format!("{what}:{key}")
}

fn must<T>(answer: RedisResult<T>) -> T {
    answer.expect("the primary store answers")
}

/// Whether this version deletes the record. Version 0 is the state before the first write.
pub(crate) fn is_deletion(version: u64) -> bool {
    version.is_multiple_of(DELETED_EVERY)
}

/// The newest version before this one that deletes the record.
pub(crate) fn last_deletion(version: u64) -> u64 {
    version.saturating_sub(1) / DELETED_EVERY * DELETED_EVERY
}

/// The oldest version from this one on that deletes the record.
pub(crate) fn next_deletion(version: u64) -> u64 {
    version.next_multiple_of(DELETED_EVERY)
}
