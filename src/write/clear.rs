//! Clearing a whole cache: all records with its prefix, and all loads of them that are under way.
//!
//! Guarantees that a lookup which starts after it returned gets nothing that was there when it was called, and
//! nothing of a load that was under way then.
//!
//! **First the leases are gone through, then the records**, each from one end of the store to the other. That this is
//! enough rests on what a scan promises: it meets what stands there from its start to its end. A load that was under way
//! when `clear` was called holds a lease. Either that stands through the whole first scan, is met, and is ended, so
//! that the load's fill is refused; or it has ended before the first scan has, and if by a fill, its record stands
//! there before the second scan begins. So when that begins, no old load can fill any more; and what is old stands
//! from its start, until it is met and ended. The other way around, a load whose lease comes late in the scan of the
//! leases could fill behind the back of a scan of the records that is over.
//!
//! What is loaded by those who asked for their lease after `clear` was called may go or stay; it was read after
//! that.

use super::Wrote;
use crate::{
    engine::Inner,
    error::Error,
    store::{Cursor, Kind, Scanned},
    telemetry::event::Write,
};

/// How far a [`Cache::clear`](crate::Cache::clear) has come.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Cleared {
    /// How many records it has ended.
    pub ended: u64,
    /// How much of its way it has gone, from 0 to 1: of the way through all that the server holds, whatever its prefix.
    /// It only grows, and is 1 in the end.
    pub share: f64,
}

/// How many records are ended in one request: it takes the server a few milliseconds, in between which it serves others.
const AT_ONCE: usize = 1_000;

/// See [`Cache::clear`](crate::Cache::clear).
pub(crate) fn clear<R>(inner: &Inner<R>, mut progress: impl FnMut(Cleared)) -> Result<u64, Error> {
    let _wrote = Wrote::begin(inner, "", Write::Clear);
    let clearing = Clearing(inner);
    let prefix = &inner.settings.prefix;
    // Of a `clear` that failed, for one. What fails meanwhile prolongs it.
    let bypassed = inner.link.bypassed_until(prefix);
    let mut cleared = Cleared {
        ended: 0,
        share: 0.0,
    };
    // Both scans must be of the same server.
    let mut server = Cursor::default().of;
    for (kind, before) in [(Kind::Leases, 0.0), (Kind::Records, 0.5)] {
        let mut cursor = Some(Cursor {
            of: server,
            ..Cursor::default()
        });
        while let Some(at) = cursor {
            let scanned = inner.ask("scan", |store| store.scan(prefix, kind, at))?;
            let Scanned {
                met,
                of,
                next,
                share,
            } = scanned;
            server = of;
            let met: Vec<_> = met.iter().collect();
            for some in met.chunks(AT_ONCE) {
                cleared.ended += inner.link.invalidate_all(&inner.reporter, some)?;
            }
            // Of a store that counts otherwise, it would jump back.
            cleared.share = cleared.share.max(before + share / 2.0);
            progress(cleared);
            cursor = next;
        }
    }
    // Also what stands in the store no longer, because that had no room for it.
    inner.link.evict_all();
    inner.link.lift_bypass(prefix, bypassed);
    std::mem::forget(clearing);
    Ok(cleared.ended)
}

/// Under way. Dropped, it has failed or panicked: then anything with the prefix may be what should have been ended.
struct Clearing<'a, R>(&'a Inner<R>);

impl<R> Drop for Clearing<'_, R> {
    fn drop(&mut self) {
        let Clearing(inner) = self;
        inner.link.bypass_all(&inner.reporter);
        inner.link.evict_all();
    }
}
