//! The outcome of one run: all reads, and the figures computed from them.

use std::time::Duration;

use crate::{
    instant::Instant,
    plan::{How, Load, Plan, Read, Run},
};

pub(crate) struct Outcome {
    pub(crate) run: Run,
    pub(crate) start: Instant,
    /// In the order in which they began. The reads before `start` loaded the record.
    all: Vec<Read>,
    /// The times of the reads since `start`, sorted.
    times: Vec<Duration>,
}

impl Outcome {
    pub(crate) fn new(run: Run, start: Instant, mut all: Vec<Read>) -> Outcome {
        all.sort_unstable_by_key(|read| read.began);
        let mut outcome = Outcome {
            run,
            start,
            all,
            times: Vec::new(),
        };
        let mut times: Vec<_> = outcome.reads().map(Read::took).collect();
        times.sort_unstable();
        outcome.times = times;
        outcome
    }

    /// All reads, including those before `start`.
    pub(crate) fn all(&self) -> &[Read] {
        &self.all
    }

    /// The reads since `start`. A reload by a thread of the cache is none.
    pub(crate) fn reads(&self) -> impl Iterator<Item = &Read> {
        let since = self.all.iter().filter(|read| read.began >= self.start);
        since.filter(|read| !read.has(How::Background))
    }

    pub(crate) fn count(&self, is_counted: impl Fn(&Read) -> bool) -> usize {
        self.reads().filter(|read| is_counted(read)).count()
    }

    /// The reads that loaded, and their loads, in the order in which the loads began. Includes the
    /// reads before `start`.
    pub(crate) fn loads(&self) -> Vec<(&Read, Load)> {
        let loads = self.all.iter().filter_map(|read| Some((read, read.load?)));
        let mut loads: Vec<_> = loads.collect();
        loads.sort_unstable_by_key(|(_, load)| load.began);
        loads
    }

    /// The number of loads since `start`.
    pub(crate) fn loads_since_start(&self, is_counted: impl Fn(&Load) -> bool) -> usize {
        let loads = self.loads().into_iter();
        let since = loads.filter(|(read, _)| read.began >= self.start);
        since.filter(|(_, load)| is_counted(load)).count()
    }

    /// The average number of loads in a TTL. `None` if there was only one load.
    pub(crate) fn loads_per_ttl(&self, plan: &Plan) -> Option<f64> {
        let loads = self.loads();
        let (first, last) = (loads.first()?.1, loads.last()?.1);
        let ttls = last.began.since(first.began).as_secs_f64() / plan.ttl.as_secs_f64();
        (loads.len() > 1).then(|| float(loads.len() - 1) / ttls)
    }

    /// The largest number of loads that were under way at the same moment.
    pub(crate) fn loads_at_once(&self) -> usize {
        let loads = self.loads();
        let under_way = |at: Instant| {
            let is_under_way = |load: &Load| load.began <= at && at < load.ended;
            loads.iter().filter(|(_, load)| is_under_way(load)).count()
        };
        let counts = loads.iter().map(|(_, load)| under_way(load.began));
        counts.max().unwrap_or_default()
    }

    /// The duration that this fraction of all reads, from 0 to 1, does not exceed.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is no more than their number"
        )]
        let rank = (float(self.times.len()) * share).ceil() as usize;
        let time = self.times.get(rank.saturating_sub(1));
        time.copied().unwrap_or_default()
    }

    /// The slowest of the reads that did not load.
    pub(crate) fn slowest_other(&self) -> Duration {
        let others = self.reads().filter(|read| read.load.is_none());
        others.map(Read::took).max().unwrap_or_default()
    }
}

impl Read {
    /// Whether it waited for another's load.
    pub(crate) fn has_waited(&self) -> bool {
        self.load.is_none() && matches!(self.how, How::Waited | How::Failed)
    }

    /// Whether it took as long as a wait for a load, for any reason.
    pub(crate) fn is_late(&self, plan: &Plan) -> bool {
        self.load.is_none() && self.took() > plan.load / 2
    }

    pub(crate) fn has(&self, how: How) -> bool {
        self.how == how
    }
}

#[expect(clippy::cast_precision_loss, reason = "nobody counts that far")]
pub(crate) fn float(count: usize) -> f64 {
    count as f64
}
