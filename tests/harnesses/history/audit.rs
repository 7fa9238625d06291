//! The mode `--audit`: each process compares one hit in a hundred with the primary.
//!
//! The right protocol must never be reported. A broken one must be, if its stale answers leave a
//! stale record behind: the audit looks at records and not at answers.
//!
//! A record is reported if it is wrong for longer than the delay of the audit, while the primary
//! does not change. So a run has two phases in turn, the same in all processes, by the clock of the
//! machine. In a *storm*, threads read and write, as in any other run. In the *quiet* after it, they
//! only read, for twice the delay. What is wrong at the end of the storm stays wrong in the quiet,
//! because records live for two rounds.
//!
//! Three broken protocols leave nothing wrong behind, so no audit can find them: `single-flight` and
//! `tag-join` return what an old load found to those who wait for it, and do not cache it; with
//! `clock`, lookups wait too long. Three leave something seldom, because it takes writes of one
//! record that overlap in one order, at the end of a storm: `through`, `nonce` and `watch`.
//!
//! The pace is set in lookups for each phase, so that a bound on lookups is one on rounds too.
//!
//! The delay must be longer than an invalidation takes to arrive. Without faults, 0.1 s is enough,
//! and tags are still evicted during storms. Under faults, the longest burst
//! takes 0.8 s, and holds a request back for another 0.6 s. Then a process needs some 0.1 s of calm
//! to replay what is pending, and a calm lasts 0.2 s or more. If it misses one, the next burst may
//! take as long. Two such rounds take 3 s.

use std::{
    sync::Arc,
    thread,
    time::{Duration, SystemTime},
};

use cache_aside::{
    Audit, Audited, CacheBuilder, Event, Inconsistency, Loaded, Observer, Record, Stats,
};
use serde::{Deserialize, Serialize};

use crate::{
    plan::{Instant, Plan, Tally, Violation},
    primary::Primary,
    random::Random,
    sync::Mutex,
};

/// What a violation says if the audit has found it.
const REPORTED: &str = "the audit has reported it";

const RATE: f64 = 0.01;

/// The part of a plan that is about the audit.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct AuditPlan {
    pub(crate) delay: Duration,
    storm: Duration,
    /// How many operations all threads together do in a phase.
    pace: u64,
    /// False with a broken protocol: then stale answers are expected, and only counted.
    pub(crate) is_judged: bool,
}

impl AuditPlan {
    pub(crate) fn new(faults: bool, pace: Option<u64>, is_judged: bool) -> AuditPlan {
        let [delay, storm, usual] = if faults {
            [3000, 1000, 1000]
        } else {
            [100, 100, 250]
        };
        AuditPlan {
            delay: Duration::from_millis(delay),
            storm: Duration::from_millis(storm),
            pace: pace.unwrap_or(usual),
            is_judged,
        }
    }

    fn round(&self) -> Duration {
        self.storm + 2 * self.delay
    }

    /// How long records live.
    pub(crate) fn life(&self) -> Duration {
        2 * self.round()
    }

    /// Whether threads write now.
    pub(crate) fn is_storm(&self) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let passed = now.unwrap_or_default().as_millis() % self.round().as_millis();
        passed < self.storm.as_millis()
    }

    /// Pauses before an operation. `threads`: of all processes.
    pub(crate) fn pause(&self, is_storm: bool, threads: u64, random: &mut Random) {
        let phase = if is_storm { self.storm } else { 2 * self.delay };
        let millis = u64::try_from(phase.as_millis()).unwrap_or(u64::MAX);
        // Twice the mean.
        let most = 2 * threads * millis / self.pace;
        thread::sleep(random.millis(0, most.max(1)));
    }
}

/// What the audits of a process have found.
#[derive(Default)]
pub(crate) struct Reports {
    /// The first ones, as texts.
    found: Mutex<Vec<(String, String)>>,
    unconfirmed: Mutex<u64>,
}

/// The observer of a cache.
struct Reporter(Arc<Reports>);

impl Observer for Reporter {
    fn notice(&self, cache: &str, event: &Event<'_>) {
        match event {
            Event::Inconsistent { id, kind, fields } => {
                let what = match kind {
                    Inconsistency::Fields => format!("{fields:?} of {id} in {cache}"),
                    kind => format!("{}: {id} in {cache}", kind.name()),
                };
                self.0.found.lock().push(((*id).to_owned(), what));
            }
            Event::Audited {
                outcome: Audited::Unconfirmed,
                ..
            } => *self.0.unconfirmed.lock() += 1,
            _ => {}
        }
    }
}

/// Loads a record for an audit, without the pauses of other loads.
pub(crate) type LoadAside = fn(&mut Primary, &str, &Plan) -> Option<Record>;

/// Gives the cache an audit, in a run with audits.
pub(crate) fn with_audit(
    builder: CacheBuilder<Record>,
    plan: &Plan,
    reports: &Arc<Reports>,
    load: LoadAside,
) -> CacheBuilder<Record> {
    let Some(AuditPlan { delay, .. }) = plan.audit else {
        return builder;
    };
    // Connected by the first sample, and used by the one thread of the audit.
    let primary: Mutex<Option<Primary>> = Mutex::default();
    let of_loader = plan.clone();
    let audit = Audit::with_context(move |context| {
        let mut primary = primary.lock();
        let primary = match &mut *primary {
            Some(primary) => primary,
            none => none.insert(Primary::connect(&of_loader.primary)?),
        };
        Ok::<_, String>(Loaded::new(load(primary, context.id(), &of_loader)))
    });
    builder
        .audit(audit.rate(RATE).delay(delay).max_per_second(10_000))
        .observer(Reporter(Arc::clone(reports)))
}

impl Reports {
    /// The first report, as a violation.
    pub(crate) fn violation(&self, process: u32, primary: &mut Primary) -> Option<Violation> {
        let (id, what) = self.found.lock().first().cloned()?;
        let now = Instant::now();
        Some(Violation {
            what: REPORTED.to_owned(),
            seen: None,
            settled: primary.settled(&id),
            owed: 0,
            newest: primary.newest(&id),
            key: id,
            source: what,
            process,
            thread: 0,
            began: now,
            ended: now,
            stale_since: None,
        })
    }

    pub(crate) fn add_to(&self, tally: &mut Tally, sum: impl Fn(fn(&Stats) -> u64) -> u64) {
        tally.audits = sum(|stats| stats.audits);
        tally.audit_failures = sum(|stats| stats.audit_errors + stats.audit_skips);
        tally.unconfirmed = *self.unconfirmed.lock();
    }
}
