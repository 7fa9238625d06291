//! The audit: compares the records of some hits with the primary, on a thread of its own.
//!
//! Guarantees that a record is reported only if a load returned something newer, and the same fill
//! still differs from the primary a whole delay later. So none of these is reported: a write whose
//! invalidation arrives within the delay; a record that was filled or changed after the first look;
//! a load that read a replica which lags by less than the delay. A record that the primary changes
//! all the time is reported too: it only takes one look more.
//!
//! [`look`] reads and loads. This file says when: it paces the samples, and keeps those that differ
//! until their next look. The [queue](crate::engine::audit_queue) has the hits that were chosen.
//! The thread holds the cache only while it looks, so that it does not keep the cache alive.

mod fill;
mod look;

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use self::look::Suspect;
use super::loader::SharedLoader;
use crate::{
    engine::{
        Engine,
        audit_queue::{AuditQueue, AuditSample, WaitingSamples},
    },
    telemetry::{
        event::{Audited, Event},
        trace,
    },
    util::{
        log_throttle::LogThrottle,
        per_process::WeakPerProcess,
        worker::{Next, WorkerContext, contain_panic},
    },
};

/// How many records wait for their next look. Each is a copy of a record. If this many differ,
/// further samples would tell nothing new.
const MOST_SUSPECTS: usize = 100;

/// The settings of an audit, checked by its builder, which documents them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AuditSettings {
    pub(crate) rate: f64,
    pub(crate) delay: Duration,
    pub(crate) max_per_second: u32,
}

/// What the thread of an audit needs. A clone is the same auditor.
pub(crate) struct Auditor(Arc<AuditorParts>);

struct AuditorParts {
    loader: SharedLoader,
    settings: AuditSettings,
    /// Limits the log messages about samples that failed.
    failures: LogThrottle,
    /// Set as soon as the cache exists, before its first hit.
    engine: OnceLock<WeakPerProcess<Engine>>,
}

impl Clone for Auditor {
    fn clone(&self) -> Auditor {
        Auditor(Arc::clone(&self.0))
    }
}

impl Auditor {
    pub(crate) fn new(loader: SharedLoader, settings: AuditSettings) -> Auditor {
        Auditor(Arc::new(AuditorParts {
            loader,
            settings,
            failures: LogThrottle::default(),
            engine: OnceLock::new(),
        }))
    }

    pub(crate) fn set_engine(&self, engine: WeakPerProcess<Engine>) {
        let _ = self.0.engine.set(engine);
    }

    /// The queue and the thread of one process.
    pub(crate) fn queue(&self) -> AuditQueue {
        let parts = Arc::clone(&self.0);
        AuditQueue::new(parts.settings.rate, move |context| parts.run(context))
    }
}

/// What the thread does next.
enum NextLook {
    FirstLook(AuditSample),
    LaterLook(Suspect),
}

impl AuditorParts {
    /// Takes samples until the last handle of the cache is dropped.
    fn run(&self, context: &WorkerContext<WaitingSamples>) {
        // With the instants of their next looks, the earliest first.
        let mut suspects: VecDeque<(Instant, Suspect)> = VecDeque::new();
        let mut next_sample = Instant::now();
        let pause = Duration::from_secs(1) / self.settings.max_per_second;
        loop {
            let next =
                |waiting: &mut WaitingSamples| next_task(waiting, &mut suspects, next_sample);
            let Some(task) = context.wait_for(next) else {
                return;
            };
            let Some(engine) = self.engine.get().and_then(WeakPerProcess::upgrade) else {
                return;
            };
            if let NextLook::FirstLook(AuditSample { id, .. }) = &task {
                // A record that is read often must not take the places of all others.
                if suspects.iter().any(|(_, suspect)| suspect.id == *id) {
                    let outcome = Audited::Skipped;
                    engine
                        .get()
                        .reporter
                        .report(&Event::Audited { id, outcome });
                    continue;
                }
                next_sample = Instant::now() + pause;
            }
            if let Some(suspect) = self.look(engine.get(), task) {
                suspects.push_back((Instant::now() + self.settings.delay, suspect));
            }
        }
    }

    /// Does one look, and reports the end of the sample. Returns what needs another look.
    fn look(&self, engine: &Engine, task: NextLook) -> Option<Suspect> {
        let (NextLook::FirstLook(AuditSample { id, .. }) | NextLook::LaterLook(Suspect { id, .. })) =
            &task;
        let id = id.clone();
        let _span = trace::audit(&engine.reporter.cache, &id);
        // The loader and the code of a record may panic.
        let looked = contain_panic(|| match task {
            NextLook::FirstLook(sample) => self.first_look(engine, sample),
            NextLook::LaterLook(suspect) => self.later_look(engine, suspect),
        });
        let outcome = match looked.unwrap_or(Err(Audited::Failed)) {
            Ok(suspect) => return Some(suspect),
            Err(outcome) => outcome,
        };
        let id = &id;
        engine.reporter.report(&Event::Audited { id, outcome });
        None
    }
}

/// The next task, or how long to wait for it.
fn next_task(
    waiting: &mut WaitingSamples,
    suspects: &mut VecDeque<(Instant, Suspect)>,
    next_sample: Instant,
) -> Next<NextLook> {
    let now = Instant::now();
    let due = suspects.front().map(|(due, _)| *due);
    if due.is_some_and(|due| due <= now)
        && let Some((_, suspect)) = suspects.pop_front()
    {
        return Next::Run(NextLook::LaterLook(suspect));
    }
    let may_sample = !waiting.is_empty() && suspects.len() < MOST_SUSPECTS;
    if may_sample
        && next_sample <= now
        && let Some(sample) = waiting.pop_front()
    {
        return Next::Run(NextLook::FirstLook(sample));
    }
    let ends = [due, may_sample.then_some(next_sample)];
    let first = ends.into_iter().flatten().min();
    first.map_or(Next::Wait, Next::WaitUntil)
}
