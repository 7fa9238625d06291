//! The near cache: its answers, the bound on their age, and its behaviour when the listener is
//! lost, delayed or rejected.

mod answers;
mod bound;
mod drops;
mod faults;
mod fence;
mod fresh;
mod options;
mod wire;

use std::{convert::Infallible, time::Duration};

use crate::support::{Server, until};
use cache_aside::{Backend, Cache, Lookup, Record, Source};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// A cache with a near cache whose change stream is live.
fn near(backend: impl Into<Backend>) -> Cache {
    near_within(backend, MS(1000))
}

fn near_within(backend: impl Into<Backend>, bound: Duration) -> Cache {
    let cache = Cache::builder(backend).prefix("test:");
    let cache = cache.near_cache(1000).near_staleness(bound).build();
    let cache: Cache = cache.unwrap();
    until(|| cache.stats().tracking_live);
    cache
}

fn version(number: u64) -> Record {
    Record::from([("version", number.to_string())])
}

fn load(number: u64) -> impl Fn(&str) -> Result<Option<Record>, Infallible> {
    move |_| Ok(Some(version(number)))
}

fn number(found: &Lookup<Record>) -> u64 {
    let record = found.record().expect("a record");
    record.get("version").unwrap().parse().unwrap()
}

/// One lookup of `k`; a load would bring this version.
fn get(cache: &Cache, fresh: u64) -> (u64, Source) {
    let found = cache.get("k", load(fresh)).unwrap();
    (number(&found), found.source())
}

/// Keeps `k` near in this version, and makes sure that it stays: the push of its own fill has
/// arrived.
fn settle(cache: &Cache, server: &Server, fresh: u64) {
    warm(cache, fresh);
    hear_all(cache, server);
    // If the push arrived just now, this lookup brings the record back.
    get(cache, fresh);
    assert_eq!(get(cache, fresh), (fresh, Source::Near));
}

/// Returns when the pushes of all earlier changes have arrived. Pushes arrive in order, and `z` is
/// changed last, by another process.
fn hear_all(cache: &Cache, server: &Server) {
    let other = server.cache();
    for fresh in [1, 2] {
        other.invalidate("z").unwrap();
        other.get("z", load(fresh)).unwrap();
        until(|| number(&cache.get("z", load(fresh)).unwrap()) == fresh);
    }
}

/// Keeps `k` near in this version, for now.
fn warm(cache: &Cache, fresh: u64) {
    // The push of the fill may still be on its way.
    until(|| get(cache, fresh) == (fresh, Source::Near));
}
