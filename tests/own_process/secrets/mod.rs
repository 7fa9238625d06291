//! No output of the crate contains a user, a password or the contents of a record: no error or
//! source, no log, no span, no event, no metric. Servers repeat the arguments of a command that
//! they do not know.
//!
//! `missing` makes every call against servers that each lack one command. `repeated` has servers
//! that repeat a password in other words, and addresses that are wrong.

mod audit;
mod calls;
mod missing;
mod output;
mod repeated;
mod servers;

use std::time::Duration;

use cache_aside::{Record, Redis, RedisBuilder};

/// A part of every secret, in lower case. No other text contains it.
const MARK: &str = "qz7";

/// Short, as the names and values below: a server repeats only the first 128 bytes.
const USER: &str = "Qz7user";
const PASSWORD: &str = "Qz7-password-to-be-kept";
const FIELD: &str = "Qz7name";
const CONTENT: &str = "Qz7value";

const MS: fn(u64) -> Duration = Duration::from_millis;

fn record() -> Record {
    Record::from([(FIELD, CONTENT), ("version", "1")])
}

/// Its breaker never opens, so each call is sent.
fn hasty(url: &str) -> RedisBuilder {
    let builder = Redis::builder(url).breaker_threshold(10_000);
    builder.connect_timeout(MS(500)).checkout_timeout(MS(500))
}
