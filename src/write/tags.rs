//! Invalidations of tags. The client does the work: see `backend/client/tags.rs`.
//!
//! Called by the public handle.

use super::Wrote;
use crate::{
    engine::Engine, error::Error, record::fields::tag_fields::invalid_tags,
    telemetry::event::Write, util::limits::refuse,
};

/// See [`Cache::invalidate_tag`](crate::Cache::invalidate_tag).
pub(crate) fn invalidate_tag(engine: &Engine, tag: &str) -> Result<(), Error> {
    invalidate(engine, &[tag], Write::InvalidateTag)
}

/// See [`Cache::invalidate_tags`](crate::Cache::invalidate_tags).
pub(crate) fn invalidate_tags(engine: &Engine, tags: &[&str]) -> Result<(), Error> {
    invalidate(engine, tags, Write::InvalidateTags)
}

fn invalidate(engine: &Engine, tags: &[&str], call: Write) -> Result<(), Error> {
    check(engine, tags)?;
    let Some(first) = tags.first() else {
        return Ok(());
    };
    let _wrote = Wrote::begin(engine, first, call);
    let keys = engine.settings.tag_keys(tags);
    let (client, reporter) = (&engine.client, &engine.reporter);
    client.invalidate_tags(reporter, &keys, engine.tag_life())
}

/// Refuses tags that no entry can have, before anything is sent.
pub(crate) fn check(engine: &Engine, tags: &[&str]) -> Result<(), Error> {
    if tags.is_empty() {
        return Ok(());
    }
    if let Some(reason) = invalid_tags(tags) {
        return refuse("tags", reason);
    }
    if engine.client.store().tagged().is_none() {
        return refuse("tags", "this store keeps no tags");
    }
    Ok(())
}
