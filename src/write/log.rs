//! Records, in the event log, what a write puts into the cache.
//!
//! Such a record counts as loaded. Called by the write path before the request is sent, because the
//! change may happen although its reply is lost.

use crate::{
    engine::Engine,
    record::{
        any::AnyRecord,
        fields::tag_fields::{TagFields, tags_in},
    },
    telemetry::recorder::{Began, LoadedRecord},
};

/// `began`: an instant since when nobody has changed or ended the record, or else it is not cached.
/// `version`, `tags`: see [`Loaded`](crate::Loaded).
pub(super) fn add(
    engine: &Engine,
    id: &str,
    began: Began,
    record: Option<&AnyRecord>,
    (version, tags): (Option<u64>, &[String]),
) {
    let recorder = &engine.reporter.recorder;
    recorder.load(record, engine.record_type.fingerprint, || {
        let names: Vec<_> = tags.iter().map(String::as_str).collect();
        LoadedRecord {
            id,
            began,
            token: None,
            version,
            lag: None,
            is_unchanged: false,
            tags: engine.settings.tag_keys(&names).tags,
            clock: None,
            was: None,
        }
    });
}

/// The same for an update in place of `old`. The entry keeps its tags, and the clock of its load:
/// so `old` tells which invalidations of tags it has seen. `old` is `None` if it is unreadable.
pub(super) fn add_update(
    engine: &Engine,
    id: &str,
    began: Began,
    (old, new): (Option<&AnyRecord>, &AnyRecord),
    kept: &TagFields,
) {
    let recorder = &engine.reporter.recorder;
    recorder.load(Some(new), engine.record_type.fingerprint, || {
        let names = kept.list.as_deref().and_then(tags_in).unwrap_or_default();
        LoadedRecord {
            id,
            began,
            token: None,
            version: None,
            lag: None,
            is_unchanged: false,
            tags: engine.settings.tag_keys(&names).tags,
            clock: None,
            was: old.and_then(|old| engine.record_type.fingerprint.of(Some(old))),
        }
    });
}
