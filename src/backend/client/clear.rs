//! Clears a prefix: all records with it, and all loads of them in progress. Repeats a `clear` that
//! failed.
//!
//! Guarantees that a lookup which starts after [`StoreClient::clear`] returned gets nothing from
//! before the call, neither a record nor the result of a load in progress. If the call fails, this
//! process reads nothing with the prefix from the store until a repetition has succeeded, or until
//! every old record must have expired.
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
//!
//! A repetition is such a scan too, and it starts after the failed call. So the same holds for it:
//! a record that remains was loaded after the call. Records that this process or others filled in
//! the meantime may be removed, which costs a load each.

use std::{mem, sync::Arc, time::Instant};

use super::{StoreClient, batch::counted, recovery::ClientState, unwind::Ending};
use crate::{
    error::Error,
    store::{Cursor, Failure, FailureKind, KeyKind, ScanPage, keys::Keys},
    telemetry::{
        event::Event,
        recorder::{Began, Ended},
        reporter::Reporter,
        trace,
    },
};

/// How many records one request removes. It occupies the server for a few milliseconds.
const AT_ONCE: usize = 1_000;

/// A `clear` that the store refuses after a long scan takes up at most one part in this many of
/// the time.
const REFUSED_SHARE: u32 = 10;

/// The most steps of one scan. Each covers a thousand positions, so all together cover many more
/// than the 2³² keys that a Redis server holds.
const MOST_STEPS: u32 = 1 << 26;

impl StoreClient {
    /// Clears a prefix for this cache, and returns how many records were cached. `progress` gets
    /// how many were removed so far, and the fraction of the work that is done.
    pub(crate) fn clear(
        &self,
        reporter: &Arc<Reporter>,
        prefix: &str,
        progress: impl FnMut(u64, f64),
    ) -> Result<u64, Error> {
        let clearing = Clearing {
            client: self,
            reporter,
            prefix,
            log_began: Began::now(),
        };
        // Taken before the first request. The scans delete what earlier failures have left.
        let began = self.state.pending.sequence();
        let lags = self.state.pending.lags();
        let removed = scan_all(
            |kind, at| {
                let page = self.ask(reporter, "scan", |store| store.scan(prefix, kind, at))?;
                Ok(lags.with_floors(page))
            },
            |all| {
                let records = all.iter().map(|keys| Ending {
                    reporter,
                    prefix,
                    keys,
                });
                let records: Vec<_> = records.collect();
                let mut removed = self.invalidate_all(&records).into_iter();
                removed.try_fold(
                    0,
                    |removed, was_cached| Ok(removed + u64::from(was_cached?)),
                )
            },
            |failure| failure.at("scan"),
            progress,
        )?;
        // The near cache may hold records that the store has already evicted.
        self.state.siblings.tell_all();
        self.state.pending.lift(prefix, began);
        let recorder = &reporter.recorder;
        recorder.cleared(prefix, clearing.log_began, Ended::Done);
        mem::forget(clearing);
        Ok(removed)
    }
}

/// A `clear` in progress. If it is dropped early, it has failed or panicked, and old records may
/// remain.
struct Clearing<'a> {
    client: &'a StoreClient,
    reporter: &'a Arc<Reporter>,
    prefix: &'a str,
    log_began: Began,
}

impl Drop for Clearing<'_> {
    /// Bypasses the whole prefix, because any of its entries may be outdated.
    fn drop(&mut self) {
        let Clearing {
            client,
            reporter,
            prefix,
            log_began,
        } = self;
        let recorder = &reporter.recorder;
        recorder.cleared(prefix, *log_began, Ended::Pending);
        let bypassed = client.state.pending.bypass(prefix);
        // Evicted after the bypass began. A lookup that takes its placeholder later sees the
        // bypass, and so keeps nothing. So nothing is left to evict when the bypass ends.
        client.state.siblings.tell_all();
        // Started before the reports, because reports call user code.
        client.start_recovery();
        if let Some(lasts) = bypassed {
            trace::error!(
                "cache `{}`: a `clear` did not finish and will be repeated; until then, and for {lasts:?} at most, no \
                 record is read from the server",
                reporter.cache
            );
            reporter.report(&Event::Bypassed { lasts });
        }
    }
}

impl ClientState {
    /// Repeats each `clear` that failed. Its prefix is read again as soon as that has succeeded.
    /// Called by the recovery thread, while the store answers.
    pub(super) fn repeat_clears(&self) -> Result<(), Error> {
        let mut repeated = Ok(());
        for prefix in self.pending.due_clears() {
            let began = Instant::now();
            let Err(Some((kind, error))) = self.repeat_clear(&prefix) else {
                continue;
            };
            let pause = match kind {
                FailureKind::Unavailable => return Err(error),
                FailureKind::Rejected => began.elapsed() * REFUSED_SHARE,
                FailureKind::Partial | FailureKind::Saturated => began.elapsed(),
            };
            self.pending.defer_clear(&prefix, Instant::now() + pause);
            repeated = Err(error);
        }
        repeated
    }

