//! The look before the first one: into what this process keeps near.
//!
//! It takes one look at the clock, and makes nothing: no key, no event's text, no span that nobody wants.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    engine::Inner,
    near::Seat,
    outcome::{Lookup, Source},
    telemetry::trace,
};

/// What is kept near under this id; or else a seat for what is going to be read, if there is to be one.
pub(super) fn look<'a, R>(
    inner: &'a Inner<R>,
    id: &str,
    began: Instant,
) -> Result<Option<Arc<R>>, Option<Seat<'a, R>>> {
    let Some(tracked) = &inner.tracked else {
        return Err(None);
    };
    let Some(near) = &tracked.near else {
        return Err(None);
    };
    near.find(&tracked.listening, id, began)
}

/// That is the answer.
pub(super) fn found<R>(
    inner: &Inner<R>,
    span: &trace::Lookup,
    id: &str,
    record: Option<Arc<R>>,
) -> Lookup<R> {
    span.answered(Source::Near, record.is_some());
    inner.reporter.near_hit(id, record.is_some());
    Lookup::new(record, Source::Near, Duration::ZERO)
}
