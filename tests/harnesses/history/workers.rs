//! The threads of one process, their cache, and what they share.
//!
//! Run by each child. Knows of other processes only that they exist.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use cache_aside::{Cache, Stats};
use crossbeam::channel::{self, Receiver, RecvTimeoutError};

use crate::{
    audit::Reports,
    caches,
    judge::Learned,
    plan::{Message, Plan, Tally, Violation},
    primary::Primary,
    random::Random,
    recording::Recording,
    sync::Mutex,
    tags::Tagged,
};

/// Short enough to lapse during a load.
pub(crate) const LEASE_TTL: Duration = Duration::from_millis(30);

/// A quarter of a short TTL, so that a missing eviction is noticed, and so that many heartbeats are
/// too late for it.
pub(crate) const NEAR_STALENESS: Duration = Duration::from_millis(50);

/// How long a replica of the primary lags at most. Longer than a record lives, so that a floor
/// matters for many fills.
pub(crate) const LAG: Duration = Duration::from_millis(300);

/// How often the parent gets the progress.
const PROGRESS: Duration = Duration::from_millis(100);

/// How long invalidations may be pending after the faults have ended: many times the longest pause
/// between probes.
const CALM_AGAIN_WITHIN: Duration = Duration::from_secs(20);

pub(crate) struct Workers {
    pub(crate) plan: Plan,
    pub(crate) cache: Cache,
    /// The caches of a run with tags.
    pub(crate) tagged: Option<Tagged>,
    recording: Recording,
    pub(crate) rows: Vec<Row>,
    /// What the audits of the caches have found.
    reports: Arc<Reports>,
    /// The number of operations that have begun.
    begun: AtomicU64,
    done: AtomicU64,
    /// For how many milliseconds this process did not run, because the machine was too busy.
    stalled: AtomicU64,
    stop: AtomicBool,
    violation: Mutex<Option<Violation>>,
    /// Stale answers that were not yet reported to the parent.
    stale: Mutex<Vec<Violation>>,
    tally: Mutex<Tally>,
}

/// One record, from the view of this process.
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) writers: Writers,
    /// The newest version that this process failed to invalidate in Redis. Until the invalidation
    /// is replayed, this process must not read the record there.
    pub(crate) owed: AtomicU64,
    /// The newest version whose invalidation by this process has returned.
    pub(crate) own: AtomicU64,
    /// For lookups that the near cache answers.
    pub(crate) near: Learned,
    /// For lookups that a move of the address may have made late.
    pub(crate) late: Learned,
}

/// The threads that write a record.
pub(crate) enum Writers {
    /// Threads of all processes.
    All,
    /// Threads of this process, one at a time, as `update_field` requires.
    Here(Mutex<()>),
    /// Threads of another process.
    Elsewhere,
}

/// One thread of the workers.
pub(crate) struct Worker<'a> {
    pub(crate) workers: &'a Workers,
    pub(crate) thread: u32,
    pub(crate) primary: Primary,
    pub(crate) random: Random,
    pub(crate) tally: Tally,
}

impl Workers {
    /// Connects to the servers.
    pub(crate) fn new(plan: Plan) -> Result<Workers, String> {
        let rows = (0..plan.keys).map(|key| Row::new(key, &plan)).collect();
        let reports = Arc::default();
        let recording = Recording::start(plan.record.as_deref())?;
        let (cache, tagged) = caches::checked(&plan, &reports, &recording)?;
        Ok(Workers {
            cache,
            tagged,
            recording,
            plan,
            rows,
            reports,
            begun: AtomicU64::new(0),
            done: AtomicU64::new(0),
            stalled: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            violation: Mutex::new(None),
            stale: Mutex::default(),
            tally: Mutex::default(),
        })
    }

