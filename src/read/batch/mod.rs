//! Lookups of many ids: one request for all lookups in the same state, and one call of the loader.
//!
//! Each id goes through the states of [`read`](super). So each id has all guarantees of a single
//! lookup. Called by the public handle.

mod driver;
mod first_reads;

use std::{collections::HashMap, error::Error as StdError, sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use self::driver::BatchLookup;
use super::{load::run, lookup::LookupConfig};
use crate::{
    engine::Engine,
    error::Error,
    outcome::{Lookup, Source},
    telemetry::trace,
};

/// How many ids are looked up together. A server handles their requests within some ten
/// milliseconds, and a loader gets at most this many ids at a time.
const SLICE: usize = 10_000;

/// The caller's loader, with the types of this module.
type BatchLoader<'a, R> = dyn FnMut(&[&str]) -> Result<HashMap<String, R>, Error> + 'a;

/// See [`Cache::get_many`](crate::Cache::get_many).
pub(crate) fn get_many<R, I, M, K, E, F>(
    engine: &Engine<R>,
    config: LookupConfig,
    ids: I,
    loader: F,
) -> Result<Vec<Lookup<R>>, Error>
where
    R: Serialize + DeserializeOwned,
    I: IntoIterator<Item: AsRef<str>>,
    M: IntoIterator<Item = (K, R)>,
    K: Into<String>,
    E: Into<Box<dyn StdError + Send + Sync>>,
    F: FnMut(&[&str]) -> Result<M, E>,
{
    let mut load = loading(loader);
    each_once(engine, ids, |slice| {
        BatchLookup::read(engine, config, slice).answers(&mut load)
    })
}

/// See [`LookupOptions::skip_cache`](crate::LookupOptions::skip_cache).
pub(crate) fn skip_many<R, I, M, K, E, F>(
    engine: &Engine<R>,
    ids: I,
    loader: F,
) -> Result<Vec<Lookup<R>>, Error>
where
    R: Serialize + DeserializeOwned,
    I: IntoIterator<Item: AsRef<str>>,
    M: IntoIterator<Item = (K, R)>,
    K: Into<String>,
    E: Into<Box<dyn StdError + Send + Sync>>,
    F: FnMut(&[&str]) -> Result<M, E>,
{
    let mut load = loading(loader);
    each_once(engine, ids, |slice| {
        let ids: Vec<_> = slice.iter().map(|(id, _)| *id).collect();
        let mut records = run_for(engine, &ids, &mut load)?;
        let each = ids.iter().map(|id| {
            let record = records.remove(*id).map(Arc::new);
            Lookup::new(record, Source::Loaded, Duration::ZERO)
        });
        Ok(each.collect())
    })
}

/// An id, and the key of its record.
type KeyedId<'a> = (&'a str, String);

/// Looks each id up once, even if it is given several times. Works in slices, and answers in the
/// order of the ids.
fn each_once<R, I>(
    engine: &Engine<R>,
    ids: I,
    mut look_up: impl FnMut(&[KeyedId<'_>]) -> Result<Vec<Lookup<R>>, Error>,
) -> Result<Vec<Lookup<R>>, Error>
where
    I: IntoIterator<Item: AsRef<str>>,
{
    let ids: Vec<_> = ids.into_iter().collect();
    let (mut distinct, mut at, mut places) = (Vec::new(), HashMap::new(), Vec::new());
    // An invalid id is an error before any request is sent.
    for id in &ids {
        let id = id.as_ref();
        let place = *at.entry(id).or_insert(distinct.len());
        if place == distinct.len() {
            distinct.push((id, engine.data_key(id)?));
        }
        places.push(place);
    }
    let _span = trace::lookups(&engine.reporter.cache, distinct.len());
    let mut found = Vec::with_capacity(distinct.len());
    for slice in distinct.chunks(SLICE) {
        found.extend(look_up(slice)?);
    }
    if distinct.len() == places.len() {
        return Ok(found);
    }
    Ok(places.iter().map(|&place| found[place].clone()).collect())
}

/// Runs the loader.
fn run_for<R>(
    engine: &Engine<R>,
    ids: &[&str],
    load: &mut BatchLoader<'_, R>,
) -> Result<HashMap<String, R>, Error> {
    let found = |loaded: &HashMap<_, _>| ids.iter().any(|id| loaded.contains_key(*id));
    run(engine, ids[0], || load(ids), found)
}

/// Converts the caller's loader to the types of this module.
fn loading<R, M, K, E, F>(mut loader: F) -> impl FnMut(&[&str]) -> Result<HashMap<String, R>, Error>
where
    M: IntoIterator<Item = (K, R)>,
    K: Into<String>,
    E: Into<Box<dyn StdError + Send + Sync>>,
    F: FnMut(&[&str]) -> Result<M, E>,
{
    move |ids| match loader(ids) {
        Ok(found) => Ok(found
            .into_iter()
            .map(|(id, record)| (id.into(), record))
            .collect()),
        Err(error) => Err(Error::Loader(Arc::from(error.into()))),
    }
}
