//! The look before the first one: into what this process keeps near.
//!
//! It takes one look at the clock, and makes nothing: no key, no event's text, no span that nobody wants.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    engine::Engine,
    near::Placeholder,
    outcome::{Lookup, Source},
    telemetry::trace,
};

/// What is kept near under this id; or else a placeholder for what is going to be read, if there is to be one.
pub(super) fn look<'a, R>(
    engine: &'a Engine<R>,
    id: &str,
    began: Instant,
) -> Result<Option<Arc<R>>, Option<Placeholder<'a, R>>> {
    let Some(subscriber) = &engine.subscriber else {
        return Err(None);
    };
    let Some(near) = &subscriber.near else {
        return Err(None);
    };
    near.find(&subscriber.liveness, id, began)
}

/// That is the answer.
pub(super) fn found<R>(
    engine: &Engine<R>,
    span: &trace::LookupSpan,
    id: &str,
    record: Option<Arc<R>>,
) -> Lookup<R> {
    span.answered(Source::Near, record.is_some());
    engine.reporter.near_hit(id, record.is_some());
    Lookup::new(record, Source::Near, Duration::ZERO)
}
