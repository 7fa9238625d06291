//! Caches with different schemas over the same keys, as two versions of a program during a rolling
//! deployment. Their record types decode each other's entries.

mod entries;
mod races;
mod turns;
mod updates;

use std::convert::Infallible;

use cache_aside::{
    Cache, Record, Source,
    store::{Entry, Fields, Recheck, Token},
};

use crate::environment::{Environment, keys};

const FIELD: &str = "__cache_aside_schema";
const EMPTY: &str = "__cache_aside_empty";

/// The schema of the program that fills, and that of the program that finds its entry.
type Pair = (Option<u32>, Option<u32>);

const PAIRS: [Pair; 5] = [
    (Some(1), Some(2)),
    (Some(2), Some(1)),
    (Some(1), Some(11)),
    (None, Some(0)),
    (Some(0), None),
];

/// A cache with this schema. It acts as another process.
fn cache(environment: &Environment, schema: Option<u32>) -> Cache {
    let builder = environment.builder();
    let builder = match schema {
        Some(number) => builder.schema(number),
        None => builder,
    };
    builder.build().unwrap()
}

/// What the program of this name stores.
fn row(by: &str) -> Record {
    Record::from([("by", by), ("stock", "41")])
}

fn load(by: &str) -> impl Fn(&str) -> Result<Option<Record>, Infallible> {
    move |_| Ok(Some(row(by)))
}

/// A lookup by the program of this name. The record must be its own.
#[track_caller]
fn get(cache: &Cache, by: &str) -> Source {
    let found = cache.get("r", load(by)).unwrap();
    assert_eq!(**found.record().unwrap(), row(by));
    found.source()
}

/// How many entries of another schema the cache has found. All others were readable.
#[track_caller]
fn others(cache: &Cache) -> u64 {
    assert_eq!(cache.stats().unreadable_entries, 0);
    cache.stats().other_schema_entries
}

fn fields(fields: &[(&str, &str)]) -> Fields {
    let fields = fields.iter();
    fields
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect()
}

/// What is stored, sorted by name.
fn stored(environment: &Environment) -> Fields {
    match environment.store().read("test:r").unwrap() {
        Entry::Record(mut fields) => {
            fields.sort();
            fields
        }
        Entry::Absent => Fields::new(),
        Entry::WrongType => panic!("it is a hash"),
    }
}

/// Stores this entry as another program does.
fn put(environment: &Environment, entry: &[(&str, &str)]) {
    let (store, token) = (environment.store(), Token::random());
    let (keys, long) = (keys("r"), std::time::Duration::from_secs(60));
    store.invalidate(&keys).unwrap();
    store.acquire(&keys, token, long, Recheck::Never).unwrap();
    assert!(store.fill(&keys, token, long, &fields(entry)).unwrap());
}
