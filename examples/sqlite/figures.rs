//! The measurements: how long each operation took, by its kind.

use std::{collections::BTreeMap, ops::AddAssign, time::Duration};

use cache_aside::Source;
use hdrhistogram::Histogram;

/// How a read was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum How {
    /// By SQLite, without a cache.
    Alone,
    Hit,
    /// By SQLite; the record was then cached.
    Loaded,
    /// By another thread's load.
    Waited,
    /// By SQLite, because Redis failed.
    Degraded,
}

impl From<Source> for How {
    fn from(source: Source) -> How {
        match source {
            Source::Hit => How::Hit,
            Source::Loaded => How::Loaded,
            Source::Waited => How::Waited,
            _ => How::Degraded,
        }
    }
}

/// The figures of one thread, or of one side.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    reads: BTreeMap<How, Latencies>,
    pub(crate) writes: Latencies,
    /// How many products were read from SQLite.
    pub(crate) primary_reads: u64,
    /// The time of all rounds together; zero for one thread.
    pub(crate) time: Duration,
    pub(crate) stale: u64,
    /// The first stale read.
    pub(crate) example: Option<String>,
}

impl Figures {
    pub(crate) fn add_read(&mut self, how: How, elapsed: Duration) {
        self.reads.entry(how).or_default().add(elapsed);
    }

    pub(crate) fn add_stale(&mut self, example: String) {
        self.stale += 1;
        self.example.get_or_insert(example);
    }

    /// All reads, in whatever way they were answered.
    pub(crate) fn reads(&self) -> Latencies {
        let mut all = Latencies::default();
        for some in self.reads.values() {
            all += some;
        }
        all
    }

    pub(crate) fn reads_by(&self, how: How) -> Option<&Latencies> {
        self.reads.get(&how)
    }

    pub(crate) fn hits(&self) -> u64 {
        self.reads_by(How::Hit).map_or(0, Latencies::count)
    }

    pub(crate) fn hit_rate(&self) -> f64 {
        share(self.hits(), self.reads().count())
    }

    /// Reads a second, during which the writes ran too.
    pub(crate) fn reads_a_second(&self) -> f64 {
        as_float(self.reads().count()) / self.time.as_secs_f64()
    }
}

/// The fraction, from 0 to 1. 0 if `whole` is 0.
pub(crate) fn share(part: u64, whole: u64) -> f64 {
    as_float(part) / as_float(whole.max(1))
}

#[expect(clippy::cast_precision_loss, reason = "nobody counts that far")]
fn as_float(count: u64) -> f64 {
    count as f64
}

impl AddAssign<&Figures> for Figures {
    fn add_assign(&mut self, other: &Figures) {
        for (how, latencies) in &other.reads {
            *self.reads.entry(*how).or_default() += latencies;
        }
        self.writes += &other.writes;
        self.primary_reads += other.primary_reads;
        self.stale += other.stale;
        self.example = self.example.take().or_else(|| other.example.clone());
    }
}

/// A set of durations, each with a precision of three digits.
#[derive(Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies(Histogram::new(3).expect("three digits are possible"))
    }
}

impl Latencies {
    pub(crate) fn add(&mut self, elapsed: Duration) {
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.0.record(nanos).expect("it grows as needed");
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The duration that this fraction of them does not exceed.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_quantile(share))
    }

    /// The fraction of them that do not exceed `bound`.
    pub(crate) fn share_within(&self, bound: Duration) -> f64 {
        let nanos = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        self.0.quantile_below(nanos)
    }
}

impl AddAssign<&Latencies> for Latencies {
    fn add_assign(&mut self, other: &Latencies) {
        self.0 += &other.0;
    }
}
