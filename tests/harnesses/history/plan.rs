//! The messages between the processes of a run, all of them as lines of JSON.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use crate::audit::AuditPlan;

/// Long enough for a near server. Short enough that a burst of faults causes many timeouts.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(100);

/// The part of one process in a run.
#[expect(clippy::struct_excessive_bools, reason = "flags are")]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The address of the proxy in front of the server of the cache, or of the nodes of the
    /// cluster.
    pub(crate) cache: String,
    pub(crate) primary: String,
    /// The number of this process, from 0.
    pub(crate) process: u32,
    pub(crate) processes: u32,
    pub(crate) threads: u32,
    pub(crate) keys: u32,
    /// One operation in this many is a write.
    pub(crate) operations_per_write: u64,
    /// How long a thread pauses before an operation, on average.
    pub(crate) pause: Duration,
    /// Whether each process has a near cache.
    pub(crate) near: bool,
    /// Whether all records are under tags.
    pub(crate) tags: bool,
    /// Whether loaders read a replica of the primary that lags, unless they must not.
    pub(crate) replica: bool,
    /// Whether records are served past their TTL, and reloaded early.
    pub(crate) grace: bool,
    /// The schema of the records. Each record also has it as a field of its own.
    pub(crate) schema: Option<u32>,
    /// The longest time that a record stays in Redis.
    pub(crate) life: Duration,
    /// How many replicas must have a change before it counts as done.
    pub(crate) replicas: u32,
    /// Whether a stale answer is only reported and does not end the run. A failover may explain it.
    pub(crate) may_be_stale: bool,
    /// How long an answer may lack the writes of other processes after a move of the address. Such
    /// an answer is reported, and the parent checks whether there was a move.
    pub(crate) may_be_late: Option<Duration>,
    /// Whether the process only peeks at the cache. Then no refused write shows that the address
    /// was moved.
    pub(crate) only_peeks: bool,
    /// How long a caller waits for another caller's load.
    pub(crate) wait_timeout: Duration,
    /// A lookup that takes longer is a violation.
    pub(crate) longest_lookup: Option<Duration>,
    /// The audits of the caches, in a run with them.
    pub(crate) audit: Option<AuditPlan>,
    /// How many of the last records are written only by processes that are killed.
    pub(crate) of_killed_writers: u32,
    /// Whether this is such a process. It only writes those records in a unit of work, and is
    /// killed before it has told the cache of the commit.
    pub(crate) is_killed: bool,
    pub(crate) operations: u64,
    pub(crate) longest: Option<Duration>,
    pub(crate) seed: u64,
    /// The file of the event log.
    pub(crate) record: Option<PathBuf>,
}

/// A message of a child.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Message {
    Connected,
    /// The number of operations that are done.
    Progress(u64),
    /// All operations are done.
    Done,
    /// What the process did. Sent after the faults have ended.
    Ended(Box<Tally>),
    /// A promise was broken.
    Violation(Box<Violation>),
    /// An answer was stale. The parent checks whether a failover explains it.
    Stale(Box<Violation>),
    /// A writer that is to be killed has committed these versions.
    Committed(Committed),
    /// The process cannot continue.
    Failed(String),
}

/// What a writer that is killed has committed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Committed {
    pub(crate) began: Instant,
    /// Each record, and its new version.
    pub(crate) versions: Vec<(String, u64)>,
    /// Whether all of them had a guard.
    pub(crate) is_guarded: bool,
}

