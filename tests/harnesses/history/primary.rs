//! The primary store: versions that only grow, in a Redis of its own that no fault touches.
//!
//! ```text
//! version:k   the newest committed version of record k
//! settled:k   the newest version whose invalidation has returned
//! trail:k     what the latest writes of it were, for a report, and for how long an answer was stale
//! ```
//!
//! One connection a thread. If this store fails there is nothing to check against, so that is a
//! panic.

use redis::{Client, Connection, RedisResult, Script, cmd};
use serde::{Deserialize, Serialize};

use crate::plan::Instant;

/// So many versions apart a record is deleted, and written anew by the next version.
const DELETED_EVERY: u64 = 10;

/// As many writes of a record as there are in some seconds.
const LONGEST_TRAIL: isize = 1000;

/// Never takes `settled` back: a writer may be overtaken between its invalidation and this.
const SETTLE: &str = "
if tonumber(ARGV[1]) > tonumber(redis.call('GET', KEYS[1]) or '0') then
  redis.call('SET', KEYS[1], ARGV[1])
end
redis.call('LPUSH', KEYS[2], ARGV[2])
redis.call('LTRIM', KEYS[2], 0, ARGV[3])";

pub(crate) struct Primary {
    connection: Connection,
    settle: Script,
}

/// A write that has ended.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
    pub(crate) process: u32,
    pub(crate) thread: u32,
    pub(crate) version: u64,
    /// No lookup that begins after it may find anything older.
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
        })
    }

    /// Commits a new version.
    pub(crate) fn commit(&mut self, key: &str) -> u64 {
        must(
            cmd("INCR")
                .arg(of("version", key))
                .query(&mut self.connection),
        )
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

    /// A write has ended, and no lookup that starts from now on may find anything older; with
    /// `settled` 0, it has ended and promises nothing.
    pub(crate) fn note(&mut self, key: &str, settled: u64, event: &Event) {
        let text = serde_json::to_string(event).expect("an event is plain data");
        let mut call = self.settle.prepare_invoke();
        call.key(of("settled", key)).key(of("trail", key));
        call.arg(settled).arg(text).arg(LONGEST_TRAIL - 1);
        must(call.invoke::<()>(&mut self.connection));
    }

    /// Since when a lookup should have found something newer than this version.
    pub(crate) fn stale_since(&mut self, key: &str, version: u64) -> Option<Instant> {
        let writes = self.trail(key).into_iter();
        let newer = writes.filter(|write| write.is_settled && write.version > version);
        newer.map(|write| write.ended).min()
    }

    /// The latest writes that have ended, the oldest first.
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

/// Whether this version says that there is no such record. Version 0 is what was there before the
/// first write.
pub(crate) fn is_deletion(version: u64) -> bool {
    version.is_multiple_of(DELETED_EVERY)
}

/// The newest version before this one that says so.
pub(crate) fn last_deletion(version: u64) -> u64 {
    version.saturating_sub(1) / DELETED_EVERY * DELETED_EVERY
}

/// The oldest version not before this one that says so.
pub(crate) fn next_deletion(version: u64) -> u64 {
    version.next_multiple_of(DELETED_EVERY)
}
