//! Tags: of callers, of loaders, and of a whole cache. Two caches act as two processes: they share
//! only the store.

mod by_loader;
mod clear;
mod lookups;
mod many;
mod near;
mod races;
mod refreshes;
mod writes;

use std::{convert::Infallible, time::Duration};

use cache_aside::{
    Cache, Loaded, Lookup, Record, Source,
    store::{Entry, Fields},
};

use crate::{environment::Environment, held::version};

const LONG: Duration = Duration::from_secs(600);

/// A load of this version.
fn load(number: u32) -> impl Fn(&str) -> Result<Option<Record>, Infallible> {
    move |_| Ok(Some(version(number)))
}

/// A load of this version, whose loader names tags.
fn tagged(
    number: u32,
    tags: &'static [&'static str],
) -> impl Fn(&str) -> Result<Loaded<Record>, Infallible> {
    move |_| Ok(Loaded::new(version(number)).tags(tags.iter().copied()))
}

fn seen(found: &Lookup<Record>) -> (u32, Source) {
    let record = found.record().expect("a record");
    let number = record.get("version").unwrap().parse().unwrap();
    (number, found.source())
}

/// A lookup of `k` under these tags. A load would bring this version.
fn get(cache: &Cache, tags: &[&str], fresh: u32) -> (u32, Source) {
    seen(&cache.options().tags(tags).get("k", load(fresh)).unwrap())
}

/// The fields that are stored under `k`.
fn stored(environment: &Environment) -> Fields {
    match environment.store().read("test:k").unwrap() {
        Entry::Record(fields) => fields,
        other => panic!("{other:?}"),
    }
}
