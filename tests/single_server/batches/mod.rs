//! Batches on a real server: what they cost, what harms them, and other processes.
//!
//! What holds on every store is in `conformance/many/`.

mod clear;
mod faults;
mod outage;
mod processes;
mod slices;
mod wire;

use std::{collections::HashMap, convert::Infallible, time::Duration};

use cache_aside::{Cache, Lookup, Record, Redis, RedisBuilder, Source};

/// Short enough for a test, long enough for a server that works on a busy machine.
const TIMEOUT: Duration = Duration::from_millis(800);

type Rows = HashMap<String, Record>;

fn impatient(url: &str) -> RedisBuilder {
    Redis::builder(url)
        .checkout_timeout(TIMEOUT)
        .connect_timeout(TIMEOUT)
        .io_timeout(TIMEOUT)
        .probe_interval(Duration::from_millis(50))
}

fn cache(server: impl Into<cache_aside::Backend>) -> Cache {
    Cache::builder(server).prefix("test:").build().unwrap()
}

/// A cache whose leases and records outlast a busy machine: for facts about the effects of a batch,
/// not its speed.
fn patient_cache(server: RedisBuilder) -> Cache {
    let long = Duration::from_secs(600);
    let builder = Cache::builder(server).prefix("test:").ttl(long);
    builder.lease_ttl(long / 20).build().unwrap()
}

/// A primary that has all of them, in this version.
fn rows(version: &str) -> impl Fn(&[&str]) -> Result<Rows, Infallible> {
    move |ids| {
        let row = |id: &&str| {
            let record = Record::from([("id", *id), ("version", version)]);
            ((*id).to_owned(), record)
        };
        Ok(ids.iter().map(row).collect())
    }
}

fn never(ids: &[&str]) -> Result<Rows, Infallible> {
    panic!("nothing is to be loaded: {} ids", ids.len())
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|id| id.to_string()).collect()
}

fn versions(found: &[Lookup<Record>]) -> Vec<&str> {
    let records = found.iter().map(|found| found.record().unwrap());
    records
        .map(|record| record.get("version").unwrap())
        .collect()
}

fn sources(found: &[Lookup<Record>]) -> Vec<Source> {
    found.iter().map(Lookup::source).collect()
}

/// Checks that these are the records, in this order.
fn assert_are(found: &[Lookup<Record>], ids: &[impl AsRef<str>]) {
    assert_eq!(found.len(), ids.len());
    for (found, id) in found.iter().zip(ids) {
        let record = found.record().expect("there is one");
        assert_eq!(record.get("id"), Some(id.as_ref()));
    }
}
