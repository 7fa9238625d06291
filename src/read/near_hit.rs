//! Reads the near cache, before any request is sent.
//!
//! Called by lookups that may use the near cache, and by the audit. A near hit without tags, audit
//! or event log allocates nothing: it builds no key and no text of an event.
//!
//! The instructions of a near hit on x86-64, of an id with five bytes, counted with callgrind:
//!
//! | part | instructions |
//! |---|---:|
//! | `get` of `quick_cache`, as in a bare call | 183 |
//! | reading the clock, as in a bare call | 28 |
//! | the id: `write!` 185, its buffer 45 | 230 |
//! | the clock in nanoseconds: `duration_since` of the standard library | 55 |
//! | the `metrics` facade, while no recorder is installed | 38 |
//! | the public call: process, settings, the record's type, the answer | 122 |
//! | this file and its callers: change stream, entry, counter, moving the answer | 176 |
//! | dropping the answer | 16 |
//!
//! They are 848 in all. Not counted: once in 10 µs, the system is asked for the id of the process.
//! The functions on this path are inlined. Without that, a near hit took 125 instructions more.

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
#[inline]
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
#[inline]
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
