//! Clearing a whole cache: all records with its prefix, and all loads of them that are under way.
//!
//! Guarantees that a lookup which starts after it returned gets nothing that was there when it was called, and
//! nothing of a load that was under way then.
//!
//! **First the leases are gone through, then the records**, each from one end of the store to the other. That this is
//! enough rests on what a scan promises: it meets what stands there from its start to its end. A load that was under way
//! when `clear` was called holds a lease. Either that stands through the whole first scan, is keys, and is removed, so
//! that the load's fill is refused; or it has ended before the first scan has, and if by a fill, its record stands
//! there before the second scan begins. So when that begins, no old load can fill any more; and what is old stands
//! from its start, until it is met and ended. The other way around, a load whose lease comes late in the scan of the
//! leases could fill behind the back of a scan of the records that is over.
//!
//! What is loaded by those who asked for their lease after `clear` was called may go or stay; it was read after
//! that.

use super::Wrote;
use crate::{
    engine::Engine,
    error::Error,
    store::{Cursor, KeyKind, ScanPage},
    telemetry::event::Write,
};

/// How far a [`Cache::clear`](crate::Cache::clear) has come.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct ClearProgress {
    /// How many records it has ended.
    pub removed: u64,
    /// How much of its way it has gone, from 0 to 1: of the way through all that the server holds, whatever its prefix.
    /// It only grows, and is 1 in the end.
    pub fraction: f64,
}

/// How many records are ended in one request: it takes the server a few milliseconds, in between which it serves others.
const AT_ONCE: usize = 1_000;

/// See [`Cache::clear`](crate::Cache::clear).
pub(crate) fn clear<R>(
    engine: &Engine<R>,
    mut progress: impl FnMut(ClearProgress),
) -> Result<u64, Error> {
    let _wrote = Wrote::begin(engine, "", Write::Clear);
    let clearing = Clearing(engine);
    let prefix = &engine.settings.prefix;
    // Of a `clear` that failed, for one. What fails meanwhile prolongs it.
    let bypassed = engine.client.bypassed_until(prefix);
    let mut cleared = ClearProgress {
        removed: 0,
        fraction: 0.0,
    };
    // Both scans must be of the same server.
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
            // Of a store that counts otherwise, it would jump back.
            cleared.fraction = cleared.fraction.max(before + fraction / 2.0);
            progress(cleared);
            cursor = next;
        }
    }
    // Also what stands in the store no longer, because that had no room for it.
    engine.client.evict_all();
    engine.client.lift_bypass(prefix, bypassed);
    std::mem::forget(clearing);
    Ok(cleared.removed)
}

/// Under way. Dropped, it has failed or panicked: then anything with the prefix may be what should have been ended.
struct Clearing<'a, R>(&'a Engine<R>);

impl<R> Drop for Clearing<'_, R> {
    fn drop(&mut self) {
        let Clearing(engine) = self;
        engine.client.bypass_all(&engine.reporter);
        engine.client.evict_all();
    }
}
