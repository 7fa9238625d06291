//! The near cache: what it answers, that it is never older than it may be, and what becomes of it when the
//! listener is lost, held up or refused.

mod answers;
mod bound;
mod drops;
mod faults;
mod fence;
mod fresh;
mod wire;

use std::{convert::Infallible, time::Duration};

use crate::support::until;
use cache_aside::{Backend, Cache, Lookup, Record, Source};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// A cache with a near one, that hears of changes already.
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

/// Has `k` kept near in this version, and so that it stays: the push of its own fill has come.
fn settle(cache: &Cache, fresh: u64) {
    let is_near = || {
        std::thread::sleep(MS(1));
        get(cache, fresh) == (fresh, Source::Near)
    };
    // Nothing tells when that is. It takes less than a millisecond while the machine has time.
    until(|| (0..30).all(|_| is_near()));
}

/// Has `k` in this version kept near, for now.
fn warm(cache: &Cache, fresh: u64) {
    // The fill's own push may be under way still.
    until(|| get(cache, fresh) == (fresh, Source::Near));
}
