//! What every process of a run is told, and what it tells in return. All of it travels as lines of
//! JSON.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// Long enough for a near server, short enough that a burst of faults brings many timeouts.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(100);

/// One process's part of a run.
#[expect(clippy::struct_excessive_bools, reason = "flags are")]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Of the proxy in front of the cache's server, or of the nodes of the cluster.
    pub(crate) cache: String,
    pub(crate) primary: String,
    /// The number of this process, from 0.
    pub(crate) process: u32,
    pub(crate) processes: u32,
    pub(crate) threads: u32,
    pub(crate) keys: u32,
    /// Whether each process keeps records near.
    pub(crate) near: bool,
    /// Whether records are served past their TTL, and loaded anew before.
    pub(crate) grace: bool,
    /// How long a record stays in Redis at most.
    pub(crate) life: Duration,
    /// How many replicas must have what was ended before it counts.
    pub(crate) replicas: u32,
    /// Whether a stale answer is reported and doesn't end the run: a failover may explain it.
    pub(crate) may_be_stale: bool,
    /// For how long an answer may lack what another process wrote, where the address is moved. It
    /// is reported then, and the parent looks whether there was a move.
    pub(crate) may_be_late: Option<Duration>,
    /// It looks at what is cached, and does nothing else: no refused write ever tells it that the
    /// address was moved.
    pub(crate) only_peeks: bool,
    pub(crate) operations: u64,
    pub(crate) longest: Option<Duration>,
    pub(crate) seed: u64,
}

/// What a child says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Message {
    Connected,
    /// So many operations are done.
    Progress(u64),
    /// All are done.
    Done,
    /// After the faults had ended: what the process did.
    Ended(Box<Tally>),
    /// A promise was broken.
    Violation(Box<Violation>),
    /// An answer was stale, and it is to be seen whether a failover explains that.
    Stale(Box<Violation>),
    /// It cannot go on.
    Failed(String),
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
    /// Of all lookups, those that said that there is no such record.
    pub(crate) absent: u64,
    pub(crate) invalidate: u64,
    pub(crate) write: u64,
    pub(crate) update: u64,
    pub(crate) update_field: u64,
    /// Of all writes, those of which Redis could not be told at once.
    pub(crate) deferred: u64,
    pub(crate) refused_fills: u64,
    pub(crate) store_errors: u64,
    pub(crate) remembered: u64,
    pub(crate) replayed: u64,
    /// Invalidations that still wait, some time after the faults have ended.
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
            invalidate,
            write,
            update,
            update_field,
            deferred,
            refused_fills,
            store_errors,
            remembered,
            replayed,
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
        self.invalidate += invalidate;
        self.write += write;
        self.update += update;
        self.update_field += update_field;
        self.deferred += deferred;
        self.refused_fills += refused_fills;
        self.store_errors += store_errors;
        self.remembered += remembered;
        self.replayed += replayed;
        self.pending += pending;
    }

    pub(crate) fn lookups(&self) -> u64 {
        let answered = self.hits + self.near + self.stale + self.waited;
        answered + self.refreshed + self.loaded + self.degraded
    }

    pub(crate) fn writes(&self) -> u64 {
        self.invalidate + self.write + self.update + self.update_field
    }
}

/// A lookup that was answered wrongly.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Violation {
    /// What is wrong with the answer.
    pub(crate) what: String,
    pub(crate) key: String,
    /// `None`: that there is no such record.
    pub(crate) seen: Option<u64>,
    /// The newest version whose invalidation had returned before the lookup began, in any process.
    pub(crate) settled: u64,
    /// The newest version of which this process had failed to tell Redis, before the lookup began.
    pub(crate) owed: u64,
    /// The newest version that was committed, after the lookup.
    pub(crate) newest: u64,
    pub(crate) source: String,
    pub(crate) process: u32,
    pub(crate) thread: u32,
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
    /// When the first newer version had been settled, as far as that is still known.
    pub(crate) stale_since: Option<Instant>,
}

/// An instant that means the same in all processes: microseconds since the epoch, by the system's
/// clock.
///
/// Good for a report only: what came before what is decided by what threads knew, and not by
/// clocks.
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

    /// Zero where `earlier` is later.
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