    /// Fails without an error if the repetition is no longer needed.
    fn repeat_clear(&self, prefix: &str) -> Result<(), Option<(FailureKind, Error)>> {
        let began = self.pending.sequence();
        let lags = self.pending.lags();
        let mut replayed = began;
        scan_all(
            |kind, at| {
                // A large server takes minutes to scan. Meanwhile a caller may have cleared the
                // prefix, or dropped the client, whose drop waits for this thread.
                if self.startup.has_ended() || !self.pending.needs_clear(prefix) {
                    return Err(None);
                }
                // Nor must other prefixes wait for the end of the scan.
                let latest = self.pending.sequence();
                if self.breaker.is_open() || mem::replace(&mut replayed, latest) != latest {
                    let answers = self.probe_and_replay();
                    answers.map_err(|error| Some((FailureKind::Unavailable, error)))?;
                }
                let scanned = self.store.scan(prefix, kind, at);
                let scanned = scanned.map(|page| lags.with_floors(page));
                scanned.map_err(|failure| Some((failure.kind, failure.at("scan"))))
            },
            |keys| {
                let failed = |failure: Failure| Some((failure.kind, failure.at("invalidate")));
                let mut removed = 0;
                let each = counted(self.store.invalidate_all(keys), keys.len());
                for was_cached in each.map_err(failed)? {
                    removed += u64::from(was_cached.map_err(failed)?);
                }
                Ok(removed)
            },
            |failure| Some((failure.kind, failure.at("scan"))),
            |_, _| {},
        )?;
        self.pending.lift(prefix, began);
        trace::info!("a `clear` of the prefix `{prefix}` that failed has been repeated");
        Ok(())
    }
}

/// Notices a scan that does not end: the store returns to an earlier position, or has more of them
/// than any store. Finds each cycle by Brent's algorithm: a position is kept, and replaced by the
/// current one after 1, 2, 4, 8 steps, and so on.
#[derive(Default)]
struct Steps {
    count: u32,
    kept: Option<Cursor>,
}

impl Steps {
    fn next(&mut self, at: Cursor) -> Result<(), Failure> {
        if self.kept == Some(at) || self.count == MOST_STEPS {
            let endless = "the scan of the keys does not end; is that a Redis server?";
            return Err(Failure::new(FailureKind::Rejected, endless));
        }
        self.count += 1;
        if self.count.is_power_of_two() {
            self.kept = Some(at);
        }
        Ok(())
    }
}

/// Scans the leases and then the records, and removes what it finds. Returns how many records were
/// removed. `progress` is called after each step.
fn scan_all<E>(
    mut scan: impl FnMut(KeyKind, Cursor) -> Result<ScanPage, E>,
    mut invalidate: impl FnMut(&[&Keys]) -> Result<u64, E>,
    failed: impl Fn(Failure) -> E,
    mut progress: impl FnMut(u64, f64),
) -> Result<u64, E> {
    let (mut removed, mut done) = (0, 0.0_f64);
    // Both scans must read the same server.
    let mut server = Cursor::default().epoch;
    for (kind, before) in [(KeyKind::Leases, 0.0), (KeyKind::Records, 0.5)] {
        let mut cursor = Some(Cursor {
            epoch: server,
            ..Cursor::default()
        });
        let mut steps = Steps::default();
        while let Some(at) = cursor {
            steps.next(at).map_err(&failed)?;
            let ScanPage {
                keys,
                epoch,
                next,
                fraction,
            } = scan(kind, at)?;
            server = epoch;
            let keys: Vec<_> = keys.iter().collect();
            for some in keys.chunks(AT_ONCE) {
                removed += invalidate(some)?;
            }
            // A store that computes the fraction in another way could make it decrease.
            done = done.max(before + fraction / 2.0);
            progress(removed, done);
            cursor = next;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of steps of a scan that returns to the position `to` after `from`.
    fn steps_until_noticed(from: u64, to: u64) -> u64 {
        let mut steps = Steps::default();
        let mut position = 0;
        for count in 1.. {
            let at = Cursor {
                position,
                ..Cursor::default()
            };
            if steps.next(at).is_err() {
                return count;
            }
            position = if position == from { to } else { position + 1 };
        }
        unreachable!("the loop above does not end")
    }

    #[test]
    fn a_scan_that_returns_to_an_earlier_position_ends() {
        for (from, to) in [(0, 0), (1, 0), (5, 5), (9, 3), (100, 7)] {
            let steps = steps_until_noticed(from, to);
            assert!(steps <= 4 * (from + 2), "{from} to {to}: {steps} steps");
        }
    }
}
