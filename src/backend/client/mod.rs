//! The link to a store: what every request of every cache on it passes through.
//!
//! Guarantees that a store which doesn't answer is asked no longer after a few failures in a row, until it
//! does answer again, and that an invalidation which did not reach it is replayed when it does. A thread of the
//! link probes and replays, the [mender](Mender); no caller pays for that, and it goes on where no caller comes.
//!
//! Knows the store; nothing of lookups, flights and record types.

pub(crate) mod batch;
pub(crate) mod recovery;
pub(crate) mod unwind;

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;

use self::recovery::Line;
use super::pending::{Memory, Remembered};
use crate::{
    error::{Cause, Error},
    near::siblings::Neighbours,
    store::{Ear, Failure, Store, Symptom, keys::Keys},
    telemetry::{event::Event, reporter::Reporter, trace},
    util::{breaker::Breaker, retry::Mender},
};

/// How many failures in a row open the breaker, where nobody says: one lost connection is none, and five callers
/// have waited for nothing.
pub(crate) const BREAKER_THRESHOLD: u32 = 5;

/// The longest pause between two probes, where nobody says: what a recovery is late by at most, and two small
/// questions a second.
pub(crate) const PROBE_INTERVAL: Duration = Duration::from_millis(500);

pub(crate) struct Link {
    line: Arc<Line>,
    mender: Mender,
}

impl Link {
    pub(crate) fn new(store: Arc<dyn Store>, threshold: u32, probe_interval: Duration) -> Link {
        let line = Arc::new(Line {
            store,
            breaker: Breaker::new(threshold),
            remembered: Remembered::default(),
            complained: Mutex::new(None),
            caches: Mutex::default(),
            neighbours: Neighbours::default(),
            told: Mutex::default(),
        });
        let mended = Arc::clone(&line);
        Link {
            line,
            mender: Mender::new(probe_interval, move || mended.is_mended()),
        }
    }

    /// Has a cache hear how the store is, from now on.
    pub(crate) fn tell(&self, cache: &Arc<Reporter>) {
        let before = self.line.breaker.latest_failure();
        if let Some(error) = &before {
            cache.report(&Event::BreakerOpened { error });
        }
        {
            let mut caches = self.line.caches.lock();
            // Here, so that caches that come and go leave nothing behind.
            caches.retain(|cache| cache.strong_count() > 0);
            caches.push(Arc::downgrade(cache));
        }
        // What changed in between may have been told to the others only. Told twice does no harm.
        match (before, self.line.breaker.latest_failure()) {
            (None, Some(error)) => cache.report(&Event::BreakerOpened { error: &error }),
            (Some(_), None) => cache.report(&Event::BreakerClosed),
            _ => {}
        }
    }

    /// Has what a cache keeps near be evicted, from now on, when any cache on this link changes it.
    pub(crate) fn keeps_near(&self, ear: Weak<dyn Ear>) {
        self.line.neighbours.add(ear);
    }

    /// Evicts what any cache on this link keeps near of this record. To be called when a request that changed it has been
    /// answered, before whoever asked for the change hears of that: a lookup that took its seat before has it taken away, and one that
    /// takes it afterwards reads what the request left.
    pub(crate) fn evict(&self, data: &str) {
        self.line.neighbours.tell(data);
    }

    /// Entries with this prefix are about to be written that can stay for so long.
    pub(crate) fn will_live(&self, prefix: &str, life: Duration) {
        self.line.remembered.will_live(prefix, life);
    }

    /// The store itself.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.line.store
    }

    /// Asks the store, unless the breaker is open.
    pub(crate) fn ask<T>(
        &self,
        reporter: &Reporter,
        request: &'static str,
        ask: impl FnOnce(&dyn Store) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let Line { store, breaker, .. } = &*self.line;
        if let Some(cause) = breaker.refusal() {
            return Err(Error::Redis { request, cause });
        }
        let failure = match ask(&**store) {
            Ok(answer) => {
                breaker.succeeded();
                return Ok(answer);
            }
            Err(failure) => failure,
        };
        let symptom = failure.symptom;
        let error = failure.at(request);
        reporter.report(&Event::StoreFailed {
            request,
            error: &error,
        });
        self.line.complain(&error);
        match symptom {
            Symptom::Silent if breaker.failed(&error) => {
                trace::warn!(
                    "Redis is asked no more until it answers a probe; the latest of several failures: {error}"
                );
                self.line.tell_of_breaker();
                self.call_mender();
            }
            Symptom::Silent | Symptom::Partly | Symptom::Crowded => {}
            Symptom::Refused => breaker.succeeded(),
        }
        Err(error)
    }

    /// Whether requests are turned away just now.
    pub(crate) fn is_broken(&self) -> bool {
        self.line.breaker.is_open()
    }

    /// Why the record at this key must not be read from the store: it may be one that an invalidation, which
    /// did not get there, should have ended.
    pub(crate) fn bypass(&self, data: &str) -> Option<Cause> {
        let concerned = self.line.remembered.concerns(data);
        concerned.then(|| Arc::new(Owed) as Cause)
    }

    /// Sends a request that invalidates `keys`. If it fails or panics, the invalidation is remembered, before
    /// this returns or unwinds.
    pub(crate) fn invalidate<T>(
        &self,
        reporter: &Arc<Reporter>,
        keys: &Keys,
        request: &'static str,
        ask: impl FnOnce(&dyn Store) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        // Taken before the request is sent: it settles what was remembered until then, and no more.
        let settles = self.line.remembered.of(keys);
        let all = [keys];
        let pending = self.remember_on_drop(reporter, request, &all);
        let answer = self.ask(reporter, request, ask);
        match (&answer, settles) {
            (Ok(_), Some(settles)) => self.line.settle(&settles),
            (Ok(_), None) => {}
            (Err(failure), _) => self.remember(keys, reporter, failure),
        }
        // After it was remembered: a lookup that takes its seat after this sees that, and does not read.
        self.evict(&keys.data);
        pending.returned();
        answer
    }

    fn remember(&self, keys: &Keys, reporter: &Arc<Reporter>, failure: &Error) {
        let memory = self.line.remembered.remember(keys, reporter);
        reporter.report(&Event::InvalidationRemembered {
            id: keys.data.strip_prefix(&reporter.cache).unwrap_or_default(),
            is_new: matches!(memory, Memory::First | Memory::Kept),
        });
        match memory {
            Memory::First => trace::warn!(
                "an invalidation did not reach Redis, and will be replayed; until then its record is not read from there: {failure}"
            ),
            Memory::Kept | Memory::Again | Memory::PrefixKept => {}
            Memory::Prefix(lasts) => {
                trace::error!(
                    "too many invalidations did not reach Redis: no record with the prefix `{}` is read from there for {lasts:?}",
                    reporter.cache
                );
                reporter.report(&Event::Bypassed { lasts });
            }
        }
        self.call_mender();
    }

    /// How many invalidations wait to be replayed.
    pub(crate) fn pending(&self) -> usize {
        self.line.remembered.len()
    }

    fn call_mender(&self) {
        if let Err(error) = self.mender.call() {
            trace::error!("there is no thread to probe Redis with: {error}");
            // So requests must go on doing it. What is remembered waits for the next failure.
            self.line.breaker.close();
        }
    }
}

/// The cause of a lookup that did not read what may be out of date.
#[derive(Debug)]
struct Owed;

impl fmt::Display for Owed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not asked, because an earlier invalidation of this record has not got there yet",
        )
    }
}

impl std::error::Error for Owed {}
