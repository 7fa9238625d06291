//! How long entries are fresh, how long they stay in the store, and when to refresh them early.
//!
//! The engine and the read path call it. It computes with durations and random numbers. It knows
//! neither the store nor lookups. The age of an entry follows from its remaining TTL, by the clock
//! of the store, so the record itself holds no timestamps.
//!
//! Early refresh is `XFetch`, of A. Vattani, F. Chierichetti and K. Lowenstein, "Optimal
//! Probabilistic Cache Stampede Prevention", VLDB 2015.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::util::{limits::LONGEST, random};

/// The freshness rules of one cache.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Freshness {
    /// The largest fraction by which a TTL is shortened: from 0 to less than 1.
    pub(crate) ttl_jitter: f64,
    /// How long a stale entry stays in the store after its TTL.
    pub(crate) grace: Duration,
    /// β in the paper: the larger it is, the earlier entries are refreshed.
    pub(crate) early_refresh: Option<f64>,
}

/// What to do with an entry that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryState {
    Fresh,
    /// Still fresh, but close to its TTL: the lookup should refresh it.
    Due,
    /// Past its TTL, within the grace: the lookup should refresh it.
    Stale,
}

impl Freshness {
    /// Whether neither grace nor early refresh is set. The remaining TTL is then not needed.
    pub(crate) fn is_plain(&self) -> bool {
        self.grace.is_zero() && self.early_refresh.is_none()
    }

    /// The TTL, shortened at random.
    pub(crate) fn jittered(&self, ttl: Duration) -> Duration {
        if self.ttl_jitter == 0.0 {
            return ttl;
        }
        ttl.mul_f64(1.0 - self.ttl_jitter * random::fraction())
    }

    /// How long a record with this TTL stays in the store: its TTL plus the grace.
    pub(crate) fn total_ttl(&self, ttl: Duration) -> Duration {
        ttl.min(LONGEST) + self.grace
    }

    /// Whether a record that expires after `left` is stale.
    pub(crate) fn is_stale(&self, left: Duration) -> bool {
        left <= self.grace && !self.grace.is_zero()
    }

    /// How long a near-cache copy of a fresh record that expires after `left` may be used: until
    /// the record is stale or due. The probability of being due is the same as in
    /// [`of`](Freshness::of).
    pub(crate) fn fresh_for(&self, left: Duration, load_time: Duration) -> Duration {
        let fresh = left.saturating_sub(self.grace);
        match self.early_refresh {
            None => fresh,
            Some(beta) => {
                let early = load_time.mul_f64(beta * -random::fraction().ln());
                fresh.saturating_sub(early)
            }
        }
    }

    /// What to do with a record that expires after `left`, if a load takes `load_time`. Whether the
    /// record is due is random: the sooner it expires, the more probable it is.
    pub(crate) fn of(&self, left: Duration, load_time: Duration) -> EntryState {
        /// For the smallest random fraction `x`, `-ln(x)` is less than this.
        const MOST: f64 = 37.0;
        if self.is_stale(left) {
            return EntryState::Stale;
        }
        let Some(beta) = self.early_refresh else {
            return EntryState::Fresh;
        };
        let left = left.saturating_sub(self.grace).as_secs_f64();
        let scale = load_time.as_secs_f64() * beta;
        // The first comparison is cheap, and makes the random number unnecessary for most hits.
        if left <= scale * MOST && left <= scale * -random::fraction().ln() {
            EntryState::Due
        } else {
            EntryState::Fresh
        }
    }
}

/// How long the loads of one cache take: a moving average, in nanoseconds. 0 before the first load.
#[derive(Debug, Default)]
pub(crate) struct LoadTime(AtomicU64);

