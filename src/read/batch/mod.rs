//! Lookups of many ids: one request for all lookups in the same state, and one call of the loader.
//!
//! Each id goes through the states of [`read`](super). So each id has all guarantees of a single
//! lookup. Called by the public handle.

mod answers;
mod driver;
mod first_reads;
mod turn;

use std::{
    collections::{HashMap, HashSet},
    error::Error as StdError,
    fmt::Display,
    sync::Arc,
    time::Duration,
};

use self::driver::BatchLookup;
pub(super) use self::first_reads::read_all;
use super::{load::run, load_turn::LoadTurn, lookup::LookupConfig, nested::WithinLoad};
use crate::{
    engine::{Engine, lookup_tags::LookupTags},
    error::Error,
    outcome::{Answer, Source},
    record::any::AnyRecord,
    telemetry::trace,
    util::id::{Id, Ids},
};

/// How many ids are looked up together. A server handles the requests for them within a few tens of
/// milliseconds, and a loader gets at most this many ids at a time.
const SLICE: usize = 10_000;

/// A loader of many records.
pub(crate) type BatchLoader<'a> = dyn for<'id> FnMut(&'id [&'id str]) -> LoadedById<'id> + 'a;

/// The records that a loader found, by the ids that it was asked for.
pub(crate) type LoadedById<'id> = Result<HashMap<&'id str, AnyRecord>, Error>;

/// See [`Cache::get_many`](crate::Cache::get_many).
pub(crate) fn get_many(
    engine: &Engine,
    (config, tags): (LookupConfig, Option<Box<LookupTags>>),
    ids: &Ids,
    load: &mut BatchLoader<'_>,
) -> Result<Vec<Answer>, Error> {
    each_once(engine, ids, |slice| {
        BatchLookup::read(engine, config, tags.as_deref(), slice).answers(load)
    })
}

/// See [`LookupOptions::skip_cache`](crate::LookupOptions::skip_cache). `wait_timeout`: that of the
/// lookup.
pub(crate) fn skip_many(
    engine: &Engine,
    wait_timeout: Duration,
    ids: &Ids,
    load: &mut BatchLoader<'_>,
) -> Result<Vec<Answer>, Error> {
    each_once(engine, ids, |slice| {
        let ids: Vec<_> = slice.iter().map(|(id, _)| *id).collect();
        let mut turn = LoadTurn::new(engine, wait_timeout);
        turn.start(ids[0], None)?;
        let _within = WithinLoad::new();
        let mut records = run_for(engine, &ids, load)?;
        let each = ids.iter().map(|id| {
            let record = records.remove(*id);
            Answer::new(record, Source::Loaded, Duration::ZERO)
        });
        Ok(each.collect())
    })
}

/// An id, and the key of its record.
type KeyedId<'a> = (&'a str, String);

/// Looks each id up once, even if it is given several times, in slices. Answers in the order of the
/// ids.
fn each_once(
    engine: &Engine,
    ids: &Ids,
    mut look_up: impl FnMut(&[KeyedId<'_>]) -> Result<Vec<Answer>, Error>,
) -> Result<Vec<Answer>, Error> {
    let (mut distinct, mut at, mut places) = (Vec::new(), HashMap::new(), Vec::new());
    // An invalid id is reported before anything is sent.
    for id in ids.iter() {
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
fn run_for<'id>(
    engine: &Engine,
    ids: &'id [&'id str],
    load: &mut BatchLoader<'_>,
) -> LoadedById<'id> {
    run(engine, ids[0], || load(ids), |loaded| !loaded.is_empty())
}

/// The loader of the caller, for a cache of `R`.
pub(crate) fn loading<R, M, K, E, F>(
    engine: &Engine,
    mut loader: F,
) -> impl for<'id> FnMut(&'id [&'id str]) -> LoadedById<'id>
where
    R: Send + Sync + 'static,
    M: IntoIterator<Item = (K, R)>,
    K: Display,
    E: Into<Box<dyn StdError + Send + Sync>>,
    F: FnMut(&[&str]) -> Result<M, E>,
{
    move |ids| {
        let found = loader(ids).map_err(|error| Error::Loader(Arc::from(error.into())))?;
        let asked: HashSet<_> = ids.iter().copied().collect();
        let (mut by_id, mut other) = (HashMap::with_capacity(asked.len()), None);
        for (id, record) in found {
            let Some(id) = Id::of_loaded(&id)? else {
                continue;
            };
            match asked.get(&*id) {
                Some(id) => drop(by_id.insert(*id, AnyRecord::new(record))),
                None => other = other.or(Some(id)),
            }
        }
        if let (true, Some(other)) = (by_id.is_empty(), other) {
            engine.reporter.other_ids(ids[0], &other);
        }
        Ok(by_id)
    }
}
