//! Many lookups at once: what [`get`](super::get) does for one record, for each of a batch, with one request for all
//! at each step and one call of the loader.
//!
//! ```text
//! look at all ─▶ ask for the leases of those that missed ─▶ load what is ours ─▶ tell, and fill
//!                          ▲                                                          │
//!                          └───── a pause, or till a call of this process ends ◀────┘ while others load the rest
//! ```
//!
//! Guarantees for each record what a single lookup does, by the same steps (`told.rs`, `context.rs`, `load.rs`): a
//! call is found by the token that Redis named, a fill is fenced by its own token, and a load without Redis is
//! shared only with those who began before it.
//!
//! **No two batches wait for each other.** Nobody waits while others wait for it: what a batch leads, it loads, tells
//! and fills before it waits for anybody; and the start_watch it keeps for others while it waits (of leases of other
//! processes) it goes on polling itself, in pauses that are no longer for the calls it follows meanwhile.

pub(crate) mod item;
pub(crate) mod round;
pub(crate) mod state;
pub(crate) mod wait;

use std::{
    collections::HashMap,
    error::Error as StdError,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};

use self::{item::Item, round::BatchLookup};
use super::{
    load::run,
    lookup::{LookupConfig, LookupContext},
};
use crate::{
    engine::Engine,
    error::Error,
    outcome::{Lookup, Source},
    telemetry::trace,
};

/// How many ids are looked up together. The requests of so many take a server some ten milliseconds, and a loader
/// asks its database for no more at a time.
const SLICE: usize = 10_000;

/// The loader, as it is called.
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
        BatchLookup::look(engine, config, slice).answers(&mut load)
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

/// Has each id looked up once, however often it comes, in slices; and answers in the order in which they came.
fn each_once<R, I>(
    engine: &Engine<R>,
    ids: I,
    mut look_up: impl FnMut(&[KeyedId<'_>]) -> Result<Vec<Lookup<R>>, Error>,
) -> Result<Vec<Lookup<R>>, Error>
where
    I: IntoIterator<Item: AsRef<str>>,
{
    let ids: Vec<_> = ids.into_iter().collect();
    let (mut distinct, mut at, mut sources) = (Vec::new(), HashMap::new(), Vec::new());
    // All of them before anything is sent.
    for id in &ids {
        let id = id.as_ref();
        let place = *at.entry(id).or_insert(distinct.len());
        if place == distinct.len() {
            distinct.push((id, engine.data_key(id)?));
        }
        sources.push(place);
    }
    let _span = trace::lookups(&engine.settings.prefix, distinct.len());
    let mut found = Vec::with_capacity(distinct.len());
    for slice in distinct.chunks(SLICE) {
        found.extend(look_up(slice)?);
    }
    if distinct.len() == sources.len() {
        return Ok(found);
    }
    Ok(sources.iter().map(|&place| found[place].clone()).collect())
}

/// One lookup of many.
fn context<'a, R>(
    engine: &'a Engine<R>,
    config: LookupConfig,
    id: &'a str,
    began: Instant,
    redis_latency: Duration,
) -> LookupContext<'a, R> {
    LookupContext {
        engine,
        config,
        id,
        span: trace::LookupSpan::one_of_many(),
        began,
        redis_latency,
    }
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

/// The loader, whatever it returns, as it is called.
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
