//! The link to a store: what every request of every cache on it passes through.
//!
//! Guarantees that a store which doesn't answer is asked no longer after a few failures in a row, until it
//! does answer again, and that an invalidation which did not reach it is replayed when it does. A thread of the
//! link probes and replays, the [mender](Mender); no caller pays for that, and it goes on where no caller comes.
//!
//! Knows the store; nothing of lookups, flights and record types.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{
    breaker::Breaker,
    error::{Cause, Error},
    key::Keys,
    mender::Mender,
    remembered::{Memory, Remembered, Rememberer},
    stats::Counters,
    store::{Store, Symptom},
};

/// How many invalidations are replayed in one request: it takes the server about a millisecond.
const BATCH: usize = 500;

/// Failures are logged no more often than this: a log that fills a disk helps nobody.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

pub(crate) struct Link {
    line: Arc<Line>,
    mender: Mender,
}

/// What the mender shares with the callers.
struct Line {
    store: Box<dyn Store>,
    breaker: Breaker,
    remembered: Remembered,
    /// When a failure was logged last.
    complained: Mutex<Option<Instant>>,
}

impl Link {
    pub(crate) fn new(store: Box<dyn Store>, threshold: u32, probe_interval: Duration) -> Link {
        let line = Arc::new(Line {
            store,
            breaker: Breaker::new(threshold),
            remembered: Remembered::default(),
            complained: Mutex::new(None),
        });
        let mended = Arc::clone(&line);
        Link {
            line,
            mender: Mender::new(probe_interval, move || mended.is_mended()),
        }
    }

    /// Asks the store, unless the breaker is open.
    pub(crate) fn ask<T>(
        &self,
        counters: &Counters,
        request: &'static str,
        ask: impl FnOnce(&dyn Store) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Line { store, breaker, .. } = &*self.line;
        if let Some(cause) = breaker.refusal() {
            return Err(Error::Redis { request, cause });
        }
        let answer = ask(&**store);
        if let Err(failure @ Error::Redis { .. }) = &answer {
            counters.redis_errors.add_one();
            self.line.complain(failure);
            match store.symptom(failure) {
                Symptom::Silent if breaker.failed(failure) => {
                    log::warn!(
                        "Redis is asked no more until it answers a probe; the latest of several failures: {failure}"
                    );
                    self.call_mender();
                }
                Symptom::Silent | Symptom::Crowded => {}
                Symptom::Refused => breaker.succeeded(),
            }
        } else {
            breaker.succeeded();
        }
        answer
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

    /// Sends a request that invalidates `keys`. If it fails, the invalidation is remembered, before this
    /// returns.
    pub(crate) fn invalidate<T>(
        &self,
        who: &Rememberer,
        keys: &Keys,
        request: &'static str,
        ask: impl FnOnce(&dyn Store) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let remembered = &self.line.remembered;
        // Taken before the request is sent: it settles what was remembered until then, and no more.
        let settles = remembered.of(keys);
        let answer = self.ask(who.counters, request, ask);
        match (&answer, settles) {
            (Ok(_), Some(settles)) => remembered.settle(&settles),
            (Ok(_), None) => {}
            (Err(failure), _) => {
                match remembered.remember(keys, who) {
                    Memory::First => log::warn!(
                        "an invalidation did not reach Redis, and will be replayed; until then its record is not read from there: {failure}"
                    ),
                    Memory::Kept | Memory::PrefixKept => {}
                    Memory::Prefix => log::error!(
                        "too many invalidations did not reach Redis: no record with the prefix `{}` is read from there for {:?}",
                        who.prefix,
                        who.longest_life
                    ),
                }
                self.call_mender();
            }
        }
        answer
    }

    /// How many invalidations wait to be replayed.
    pub(crate) fn pending(&self) -> usize {
        self.line.remembered.len()
    }

    fn call_mender(&self) {
        if let Err(error) = self.mender.call() {
            log::error!("there is no thread to probe Redis with: {error}");
            // So requests must go on doing it. What is remembered waits for the next failure.
            self.line.breaker.close();
        }
    }
}

impl Line {
    /// Logs a failure, now and then.
    fn complain(&self, failure: &Error) {
        {
            let mut complained = self.complained.lock();
            if complained.is_some_and(|at| at.elapsed() < COMPLAINT_INTERVAL) {
                return;
            }
            *complained = Some(Instant::now());
        }
        log::warn!("{failure}");
    }

    /// Mends what it can. False: to be tried again.
    fn is_mended(&self) -> bool {
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
            && self.store.symptom(&failure) != Symptom::Refused
        {
            return Err(failure);
        }
        let (mut replayed, mut refusal) = (0, None);
        for some in self.remembered.all().chunks(BATCH) {
            let keys: Vec<_> = some.iter().map(|replay| &replay.keys).collect();
            for (replay, done) in some.iter().zip(self.store.invalidate_all(&keys)?) {
                match done {
                    Ok(()) => {
                        self.remembered.settle(replay);
                        replayed += 1;
                    }
                    Err(failure) => refusal = Some(failure),
                }
            }
        }
        if replayed > 0 {
            log::info!("{replayed} invalidations that had not reached Redis have been replayed");
        }
        if let Some(refusal) = &refusal
            && self.store.symptom(refusal) == Symptom::Silent
        {
            return Err(refusal.clone());
        }
        // A server that answers is read, also where it refused some: a user may write some keys only. What it
        // was not told stays bypassed.
        if self.breaker.close() {
            log::info!("Redis answers, and is asked again");
        }
        refusal.map_or(Ok(()), Err)
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
