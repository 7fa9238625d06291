//! A fixed address that now leads to another server, as after a failover by DNS or a virtual IP.
//! Connections to the former server stay open. The servers are real, and a relay has the address.

mod clear;
mod in_turn;
mod pair;
mod permissions;
mod readers;
mod unidentified;
mod writers;

use std::{convert::Infallible, sync::Arc, time::Duration};

use cache_aside::Record;

const MS: fn(u64) -> Duration = Duration::from_millis;

/// The documented second, and an allowance for a machine that is three times as busy.
const SEEN_WITHIN: Duration = Duration::from_secs(3);

fn version(number: u64) -> Record {
    Record::from([("version", number.to_string())])
}

/// A loader that finds this version.
fn load(number: u64) -> impl Fn(&str) -> Result<Option<Record>, Infallible> {
    move |_| Ok(Some(version(number)))
}

fn number(record: Option<&Arc<Record>>) -> u64 {
    record.unwrap().get("version").unwrap().parse().unwrap()
}