/// What the threads of one process, or of all, did.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) hits: u64,
    pub(crate) near: u64,
    pub(crate) stale: u64,
    pub(crate) refreshed: u64,
    pub(crate) loaded: u64,
    pub(crate) waited: u64,
    pub(crate) degraded: u64,
    /// The lookups that found no record.
    pub(crate) absent: u64,
    /// The time of the longest lookup.
    pub(crate) longest: Duration,
    pub(crate) invalidate: u64,
    pub(crate) write: u64,
    pub(crate) update: u64,
    pub(crate) update_field: u64,
    /// The records that were written in units of work.
    pub(crate) unit: u64,
    pub(crate) invalidate_at: u64,
    pub(crate) write_through: u64,
    /// Those whose record was cached.
    pub(crate) cached: u64,
    /// The tags that were invalidated.
    pub(crate) tags: u64,
    /// The writes whose invalidation did not reach Redis at once.
    pub(crate) deferred: u64,
    pub(crate) refused_fills: u64,
    pub(crate) store_errors: u64,
    pub(crate) remembered: u64,
    pub(crate) replayed: u64,
    /// The hits that were compared with the primary.
    pub(crate) audits: u64,
    /// Those of them that differed at first.
    pub(crate) unconfirmed: u64,
    /// The samples that failed or were skipped.
    pub(crate) audit_failures: u64,
    /// Answers that were too old, in a run that does not judge them.
    pub(crate) not_judged: u64,
    /// Invalidations that are still pending some time after the faults have ended.
    pub(crate) pending: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Tally) {
        let Tally {
            hits,
            near,
            stale,
            refreshed,
            loaded,
            waited,
            degraded,
            absent,
            longest,
            invalidate,
            write,
            update,
            update_field,
            unit,
            invalidate_at,
            write_through,
            cached,
            tags,
            deferred,
            refused_fills,
            store_errors,
            remembered,
            replayed,
            audits,
            unconfirmed,
            audit_failures,
            not_judged,
            pending,
        } = other;
        self.hits += hits;
        self.near += near;
        self.stale += stale;
        self.refreshed += refreshed;
        self.loaded += loaded;
        self.waited += waited;
        self.degraded += degraded;
        self.absent += absent;
        self.longest = self.longest.max(*longest);
        self.invalidate += invalidate;
        self.write += write;
        self.update += update;
        self.update_field += update_field;
        self.unit += unit;
        self.invalidate_at += invalidate_at;
        self.write_through += write_through;
        self.cached += cached;
        self.tags += tags;
        self.deferred += deferred;
        self.refused_fills += refused_fills;
        self.store_errors += store_errors;
        self.remembered += remembered;
        self.replayed += replayed;
        self.audits += audits;
        self.unconfirmed += unconfirmed;
        self.audit_failures += audit_failures;
        self.not_judged += not_judged;
        self.pending += pending;
    }

    pub(crate) fn lookups(&self) -> u64 {
        let answered = self.hits + self.near + self.stale + self.waited;
        answered + self.refreshed + self.loaded + self.degraded
    }

    pub(crate) fn writes(&self) -> u64 {
        let through = self.invalidate_at + self.write_through;
        self.invalidate
            + self.write
            + self.update
            + self.update_field
            + self.unit
            + through
            + self.tags
    }
}

/// A lookup with a wrong answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Violation {
    /// What is wrong with the answer.
    pub(crate) what: String,
    pub(crate) key: String,
    /// `None`: the answer was that no record exists.
    pub(crate) seen: Option<u64>,
    /// The newest version whose invalidation had returned before the lookup began, in any process.
    pub(crate) settled: u64,
    /// The newest version that this process failed to invalidate in Redis before the lookup began.
    pub(crate) owed: u64,
    /// The newest version that was committed by the end of the lookup.
    pub(crate) newest: u64,
    pub(crate) source: String,
    pub(crate) process: u32,
    pub(crate) thread: u32,
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
    /// When the first newer version was settled, if that is still known.
    pub(crate) stale_since: Option<Instant>,
}

/// An instant that is comparable across processes: microseconds since the epoch, by the system
/// clock.
///
/// It is only good enough for a report. The order of events is decided by what threads knew, and
/// not by clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Instant(u64);

impl Instant {
    pub(crate) fn now() -> Instant {
        let since_epoch = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Instant(u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX))
    }

    pub(crate) fn after(self, time: Duration) -> Instant {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_add(micros))
    }

    /// Zero if `earlier` is later.
    pub(crate) fn since(self, earlier: Instant) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// `-12.345 ms`: how long before (or after) `zero` it was.
    pub(crate) fn relative_to(self, zero: Instant) -> String {
        let (sign, micros) = if self < zero {
            ('-', zero.0 - self.0)
        } else {
            ('+', self.0 - zero.0)
        };
        format!("{sign}{}.{:03} ms", micros / 1000, micros % 1000)
    }
}
