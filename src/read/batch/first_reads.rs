//! The first read of many records: from the near cache, or in one request.
//!
//! Called by the driver for many ids.

use std::{sync::Arc, time::Instant};

use serde::{Serialize, de::DeserializeOwned};

use super::KeyedId;
use crate::{
    engine::Engine,
    error::{Error, cause::Cause},
    near::Placeholder,
    read::{
        first_read::FirstRead,
        lookup::{LookupConfig, LookupContext},
        machine::PendingLookup,
        near_hit,
    },
    telemetry::trace,
};

/// Where the first read of a record comes from.
enum ReadFrom<'a, R> {
    /// From the near cache.
    Near(Option<Arc<R>>),
    /// The record is not read: an invalidation is pending, so the store must not be asked.
    Pending(Cause),
    Store(Option<Placeholder<'a, R>>),
}

/// Reads all records.
pub(super) fn first_reads<'a, R: Serialize + DeserializeOwned>(
    engine: &'a Engine<R>,
    config: LookupConfig,
    ids: &'a [KeyedId<'a>],
) -> Vec<PendingLookup<'a, R>> {
    let (began, accepts) = (Instant::now(), config.accepts());
    let sources: Vec<_> = ids
        .iter()
        .map(
            |(id, data)| match near_hit::find(engine, id, began, accepts) {
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
    let has_placeholder = |from: &ReadFrom<'_, R>| matches!(from, ReadFrom::Store(Some(_)));
    let with_ttl = config.max_age.is_some() || sources.iter().any(has_placeholder);
    let mut reads = engine.first_reads(&keys, with_ttl).into_iter();
    let redis_latency = began.elapsed();
    let lookups = ids.iter().zip(sources).map(|((id, data), from)| {
        let context = LookupContext {
            engine,
            config,
            id,
            span: trace::LookupSpan::one_of_many(),
            began,
            redis_latency,
            is_background: false,
        };
        let (read, placeholder) = match from {
            ReadFrom::Near(record) => {
                let found = near_hit::answer(engine, &context.span, id, record);
                return PendingLookup::new(context, data, FirstRead::Hit(found));
            }
            ReadFrom::Pending(cause) => {
                let request = "read";
                (Err(Error::Store { request, cause }), None)
            }
            ReadFrom::Store(placeholder) => (
                reads.next().expect("an answer to each request"),
                placeholder,
            ),
        };
        let read = context.first_read(read, placeholder);
        PendingLookup::new(context, data, read)
    });
    lookups.collect()
}
