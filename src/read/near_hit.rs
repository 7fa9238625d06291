//! Reads the near cache, before any request is sent.
//!
//! Called first by every lookup. Reads the clock once, and allocates nothing: it builds no key and
//! no text of an event. It creates a span only if a subscriber wants it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::lookup::keys_of;
use crate::{
    engine::{Engine, lookup_tags::LookupTags},
    near::{Accepts, Placeholder},
    outcome::{Lookup, Source},
    telemetry::trace,
};

/// The near cache's answer for this id. Without an answer, a placeholder for the record that is
/// about to be read, if the near cache gives one. `tags`: those of the lookup.
pub(super) fn find<'a, R>(
    engine: &'a Engine<R>,
    id: &str,
    began: Instant,
    accepts: Accepts,
    tags: Option<&LookupTags>,
) -> Result<Option<Arc<R>>, Option<Placeholder<'a, R>>> {
    let Some(subscriber) = &engine.subscriber else {
        return Err(None);
    };
    let Some(near) = &subscriber.near else {
        return Err(None);
    };
    let tags = match tags {
        None => None,
        Some(tags) => Some(engine.near_tags(tags, began).ok_or(None)?),
    };
    near.find(&subscriber.liveness, id, began, accepts, tags)
}

/// Answers the lookup from the near cache. `began` and `tags`: those of the lookup.
pub(super) fn answer<R>(
    engine: &Engine<R>,
    span: &trace::LookupSpan,
    id: &str,
    (began, tags): (Instant, Option<&LookupTags>),
    record: Option<Arc<R>>,
) -> Lookup<R> {
    engine.sample_hit(id, tags, record.as_ref());
    span.answered(Source::Near, record.is_some());
    let found = (Source::Near, record.as_deref());
    let recorder = &engine.reporter.recorder;
    recorder.lookup(id, began, found, engine.fingerprint, keys_of(tags));
    engine.reporter.near_hit(id, record.is_some());
    Lookup::new(record, Source::Near, Duration::ZERO)
}
