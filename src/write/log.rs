//! Records, in the event log, what a write puts into the cache.
//!
//! Such a record counts as loaded. Called by the write path before the request is sent, because the
//! change may happen although its reply is lost.

use crate::{
    engine::Engine,
    telemetry::recorder::{Began, LoadedRecord},
};

/// `began`: an instant since when nobody has changed or ended the record, or else it is not cached.
/// `version`, `tags`: see [`Loaded`](crate::Loaded).
pub(super) fn add<R>(
    engine: &Engine<R>,
    id: &str,
    began: Began,
    record: Option<&R>,
    (version, tags): (Option<u64>, &[String]),
) {
    let recorder = &engine.reporter.recorder;
    recorder.load(record, engine.fingerprint, || {
        let names: Vec<_> = tags.iter().map(String::as_str).collect();
        LoadedRecord {
            id,
            began,
            token: None,
            version,
            lag: None,
            tags: engine.settings.tag_keys(&names).tags,
            clock: None,
        }
    });
}
