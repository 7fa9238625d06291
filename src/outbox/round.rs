//! One round of a relay: reads a batch of entries, invalidates their records, acknowledges them.
//!
//! Guarantees that an entry is acknowledged only after every cache of its name has invalidated the
//! record, and that entries are acknowledged in their order. Called by the thread of the relay, in
//! [`run`](super::run). Knows no pauses and no threads.
//!
//! User code runs here: the outbox, and the store and the observer of each cache. It may panic. No
//! lock is held.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Outbox, OutboxEntry, OutboxError,
    progress::{Lag, RelayProgress},
    target::RelayTarget,
};
use crate::telemetry::outbox::{OutboxReporter, Step};

/// How many entries a round reads at most. A round is one request to the outbox and one to each
/// cache. A server invalidates this many records in some 10 ms, so a round does not take long.
pub(super) const BATCH: usize = 1_000;

/// A relay that is behind asks how far at most this often: counting reads the whole table.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);

/// What a relay has beside its outbox.
pub(super) struct Relay {
    pub(super) targets: Vec<Arc<dyn RelayTarget>>,
    pub(super) reporter: Arc<OutboxReporter>,
    pub(super) progress: Arc<RelayProgress>,
}

/// The rounds of one relay.
pub(super) struct Rounds<'a, O> {
    relay: &'a Relay,
    outbox: O,
    /// What is being done, to say where user code has panicked.
    pub(super) step: Step,
    counted: Option<Instant>,
}

/// The records of a batch that one cache has to invalidate.
struct Share<'a> {
    target: &'a dyn RelayTarget,
    ids: BTreeSet<&'a str>,
    has_failed: bool,
}

/// How a round ended.
#[derive(Debug)]
pub(super) enum RoundOutcome {
    /// It found all entries there were, and all are acknowledged.
    Drained,
    /// There may be more entries.
    Full,
    Failed(OutboxError),
}