    /// Does the operations of this process. Now and then `tell` gets the number of done operations
    /// and the stale answers. The first violation ends the work, and so does a line in `told`.
    pub(crate) fn work(
        &self,
        told: &Receiver<String>,
        tell: impl Fn(&Message) -> Result<(), String>,
    ) -> Result<Option<Violation>, String> {
        let end = self.plan.longest.map(|longest| Instant::now() + longest);
        let workers = (0..self.plan.threads).map(|thread| self.worker(thread));
        let workers = workers.collect::<Result<Vec<_>, _>>()?;
        let mut primary = Primary::connect(&self.plan.primary)?;
        thread::scope(|scope| {
            // No message is ever sent: the channel closes when the last worker has ended.
            let (working, ended) = channel::bounded::<()>(0);
            for mut worker in workers {
                let working = working.clone();
                scope.spawn(move || {
                    // Dropped even if the worker panics.
                    let _working = working;
                    while worker.workers.may_begin(end) {
                        worker.operate();
                        worker.workers.done.fetch_add(1, SeqCst);
                    }
                    worker.workers.tally.lock().add(&worker.tally);
                });
            }
            drop(working);
            let mut news = || {
                let reported = self.reports.violation(self.plan.process, &mut primary);
                if let Some(reported) = reported {
                    self.violated(reported);
                }
                let stale = std::mem::take(&mut *self.stale.lock());
                for stale in stale {
                    tell(&Message::Stale(Box::new(stale)))?;
                }
                tell(&Message::Progress(self.done.load(SeqCst)))
            };
            let mut due = Instant::now() + PROGRESS;
            while ended.recv_deadline(due) == Err(RecvTimeoutError::Timeout) {
                let late = u64::try_from(due.elapsed().as_millis()).unwrap_or(u64::MAX);
                self.stalled.fetch_add(late, SeqCst);
                // The next line is not for this loop.
                if !self.stop.load(SeqCst) && told.try_recv().is_ok() {
                    self.stop.store(true, SeqCst);
                }
                news()?;
                due = (due + PROGRESS).max(Instant::now());
            }
            if let Some(audit) = self.plan.audit {
                // For the second looks at what differed last.
                thread::sleep(audit.delay + PROGRESS);
            }
            news()
        })?;
        Ok(self.violation.lock().take())
    }

    fn worker(&self, thread: u32) -> Result<Worker<'_>, String> {
        let lane = u64::from(self.plan.process) << 32 | u64::from(thread);
        Ok(Worker {
            workers: self,
            thread,
            primary: Primary::connect(&self.plan.primary)?,
            random: Random::new(self.plan.seed, lane),
            tally: Tally::default(),
        })
    }

    /// For how long this process did not run until now.
    pub(crate) fn stalled(&self) -> Duration {
        Duration::from_millis(self.stalled.load(SeqCst))
    }

    /// The same, after the main thread has noticed a stall that has just ended.
    pub(crate) fn stalled_by_now(&self) -> Duration {
        thread::sleep(2 * PROGRESS);
        self.stalled()
    }

    fn may_begin(&self, end: Option<Instant>) -> bool {
        !self.stop.load(SeqCst)
            && end.is_none_or(|end| Instant::now() < end)
            && self.begun.fetch_add(1, SeqCst) < self.plan.operations
    }

    /// Reports an answer that a failover may explain.
    pub(crate) fn was_stale(&self, violation: Violation) {
        self.stale.lock().push(violation);
    }

    /// Keeps the first violation, and ends the run.
    pub(crate) fn violated(&self, violation: Violation) {
        self.violation.lock().get_or_insert(violation);
        self.stop.store(true, SeqCst);
    }

    /// Waits, after the faults have ended, until no invalidation is pending. Then sums up.
    pub(crate) fn end(&self) -> Tally {
        let deadline = Instant::now() + CALM_AGAIN_WITHIN;
        while self.cache.stats().invalidations_pending > 0 && Instant::now() < deadline {
            // There is no notification, so it must poll the counter.
            thread::sleep(Duration::from_millis(5));
        }
        self.recording.close();
        // They are pending in the client, which all caches share.
        let stats = self.cache.stats();
        let mut tally = self.tally.lock().clone();
        self.reports.add_to(&mut tally, |count| self.sum(count));
        Tally {
            refused_fills: self.sum(|stats| stats.refused_fills),
            store_errors: self.sum(|stats| stats.store_errors),
            remembered: self.sum(|stats| stats.invalidations_remembered),
            replayed: self.sum(|stats| stats.invalidations_replayed),
            pending: stats.invalidations_pending,
            ..tally
        }
    }
}

