//! Clears a whole cache: all records with its prefix, and all loads of them in progress.
//!
//! Guarantees that a lookup which starts after `clear` returned gets nothing from before the call,
//! neither a record nor the result of a load in progress.
//!
//! **The leases are scanned first, then the records**, each in one full scan of the store. A scan
//! finds every key that exists from its start to its end. A load that was in progress when `clear`
//! was called holds a lease. There are two cases:
//!
//! - The lease exists during the whole first scan. The scan finds and removes it, so the fill is
//!   refused.
//! - The lease ends before the first scan does. If a fill ended it, the record exists before the
//!   second scan starts.
//!
//! So when the second scan starts, no old load can fill any more, and that scan finds every old
//! record. In the other order this fails: a load whose lease is found late could fill after the
//! scan of the records had passed.
//!
//! A load that asked for its lease after `clear` was called may be removed or stay. It read the
//! primary after the call.

use super::Wrote;
use crate::{
    engine::Engine,
    error::Error,
    store::{Cursor, KeyKind, ScanPage},
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

/// How many records one request removes. It occupies the server for a few milliseconds.
const AT_ONCE: usize = 1_000;

/// See [`Cache::clear`](crate::Cache::clear).
pub(crate) fn clear<R>(
    engine: &Engine<R>,
    mut progress: impl FnMut(ClearProgress),
) -> Result<u64, Error> {
    let _wrote = Wrote::begin(engine, "", Write::Clear);
    let clearing = Clearing(engine);
    let prefix = &engine.settings.prefix;
    // An earlier `clear` that failed may have set this bypass. A failure during this call extends
    // it.
    let bypassed = engine.client.bypassed_until(prefix);
    let mut cleared = ClearProgress {
        removed: 0,
        fraction: 0.0,
    };
    // Both scans must read the same server.
    let mut server = Cursor::default().epoch;
    for (kind, before) in [(KeyKind::Leases, 0.0), (KeyKind::Records, 0.5)] {
        let mut cursor = Some(Cursor {
            epoch: server,
            ..Cursor::default()
        });
        while let Some(at) = cursor {
            let scanned = engine.ask("scan", |store| store.scan(prefix, kind, at))?;
            let ScanPage {
                keys,
                epoch,
                next,
                fraction,
            } = scanned;
            server = epoch;
            let keys: Vec<_> = keys.iter().collect();
            for some in keys.chunks(AT_ONCE) {
                cleared.removed += engine.client.invalidate_all(&engine.reporter, some)?;
            }
            // A store that computes the fraction in another way could make it decrease.
            cleared.fraction = cleared.fraction.max(before + fraction / 2.0);
            progress(cleared);
            cursor = next;
        }
    }
    // The near cache may hold records that the store has already evicted.
    engine.client.evict_all();
    engine.client.lift_bypass(prefix, bypassed);
    std::mem::forget(clearing);
    Ok(cleared.removed)
}

/// A `clear` in progress. If it is dropped early, it has failed or panicked, and old records may
/// remain.
struct Clearing<'a, R>(&'a Engine<R>);

impl<R> Drop for Clearing<'_, R> {
    fn drop(&mut self) {
        let Clearing(engine) = self;
        engine.client.bypass_all(&engine.reporter);
        engine.client.evict_all();
    }
}
