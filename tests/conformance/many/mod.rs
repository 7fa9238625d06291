//! Lookups of many ids at once.

mod answers;
mod ended;
mod expired;
mod fresh;
mod loaders;
mod others;
mod promises;

use std::{collections::HashMap, convert::Infallible};

use cache_aside::{Lookup, Record, Source};

type Rows = HashMap<String, Record>;

fn row(id: &str, version: &str) -> Record {
    Record::from([("id", id), ("version", version)])
}

/// A primary that has all of them, in this version.
fn rows(version: &str) -> impl Fn(&[&str]) -> Result<Rows, Infallible> {
    move |ids| {
        Ok(ids
            .iter()
            .map(|id| (id.to_string(), row(id, version)))
            .collect())
    }
}

fn never(ids: &[&str]) -> Result<Rows, Infallible> {
    panic!("nothing is to be loaded: {ids:?}")
}

fn versions(found: &[Lookup<Record>]) -> Vec<&str> {
    let records = found.iter().map(|found| found.record().unwrap());
    records
        .map(|record| record.get("version").unwrap())
        .collect()
}

fn ids(found: &[Lookup<Record>]) -> Vec<&str> {
    let records = found.iter().map(|found| found.record().unwrap());
    records.map(|record| record.get("id").unwrap()).collect()
}

fn sources(found: &[Lookup<Record>]) -> Vec<Source> {
    found.iter().map(Lookup::source).collect()
}