impl Workers {
    fn sum(&self, count: impl Fn(&Stats) -> u64) -> u64 {
        let tagged = self.tagged.iter().flat_map(Tagged::all);
        let caches = std::iter::once(&self.cache).chain(tagged);
        caches.map(|cache| count(&cache.stats())).sum()
    }
}

impl Row {
    /// Every second record is written by only one process; these processes take turns.
    fn new(key: u32, plan: &Plan) -> Row {
        // Nobody ends the lease that a dead process has left of the last record. It must lapse.
        let is_left_alone = plan.longest_lookup.is_some() && key + 1 == plan.keys;
        let is_of_killed = key + plan.of_killed_writers >= plan.keys;
        let writers = if plan.only_peeks || is_left_alone || is_of_killed {
            Writers::Elsewhere
        } else if key % 2 == 1 {
            Writers::All
        } else if key / 2 % plan.processes == plan.process {
            Writers::Here(Mutex::new(()))
        } else {
            Writers::Elsewhere
        };
        Row {
            id: format!("k{key}"),
            writers,
            owed: AtomicU64::new(0),
            own: AtomicU64::new(0),
            near: Learned::default(),
            late: Learned::default(),
        }
    }
}

impl Worker<'_> {
    /// Does one lookup or, now and then, a write.
    fn operate(&mut self) {
        let plan = &self.workers.plan;
        pause(plan.pause, &mut self.random);
        let mut may_write = true;
        if let Some(audit) = &plan.audit {
            let threads = u64::from(plan.processes) * u64::from(plan.threads);
            audit.pause(audit.is_storm(), threads, &mut self.random);
            may_write = audit.is_storm();
        }
        let writes = may_write && self.random.one_in(plan.operations_per_write);
        if self.workers.tagged.is_some() {
            if writes {
                self.write_under_tags();
            } else {
                self.read_under_tags();
            }
            return;
        }
        let rows = &self.workers.rows;
        if self.workers.plan.only_peeks {
            let row = self.random.index(rows.len());
            return self.peek(&rows[row]);
        }
        if !writes {
            let row = self.random.index(rows.len());
            if self.random.one_in(6) {
                let next = (row + 1) % rows.len();
                return self.read_some(&[&rows[row], &rows[next]]);
            }
            return self.read(&rows[row]);
        }
        // The records of this process get as many writes as all others, though they are fewer.
        let own = self.random.one_in(2);
        let may_write = |row: &&Row| match row.writers {
            Writers::Here(_) => own,
            Writers::All => !own,
            Writers::Elsewhere => false,
        };
        let choice: Vec<_> = rows.iter().filter(may_write).collect();
        // With fewer records than processes, some processes have no record of their own.
        if !own && self.random.one_in(4) {
            let first = self.random.index(choice.len());
            let count = choice.len().min(3);
            let some = choice.iter().cycle().skip(first).take(count);
            let some: Vec<_> = some.copied().collect();
            return self.write_together(&some);
        }
        if !choice.is_empty() {
            let row = self.random.index(choice.len());
            self.write(choice[row]);
        }
    }
}

/// Pauses for `mean` on average, but seldom and then for longer, so that threads still meet.
fn pause(mean: Duration, random: &mut Random) {
    const ONE_IN: u32 = 8;
    if !mean.is_zero() && random.one_in(ONE_IN.into()) {
        let mean = u64::try_from((mean * ONE_IN).as_micros()).unwrap_or(u64::MAX);
        thread::sleep(Duration::from_micros(random.below(mean.saturating_mul(2))));
    }
}
