//! The beginning of a lookup of one id: a look into the near cache, and else the first read of the
//! store.
//!
//! Called by `get` of a cache and of a `LoadingCache`. Decides nothing: see `first_read.rs`.

use std::time::Instant;

use super::{
    first_read::FirstRead,
    lookup::{LookupConfig, LookupContext},
    near_hit,
};
use crate::{
    engine::{Engine, lookup_tags::LookupTags},
    error::Error,
    near::{Accepts, Placeholder},
    outcome::Answer,
    telemetry::trace,
};

/// A lookup that the near cache did not answer.
pub(super) struct NearMiss<'a> {
    span: trace::LookupSpan,
    began: Instant,
    placeholder: Option<Placeholder<'a>>,
    tags: Option<Box<LookupTags>>,
}

/// A lookup after its first read, and the key of its record.
pub(super) type ReadLookup<'a> = (LookupContext<'a>, String, FirstRead);

/// Begins a lookup. `began`: the clock, read when it began. `accepts`: which near entries may
/// answer it. `tags`: its tags.
#[inline]
#[cfg_attr(
    feature = "tracing",
    expect(clippy::result_large_err, reason = "a box would be an allocation")
)]
pub(super) fn look<'a>(
    engine: &'a Engine,
    id: &str,
    (began, accepts): (Instant, Accepts),
    tags: Option<Box<LookupTags>>,
) -> Result<Answer, NearMiss<'a>> {
    let span = trace::lookup(&engine.reporter.cache, id);
    match near_hit::find(engine, id, began, accepts, tags.as_deref()) {
        Ok(record) => {
            let of_lookup = (began, tags.as_deref());
            Ok(near_hit::answer(engine, &span, id, of_lookup, record))
        }
        Err(placeholder) => Err(NearMiss {
            span,
            began,
            placeholder,
            tags,
        }),
    }
}

impl NearMiss<'_> {
    /// Reads the store.
    pub(super) fn read<'a>(
        mut self,
        engine: &'a Engine,
        config: LookupConfig,
        id: &'a str,
    ) -> Result<ReadLookup<'a>, Error> {
        let data = engine.data_key(id)?;
        let with_ttl = self.placeholder.is_some() || config.max_age.is_some();
        if let (Some(tags), Some(_)) = (&mut self.tags, &self.placeholder) {
            tags.read_for_near();
        }
        let read = engine.first_read(&data, with_ttl, self.tags.as_deref_mut());
        let context = LookupContext {
            engine,
            config,
            id,
            span: self.span,
            began: self.began,
            redis_latency: self.began.elapsed(),
            tags: self.tags,
            is_background: false,
        };
        let read = context.first_read(read, self.placeholder);
        Ok((context, data, read))
    }
}
