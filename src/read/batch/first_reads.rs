//! The first read of many records: from the near cache, or in one request.
//!
//! Called by the driver for many ids.

use std::time::Instant;

use super::KeyedId;
use crate::{
    engine::{Engine, FirstReadResult, lookup_tags::LookupTags},
    error::{Error, cause::Cause},
    near::Placeholder,
    read::{
        first_read::FirstRead,
        lookup::{LookupConfig, LookupContext},
        machine::PendingLookup,
        near_hit,
    },
    record::any::AnyRecord,
    telemetry::trace,
};

/// Where the first read of a record comes from.
enum ReadFrom<'a> {
    /// From the near cache.
    Near(Option<AnyRecord>),
    /// The record is not read: an invalidation is pending, so the store must not be asked.
    Pending(Cause),
    Store(Option<Placeholder<'a>>),
}

/// Reads all records.
pub(super) fn first_reads<'a>(
    engine: &'a Engine,
    config: LookupConfig,
    tags: Option<&LookupTags>,
    ids: &'a [KeyedId<'a>],
) -> Vec<PendingLookup<'a>> {
    let (began, accepts) = (Instant::now(), config.accepts());
    let sources: Vec<_> = ids
        .iter()
        .map(
            |(id, data)| match near_hit::find(engine, id, began, accepts, tags) {
                Ok(record) => ReadFrom::Near(record),
                Err(placeholder) => match engine.client.bypass(data) {
                    Some(cause) => ReadFrom::Pending(cause),
                    None => ReadFrom::Store(placeholder),
                },
            },
        )
        .collect();
    let from_store = ids.iter().zip(&sources);
    let from_store = from_store.filter(|(_, from)| matches!(from, ReadFrom::Store(_)));
    let keys: Vec<_> = from_store.map(|((_, data), _)| data.as_str()).collect();
    let has_placeholder = |from: &ReadFrom<'_>| matches!(from, ReadFrom::Store(Some(_)));
    let enters_near = sources.iter().any(has_placeholder);
    let mut to_read = tags.cloned();
    if let (Some(tags), true) = (&mut to_read, enters_near) {
        tags.read_for_near();
    }
    let with_ttl = config.max_age.is_some() || enters_near;
    let (reads, read_tags) = read_all(engine, &keys, with_ttl, to_read.as_ref());
    let mut reads = reads.into_iter().zip(read_tags);
    let redis_latency = began.elapsed();
    let lookups = ids.iter().zip(sources).map(|((id, data), from)| {
        let mut context = LookupContext {
            engine,
            config,
            id,
            span: trace::LookupSpan::one_of_many(),
            began,
            redis_latency,
            tags: None,
            is_background: false,
        };
        let (read, placeholder) = match from {
            ReadFrom::Near(record) => {
                let found = near_hit::answer(engine, &context.span, id, (began, tags), record);
                return PendingLookup::new(context, data, FirstRead::Hit(found));
            }
            ReadFrom::Pending(cause) => {
                let request = "read";
                (Err(Error::Store { request, cause }), None)
            }
            ReadFrom::Store(placeholder) => {
                let (read, tags) = reads.next().expect("an answer to each request");
                context.tags = tags;
                (read, placeholder)
            }
        };
        let read = context.first_read(read, placeholder);
        PendingLookup::new(context, data, read)
    });
    lookups.collect()
}

/// What is known of the tags of each lookup.
type TagsOfEach = Vec<Option<Box<LookupTags>>>;

/// Also called for a peek. Reads these entries, and before them the tags of all lookups.
pub(in crate::read) fn read_all(
    engine: &Engine,
    keys: &[&str],
    with_ttl: bool,
    tags: Option<&LookupTags>,
) -> (Vec<FirstReadResult>, TagsOfEach) {
    let Some(tags) = tags.filter(|_| !keys.is_empty()) else {
        return (engine.read_entries(keys, with_ttl), vec![None; keys.len()]);
    };
    let mut tags = tags.clone();
    if let Err(failure) = engine.read_tags(&mut tags) {
        let failures = keys.iter().map(|_| Err(failure.clone()));
        return (failures.collect(), vec![None; keys.len()]);
    }
    let reads = engine.read_entries(keys, with_ttl);
    let mut each = vec![Some(Box::new(tags)); keys.len()];
    let entries = reads.iter().zip(&mut each);
    let entries = entries.filter_map(|(read, tags)| match (read, tags) {
        (Ok((entry, _)), Some(tags)) => Some((entry, &mut **tags)),
        _ => None,
    });
    let listed = engine.read_listed(&mut entries.collect::<Vec<_>>());
    match listed {
        Ok(()) => (reads, each),
        Err(failure) => {
            let failures = reads.into_iter().map(|_| Err(failure.clone()));
            (failures.collect(), each)
        }
    }
}
