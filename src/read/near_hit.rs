//! Reads the near cache, before any request is sent.
//!
//! Called first by every lookup. Reads the clock once, and allocates nothing: it builds no key and
//! no text of an event. It creates a span only if a subscriber wants it.

use std::time::{Duration, Instant};

use super::lookup::keys_of;
use crate::{
    engine::{Engine, lookup_tags::LookupTags},
    near::{Accepts, Placeholder},
    outcome::{Answer, Source},
    record::any::AnyRecord,
    telemetry::trace,
};

/// The near cache's answer for this id. Without an answer, a placeholder for the record that is
/// about to be read, if the near cache gives one. `tags`: those of the lookup.
pub(super) fn find<'a>(
    engine: &'a Engine,
    id: &str,
    began: Instant,
    accepts: Accepts,
    tags: Option<&LookupTags>,
) -> Result<Option<AnyRecord>, Option<Placeholder<'a>>> {
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
pub(super) fn answer(
    engine: &Engine,
    span: &trace::LookupSpan,
    id: &str,
    (began, tags): (Instant, Option<&LookupTags>),
    record: Option<AnyRecord>,
) -> Answer {
    engine.sample_hit(id, tags, record.as_ref());
    span.answered(Source::Near, record.is_some());
    let found = (Source::Near, record.as_ref());
    let recorder = &engine.reporter.recorder;
    recorder.lookup(
        id,
        began,
        found,
        engine.record_type.fingerprint,
        keys_of(tags),
    );
    engine.reporter.near_hit(id, record.is_some());
    Answer::new(record, Source::Near, Duration::ZERO)
}
