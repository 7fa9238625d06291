//! What the callers of a link share with the thread that mends it: the store, what is known of how it is, and what it has
//! still to be told.
//!
//! Probes, replays, tells the caches, complains now and then. Starts no thread.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{
    backend::pending::{Remembered, Replay},
    error::Error,
    near::siblings::Neighbours,
    store::{Failure, Store, Symptom},
    telemetry::{event::Event, reporter::Reporter, trace},
    util::breaker::Breaker,
};

/// How many invalidations are replayed in one request: it takes the server about a millisecond.
const BATCH: usize = 500;

/// Failures are logged no more often than this: a log that fills a disk helps nobody.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// What the mender shares with the callers.
pub(super) struct Line {
    pub(super) store: Arc<dyn Store>,
    pub(super) breaker: Breaker,
    pub(super) remembered: Remembered,
    /// When a failure was logged last.
    pub(super) complained: Mutex<Option<Instant>>,
    /// Those that want to hear how the store is.
    pub(super) caches: Mutex<Vec<Weak<Reporter>>>,
    /// Those that keep something near.
    pub(super) neighbours: Neighbours,
    pub(super) told: Mutex<Told>,
}

/// What the caches have been told of the breaker last.
#[derive(Default)]
pub(super) struct Told {
    pub(super) open: bool,
    /// Somebody is telling them right now.
    pub(super) by_somebody: bool,
}

impl Line {
    pub(super) fn settle(&self, replay: &Replay) {
        if let Some(reporter) = self.remembered.settle(replay) {
            reporter.report(&Event::InvalidationReplayed);
        }
    }

    /// Tells every cache whether the breaker is open, until what was told last is so. One thread tells, with no lock
    /// held; who comes meanwhile leaves it to that one. So nobody hears of a closing before the opening, and
    /// one that is over before it could be told is not told.
    pub(super) fn tell_of_breaker(&self) {
        loop {
            let failure = {
                let mut told = self.told.lock();
                let failure = self.breaker.latest_failure();
                if told.by_somebody || told.open == failure.is_some() {
                    return;
                }
                *told = Told {
                    open: failure.is_some(),
                    by_somebody: true,
                };
                failure
            };
            match &failure {
                Some(error) => self.tell_all(&Event::BreakerOpened { error }),
                None => self.tell_all(&Event::BreakerClosed),
            }
            self.told.lock().by_somebody = false;
        }
    }

    /// Tells every cache on this store.
    fn tell_all(&self, event: &Event<'_>) {
        let caches: Vec<_> = {
            let mut caches = self.caches.lock();
            caches.retain(|cache| cache.strong_count() > 0);
            caches.iter().filter_map(Weak::upgrade).collect()
        };
        for cache in caches {
            cache.report(event);
        }
    }

    /// Logs a failure, now and then.
    pub(super) fn complain(&self, failure: &Error) {
        {
            let mut complained = self.complained.lock();
            if complained.is_some_and(|at| at.elapsed() < COMPLAINT_INTERVAL) {
                return;
            }
            *complained = Some(Instant::now());
        }
        trace::warn!("{failure}");
    }

    /// Mends what it can. False: to be tried again.
    pub(super) fn is_mended(&self) -> bool {
        let mended = self.mend();
        if let Err(failure) = &mended {
            self.complain(failure);
        }
        mended.is_ok()
    }

    /// Probes, replays, and closes the breaker, in this order.
    fn mend(&self) -> Result<(), Error> {
        if self.breaker.is_open()
            && let Err(failure) = self.store.ping()
            // A refusal is an answer, too: of a server that cannot save its snapshot, or to a user who may not ping.
            && failure.symptom != Symptom::Refused
        {
            return Err(failure.at("ping"));
        }
        let refused = self.replay().map_err(|failure| failure.at("invalidate"))?;
        // A server that answers is read, also where it refused some: a user may write some keys only. What it
        // was not told stays bypassed.
        if self.breaker.close() {
            trace::info!("Redis answers, and is asked again");
            self.tell_of_breaker();
        }
        refused.map_or(Ok(()), |failure| Err(failure.at("invalidate")))
    }

    /// Replays what is remembered. `Some`: the store answered, and would not do all of it.
    fn replay(&self) -> Result<Option<Failure>, Failure> {
        let (mut replayed, mut refused) = (0, None);
        for some in self.remembered.all().chunks(BATCH) {
            let keys: Vec<_> = some.iter().map(|replay| &replay.keys).collect();
            for (replay, done) in some.iter().zip(self.store.invalidate_all(&keys)?) {
                match done {
                    Ok(_) => {
                        self.settle(replay);
                        replayed += 1;
                    }
                    Err(failure) => refused = Some(failure),
                }
            }
        }
        if replayed > 0 {
            trace::info!("{replayed} invalidations that had not reached Redis have been replayed");
        }
        match refused {
            Some(failure) if failure.symptom == Symptom::Silent => Err(failure),
            refused => Ok(refused),
        }
    }
}