impl<'a, O: Outbox> Rounds<'a, O> {
    pub(super) fn new(relay: &'a Relay, outbox: O) -> Rounds<'a, O> {
        Rounds {
            relay,
            outbox,
            step: Step::Fetch,
            counted: None,
        }
    }

    pub(super) fn next(&mut self) -> RoundOutcome {
        self.try_next().unwrap_or_else(RoundOutcome::Failed)
    }

    fn try_next(&mut self) -> Result<RoundOutcome, OutboxError> {
        let Relay {
            targets,
            reporter,
            progress,
        } = self.relay;
        // Read before the outbox: a flush that is asked for later may want entries that come later.
        let flush = progress.asked();
        self.step = Step::Fetch;
        let names: Vec<_> = targets.iter().map(|target| target.name()).collect();
        let entries = self.outbox.fetch(&names, BATCH)?;
        refuse_others(&entries, &names)?;
        let is_full = entries.len() >= BATCH;
        let lag = self.found(&entries, &names);
        self.report_lag(lag);

        self.step = Step::Invalidate;
        let mut shares: Vec<_> = targets.iter().map(|target| Share::of(&**target)).collect();
        let refused: Vec<_> = entries
            .iter()
            .map(|entry| add(&mut shares, entry))
            .collect();
        let mut failure = None;
        for share in &mut shares {
            // The others go on: what they have invalidated need not wait for this one.
            if !share.ids.is_empty()
                && let Err(error) = share.target.invalidate(&share.ids)
            {
                share.has_failed = true;
                failure = Some(error);
            }
        }

        let must_wait = |entry: &OutboxEntry| {
            let mut failed = shares.iter().filter(|share| share.has_failed);
            failed.any(|share| share.target.name() == entry.cache)
        };
        let first_left = entries.iter().position(must_wait);
        let done = first_left.unwrap_or(entries.len());
        if done > 0 {
            self.step = Step::Acknowledge;
            let positions: Vec<_> = entries[..done].iter().map(|entry| entry.position).collect();
            self.outbox.acknowledge(&positions)?;
            let skipped = report_refused(reporter, &entries[..done], &refused[..done]);
            reporter.acknowledged(as_u64(done), skipped);
            self.report_lag(lag.after(done, entries.get(done)));
        }
        if let Some(error) = failure {
            self.step = Step::Invalidate;
            return Ok(RoundOutcome::Failed(error.into()));
        }
        if is_full {
            return Ok(RoundOutcome::Full);
        }
        progress.flushed(flush);
        Ok(RoundOutcome::Drained)
    }

    /// The lag after a look at the outbox.
    fn found(&mut self, entries: &[OutboxEntry], names: &[&str]) -> Lag {
        let mut waiting = as_u64(entries.len());
        if entries.len() < BATCH {
            self.counted = None;
        } else {
            // The last count, minus the entries that were acknowledged since.
            waiting = waiting.max(self.relay.progress.lag().entries);
            if let Some(count) = self.count(names) {
                waiting = waiting.max(count);
            }
        }
        Lag {
            entries: waiting,
            oldest: oldest(entries.first()),
        }
    }

    fn count(&mut self, names: &[&str]) -> Option<u64> {
        if self.counted.is_some_and(|at| at.elapsed() < COUNT_INTERVAL) {
            return None;
        }
        self.counted = Some(Instant::now());
        self.step = Step::Count;
        match self.outbox.count(names) {
            Ok(count) => count,
            Err(error) => {
                self.relay.reporter.failed(Step::Count, Some(error));
                None
            }
        }
    }

    fn report_lag(&self, lag: Lag) {
        self.relay.progress.set_lag(lag);
        #[cfg(feature = "metrics")]
        self.relay.reporter.lag(lag.entries, lag.age());
    }
}

impl Lag {
    /// The lag after `done` entries were acknowledged. `next`: the first entry that is left.
    fn after(self, done: usize, next: Option<&OutboxEntry>) -> Lag {
        let entries = self.entries.saturating_sub(as_u64(done));
        // Entries that were not read are younger than those that were. Their age is unknown.
        let oldest = if entries == 0 { None } else { oldest(next) };
        Lag { entries, oldest }
    }
}

impl<'a> Share<'a> {
    fn of(target: &'a dyn RelayTarget) -> Share<'a> {
        Share {
            target,
            ids: BTreeSet::new(),
            has_failed: false,
        }
    }
}

/// Entries of other caches belong to another relay, so this one must not acknowledge them.
fn refuse_others(entries: &[OutboxEntry], names: &[&str]) -> Result<(), OutboxError> {
    let is_other = |entry: &&OutboxEntry| !names.contains(&entry.cache.as_str());
    match entries.iter().find(is_other) {
        Some(OutboxEntry { cache, .. }) => Err(format!(
            "`fetch` returned an entry of the cache {cache:?}, which this relay does not have; it must return only \
             entries of the caches that it is asked for"
        )
        .into()),
        None => Ok(()),
    }
}

/// Adds the entry to each cache of its name. Returns the reason if none of them can take it.
fn add<'a>(shares: &mut [Share<'a>], entry: &'a OutboxEntry) -> Option<String> {
    let (mut reason, mut is_taken) = (String::new(), false);
    let named = |share: &&mut Share<'a>| share.target.name() == entry.cache;
    for share in shares.iter_mut().filter(named) {
        match share.target.check_id(&entry.id) {
            Ok(()) => {
                share.ids.insert(&entry.id);
                is_taken = true;
            }
            Err(error) => reason = error.to_string(),
        }
    }
    (!is_taken).then_some(reason)
}

/// Logs the acknowledged entries that no cache could take, and returns how many there are.
fn report_refused(
    reporter: &OutboxReporter,
    entries: &[OutboxEntry],
    refused: &[Option<String>],
) -> u64 {
    let mut skipped = 0;
    for (entry, reason) in entries.iter().zip(refused) {
        if let Some(reason) = reason {
            skipped += 1;
            reporter.skipped(&entry.cache, &entry.id, reason);
        }
    }
    skipped
}

fn oldest(entry: Option<&OutboxEntry>) -> Option<(Duration, Instant)> {
    Some((entry?.age?, Instant::now()))
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
