//! Clears a whole cache. The client does the work: see `backend/client/clear.rs`.

use super::Wrote;
use crate::{
    engine::{Engine, Settings},
    error::Error,
    telemetry::event::Write,
};

/// The progress of a [`Cache::clear_with_progress`](crate::Cache::clear_with_progress).
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct ClearProgress {
    /// How many records it has removed.
    pub removed: u64,
    /// The fraction of the work that is done, from 0 to 1. It counts all keys of the server, of any
    /// prefix. It never decreases, and ends at 1.
    pub fraction: f64,
}

/// See [`Cache::clear`](crate::Cache::clear).
pub(crate) fn clear(
    engine: &Engine,
    mut progress: impl FnMut(ClearProgress),
) -> Result<u64, Error> {
    let _wrote = Wrote::begin(engine, "", Write::Clear);
    let mut prefixes: Vec<_> = engine.prefixes().collect();
    let mut by_tag = Ok(());
    if engine.settings.clear_by_tag {
        // Caches with the other prefixes may have another setting, so these are scanned too.
        let tags: Vec<_> = prefixes
            .iter()
            .map(|it| Settings::tag_of_prefix(it))
            .collect();
        let tags: Vec<_> = tags.iter().map(String::as_str).collect();
        let keys = engine.settings.tag_keys(&tags);
        let (client, reporter) = (&engine.client, &engine.reporter);
        by_tag = client.invalidate_tags(reporter, &keys, engine.tag_life());
        prefixes.remove(0);
        if prefixes.is_empty() {
            by_tag?;
            let (removed, fraction) = (0, 1.0);
            progress(ClearProgress { removed, fraction });
            return Ok(0);
        }
    }
    let count = f64::from(u32::try_from(prefixes.len()).unwrap_or(u32::MAX));
    let (mut removed, mut cleared) = (0, by_tag);
    for (before, prefix) in (0_u32..).zip(&prefixes) {
        let client = &engine.client;
        let done = client.clear(&engine.reporter, prefix, |more, fraction| {
            let fraction = (f64::from(before) + fraction) / count;
            let removed = removed + more;
            progress(ClearProgress { removed, fraction });
        });
        // Clears the other prefixes after a failure too: each may succeed.
        match done {
            Ok(more) => removed += more,
            Err(error) => cleared = cleared.and(Err(error)),
        }
    }
    cleared.map(|()| removed)
}
