//! Reads of Redis that never load, and that the near cache does not know.
//!
//! Called by the public handle. Such a read is no lookup, and is not counted as one.

use std::time::{Duration, Instant};

use super::{batch::read_all, lookup::keys_of};
use crate::{
    engine::{Engine, FirstReadResult, lookup_tags::LookupTags},
    error::Error,
    outcome::{Answer, Source},
    record::{
        any::AnyRecord,
        fields::part::{from_part, names_to_read},
    },
    store::Entry,
    util::id::Ids,
};

/// How many ids are read together: a server handles them within a few tens of milliseconds.
const SLICE: usize = 10_000;

/// See [`Cache::peek`](crate::Cache::peek).
pub(crate) fn peek(engine: &Engine, id: &str) -> Result<Option<Answer>, Error> {
    let data = engine.data_key(id)?;
    let began = Instant::now();
    let mut tags = engine.tags_of(&[]);
    let read = engine.first_read(&data, false, tags.as_deref_mut());
    let latency = began.elapsed();
    seen(engine, id, read, tags.as_deref(), (began, latency))
}

/// See [`Cache::peek_many`](crate::Cache::peek_many).
pub(crate) fn peek_many(engine: &Engine, ids: &Ids) -> Result<Vec<Option<Answer>>, Error> {
    // An invalid id is reported before anything is sent.
    let all: Result<Vec<_>, _> = ids.iter().map(|id| engine.data_key(id)).collect();
    let all = all?;
    let mut found = Vec::with_capacity(all.len());
    for slice in all.chunks(SLICE) {
        let keys: Vec<_> = slice.iter().map(String::as_str).collect();
        for data in &keys {
            engine.refuse_pending(data, "read")?;
        }
        let began = Instant::now();
        let (reads, tags) = read_all(engine, &keys, false, engine.tags_of(&[]).as_deref());
        let redis_latency = began.elapsed();
        let ids = ids.iter().skip(found.len());
        for (id, (read, tags)) in ids.zip(reads.into_iter().zip(tags)) {
            let times = (began, redis_latency);
            found.push(seen(engine, id, read, tags.as_deref(), times)?);
        }
    }
    Ok(found)
}

/// See [`Cache::get_fields`](crate::Cache::get_fields).
pub(crate) fn get_fields(
    engine: &Engine,
    id: &str,
    names: &[&str],
) -> Result<Option<Answer>, Error> {
    let data = engine.data_key(id)?;
    let mut tags = engine.tags_of(&[]);
    let names = names_to_read(names, tags.is_some())?;
    let began = Instant::now();
    if let Some(tags) = &mut tags {
        engine.read_tags(tags)?;
    }
    let (entry, left) = engine.ask_unless_pending(&data, "read_fields", |store| {
        store.read_fields(&data, &names)
    })?;
    let redis_latency = began.elapsed();
    if let Some(tags) = &mut tags {
        engine.read_listed(&mut [(&entry, &mut **tags)])?;
    }
    let Entry::Record(mut fields) = entry else {
        return Ok(None);
    };
    if tags.is_some_and(|tags| tags.take_fields(&mut fields).is_err()) {
        return Ok(None);
    }
    let part = from_part(fields, &engine.settings.schema);
    Ok(part
        .ok()
        .map(|part| found(engine, part.map(AnyRecord::new), left.left(), redis_latency)))
}

/// The record that was read. `None`: there is no entry, or it is no record of this type.
fn seen(
    engine: &Engine,
    id: &str,
    read: FirstReadResult,
    tags: Option<&LookupTags>,
    (began, redis_latency): (Instant, Duration),
) -> Result<Option<Answer>, Error> {
    let (Entry::Record(fields), left) = read? else {
        return Ok(None);
    };
    let record = engine.record_of(fields, tags);
    Ok(record.ok().map(|record| {
        let found = found(engine, record, left, redis_latency);
        let recorder = &engine.reporter.recorder;
        let read = (found.source, found.record.as_ref());
        recorder.lookup(
            id,
            began,
            read,
            engine.record_type.fingerprint,
            keys_of(tags),
        );
        found
    }))
}

fn found(
    engine: &Engine,
    record: Option<AnyRecord>,
    left: Option<Duration>,
    redis_latency: Duration,
) -> Answer {
    let is_stale = |left| engine.settings.freshness.is_stale(left);
    let source = match &record {
        Some(_) if left.is_some_and(is_stale) => Source::Stale,
        _ => Source::Hit,
    };
    Answer::new(record, source, redis_latency)
}