impl LoadTime {
    pub(crate) fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Relaxed))
    }

    /// Adds one load. If two loads end at the same time, one may be lost, which is harmless.
    pub(crate) fn record(&self, time: Duration) {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1);
        let average = match self.0.load(Relaxed) {
            0 => time,
            // The latest load has a weight of a quarter. So the average follows a primary that
            // becomes slow within a few loads.
            before => before - before / 4 + time / 4,
        };
        self.0.store(average, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_jittered_ttl_lies_between_the_ttl_less_its_fraction_and_the_ttl() {
        let rules = Freshness {
            ttl_jitter: 0.2,
            ..Freshness::default()
        };
        let ttls: Vec<_> = (0..1_000).map(|_| rules.jittered(MINUTE)).collect();
        let least = MINUTE.mul_f64(0.8);
        assert!(ttls.iter().all(|ttl| (least..=MINUTE).contains(ttl)));
        let short = ttls
            .iter()
            .filter(|&&ttl| ttl < MINUTE.mul_f64(0.9))
            .count();
        assert!(
            (350..650).contains(&short),
            "{short} of 1,000 in the lower half"
        );
        assert_eq!(Freshness::default().jittered(MINUTE), MINUTE);
    }

    #[test]
    fn a_record_is_stale_in_its_grace_and_fresh_before() {
        let rules = Freshness {
            grace: MINUTE,
            ..Freshness::default()
        };
        assert_eq!(rules.total_ttl(SECOND), MINUTE + SECOND);
        assert_eq!(rules.of(MINUTE + SECOND, SECOND), EntryState::Fresh);
        assert_eq!(rules.of(MINUTE, SECOND), EntryState::Stale);
        assert_eq!(rules.of(Duration::ZERO, SECOND), EntryState::Stale);
        assert_eq!(
            Freshness::default().of(Duration::ZERO, SECOND),
            EntryState::Fresh
        );
    }

    /// Otherwise a hot record would not be refreshed early, because most of its hits are near hits.
    #[test]
    fn a_copy_ends_before_its_record_is_stale_and_earlier_by_chance_where_it_may_be_due() {
        let mut rules = Freshness {
            grace: MINUTE,
            ..Freshness::default()
        };
        assert_eq!(rules.fresh_for(2 * MINUTE, SECOND), MINUTE);
        rules.early_refresh = Some(1.0);
        let lives = |_: &u32| rules.fresh_for(2 * MINUTE, SECOND) > SECOND * 59;
        let late = (0..10_000).filter(lives).count();
        assert!(late.abs_diff(6_321) <= 200, "{late}");
        assert_eq!(rules.fresh_for(MINUTE, SECOND), Duration::ZERO);
    }

    /// With β and the load time at 1, the probability is exp(-`left`), with `left` in seconds.
    #[test]
    fn a_record_is_due_with_the_probability_of_the_paper() {
        let rules = Freshness {
            early_refresh: Some(2.0),
            ..Freshness::default()
        };
        for (left, expected) in [(0.0, 10_000), (1.0, 3_679), (3.0, 498), (40.0, 0)] {
            let left = Duration::from_secs_f64(left);
            let is_due = |_: &u32| rules.of(left, SECOND / 2) == EntryState::Due;
            let due = (0..10_000).filter(is_due).count();
            assert!(due.abs_diff(expected) <= 200, "{due} at {left:?}");
        }
    }

    #[test]
    fn nothing_is_due_before_it_is_known_how_long_a_load_takes() {
        let rules = Freshness {
            early_refresh: Some(1.0),
            ..Freshness::default()
        };
        let loads = LoadTime::default();
        assert_eq!(
            rules.of(Duration::from_millis(1), loads.get()),
            EntryState::Fresh
        );
        loads.record(SECOND);
        assert_eq!(loads.get(), SECOND);
    }

    #[test]
    fn a_primary_that_becomes_slow_is_noticed_after_a_few_loads() {
        let loads = LoadTime::default();
        loads.record(SECOND);
        for _ in 0..8 {
            loads.record(10 * SECOND);
        }
        assert!(loads.get() > 9 * SECOND, "{:?}", loads.get());
    }
}
