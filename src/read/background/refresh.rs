//! A refresh on a loader thread.
//!
//! Guarantees that a caller gets the cached record at once, or after the soft timeout. A caller
//! that waits gets the outcome of a refresh only if that began after its own lookup. An earlier one
//! may have loaded a record that was invalidated in between: after its end, the caller reads the
//! record again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::{
    super::{
        first_read::FirstRead, load_turn::LoadTurn, loader::SharedLoader, lookup::LookupConfig,
        lookup::LookupContext, machine::PendingLookup, nested::is_nested, refresh::Cached,
        single::drive,
    },
    Background, InBackground,
};
use crate::{
    engine::{
        Engine,
        freshness::EntryState,
        lookup_tags::LookupTags,
        single_flight::{Call, DetachedCall, SingleFlight, WaitOutcome},
    },
    outcome::{Answer, Source},
    store::Entry,
    telemetry::trace,
    util::per_process::PerProcess,
};

/// The refreshes that wait for a thread or run, by data key.
pub(super) type Refreshes = SingleFlight<String, Answer>;

/// A lookup whose record should be refreshed.
pub(super) struct RefreshTask {
    engine: PerProcess<Engine>,
    loader: SharedLoader,
    table: Arc<Refreshes>,
    /// `None` once it runs.
    call: Option<DetachedCall<String, Answer>>,
    id: String,
    /// What the lookup has read of its tags: before this load.
    tags: Option<Box<LookupTags>>,
    cached: Cached,
    /// The threads are stopped: it waits for no turn any more.
    is_stopping: Arc<AtomicBool>,
}

/// Why no thread takes a task.
pub(super) enum Rejected {
    /// Too many wait.
    Full,
    /// No thread can be started, or the threads are stopped.
    NoThread,
}

impl Background {
    /// Answers a lookup whose record should be refreshed, and lets a thread refresh it. Returns the
    /// cached record if there are no threads.
    pub(super) fn refresh(
        &self,
        context: &LookupContext<'_>,
        data: &str,
        cached: Cached,
    ) -> Result<Answer, Cached> {
        let table = self.pool.refreshes();
        let call = match table.start_or_find(data, data) {
            Err(call) => call,
            Ok(leader) => {
                let detached = leader.detach();
                let call = Arc::clone(&detached.1);
                let task = RefreshTask {
                    engine: self.engine.clone(),
                    loader: self.loader.clone(),
                    table: Arc::clone(table),
                    call: Some(detached),
                    id: context.id.to_owned(),
                    tags: context.tags.clone(),
                    cached: cached.clone(),
                    is_stopping: Arc::clone(self.pool.is_stopping()),
                };
                match self.pool.submit_refresh(task) {
                    Ok(()) => call,
                    Err(Rejected::Full) => return Ok(context.cached(cached)),
                    Err(Rejected::NoThread) => return Err(cached),
                }
            }
        };
        let soft_timeout = self.settings.soft_timeout;
        // A loader that reads this cache may be what the refresh waits for: it has the thread.
        if soft_timeout.is_zero() || !cached.is_stale() || is_nested() {
            return Ok(context.cached(cached));
        }
        Ok(wait_for_refresh(context, data, cached, &call, soft_timeout))
    }
}

/// Waits for a refresh until the soft timeout, then takes the cached record.
fn wait_for_refresh(
    context: &LookupContext<'_>,
    data: &str,
    cached: Cached,
    call: &Call<Answer>,
    soft_timeout: Duration,
) -> Answer {
    match call.wait_until(Instant::now() + soft_timeout) {
        WaitOutcome::TimedOut => context.cached(cached),
        WaitOutcome::Done(found) if call.started() >= context.began => {
            if let Some(error) = found.refresh_error() {
                return context.cached(cached).with_cause(error.clone());
            }
            match found.source {
                Source::Refreshed => context.found(found.record, Source::Refreshed),
                // No load: another caller has the lease, or has filled the record. What the
                // refresher returned may be what it read before this lookup began.
                _ => read_again(context, data, cached),
            }
        }
        WaitOutcome::Done(_) | WaitOutcome::Abandoned => read_again(context, data, cached),
    }
}

/// Answers the lookup with what the store has now, if that is fresh.
fn read_again(context: &LookupContext<'_>, data: &str, cached: Cached) -> Answer {
    let settings = &context.engine.settings;
    let Ok((Entry::Record(fields), left)) = context.engine.read_entry(data, true) else {
        return context.cached(cached);
    };
    let is_fresh =
        left.is_none_or(|left| settings.freshness.of(left, Duration::ZERO) == EntryState::Fresh);
    match context.record_of(fields) {
        Ok(record) if is_fresh => context.found(record, Source::Refreshed),
        _ => context.cached(cached),
    }
}

impl RefreshTask {
    /// Runs the lookup on this thread.
    pub(super) fn run(mut self) {
        let Some(call) = self.call.take() else {
            return;
        };
        let leader = self.table.attach(call);
        let engine = self.engine.get();
        let _span = trace::background(&engine.reporter.cache, &self.id);
        let began = Instant::now();
        let context = LookupContext {
            engine,
            config: LookupConfig::of(&engine.settings),
            id: &self.id,
            span: trace::LookupSpan::one_of_many(),
            began,
            redis_latency: Duration::ZERO,
            tags: self.tags.take(),
            is_background: true,
        };
        let due = FirstRead::Due(self.cached.clone());
        let mut lookup = PendingLookup::new(context, leader.key(), due);
        let mut turn = LoadTurn::new(engine, engine.settings.wait_timeout);
        // Nobody waits for this lookup, so it waits for its turn like a lookup without a record. A
        // queue of those would otherwise keep the record stale until the end of its grace. If there
        // is no turn in time, the next hit tries again.
        if !turn.wait(Some(leader.key()), || self.is_stopping.load(Relaxed)) {
            return;
        }
        // It has a record, so it cannot fail.
        if drive(&mut lookup, turn, &mut InBackground(&self.loader)).is_ok()
            && let Some(found) = lookup.into_answer()
        {
            leader.complete(found);
        }
    }
}

/// A refresh that never ran wakes those who wait for it.
impl Drop for RefreshTask {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            drop(self.table.attach(call));
        }
    }
}
