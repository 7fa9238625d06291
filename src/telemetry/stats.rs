//! Counters of one cache: lock-free, one relaxed addition an event, to a counter that few threads share.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{
    event::{Event, Load},
    shards::Shards,
};
use crate::outcome::Source;

/// What a cache has done since it was built or since [`Cache::reset_stats`](crate::Cache::reset_stats).
///
/// Each event is counted once; numbers read while other threads work may lie some events apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Lookups answered by the record found in Redis at the first look, or near.
    pub hits: u64,
    /// Of the hits, those that the [near cache](crate::CacheBuilder::near_cache) answered.
    pub near_hits: u64,
    /// Of the hits, those that found the primary to have no such record (`negative_ttl`).
    pub negative_hits: u64,
    /// Of the hits, those whose record was past its TTL (`grace`).
    pub stale_hits: u64,
    /// Lookups that found no usable record at the first look, for whatever reason.
    pub misses: u64,
    /// Lookups that found a record past its TTL or near its end, and loaded it anew (`grace`, `early_refresh`).
    pub refreshes: u64,
    /// Lookups that failed to do so, and are among the hits.
    pub refresh_errors: u64,
    /// Misses answered by somebody else's load, of this process or another: loads the primary was spared.
    pub stampedes_suppressed: u64,
    /// Calls of a loader, for one record or many.
    pub loads: u64,
    /// Loaders that returned an error or panicked.
    pub load_errors: u64,
    /// Records that were loaded but not cached, because their lease had ended before the fill: an
    /// invalidation came in between, or the lease lapsed. Or the fill was sent again, since its connection
    /// broke, and had been done the first time.
    pub refused_fills: u64,
    /// Records that were loaded and returned, but cannot be cached: they have no field, or one that
    /// does not come back as it was. See [`Event::Unstorable`](crate::Event::Unstorable).
    pub unstorable_records: u64,
    /// Lookups that went on without Redis, because it failed or because a wait took too long.
    pub degraded: u64,
    /// Lookups and updates that met an entry which is no hash, or does not decode into the record type. It is
    /// taken for a miss.
    pub unreadable: u64,
    /// Requests to Redis that failed, those of the thread that renews leases included. Requests that were not
    /// sent, because the breaker is open, are none.
    pub redis_errors: u64,
    /// Invalidations that did not reach Redis and were remembered.
    pub invalidations_remembered: u64,
    /// Records for which that has been made good.
    pub invalidations_replayed: u64,
    /// Records, of all caches on this pool, for which it has not, right now. This process doesn't read them from
    /// Redis.
    pub invalidations_pending: u64,
    /// Whether Redis, having failed too often in a row, is not asked right now.
    pub breaker_open: bool,
    /// Whether changes in the store are being heard right now, where a
    /// [near cache](crate::CacheBuilder::near_cache) or [tracking](crate::CacheBuilder::tracking) is on. While they aren't, the
    /// near cache is not used, and waiters poll.
    pub tracking_live: bool,
}

impl Stats {
    /// Hits among all lookups, in per cent; 0 before the first lookup.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate for people needs no 53rd bit"
    )]
    pub fn hit_rate_pct(&self) -> f64 {
        let lookups = self.hits + self.misses + self.refreshes;
        if lookups == 0 {
            return 0.0;
        }
        100.0 * self.hits as f64 / lookups as f64
    }
}

/// One event counter, of the threads that have this shard.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Relaxed: a counter orders nothing, it only counts.
    #[inline]
    fn add_one(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// The living counters behind [`Stats`], one for each of its fields, and their names.
macro_rules! counters {
    ($($name:ident),+ $(,)?) => {
        #[derive(Debug, Default)]
        struct Shard { $($name: Counter,)+ }

        impl Stats {
            /// Each number with its name, for whoever passes them on: those of later versions, too. A yes
            /// is 1.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [
                    $((stringify!($name), self.$name),)+
                    ("invalidations_pending", self.invalidations_pending),
                    ("breaker_open", u64::from(self.breaker_open)),
                    ("tracking_live", u64::from(self.tracking_live)),
                ]
                .into_iter()
            }
        }

        impl Shard {
            fn add_to(&self, stats: &mut Stats) {
                $(stats.$name += self.$name.0.load(Relaxed);)+
            }

            fn reset(&self) {
                $(self.$name.0.store(0, Relaxed);)+
            }
        }
    };
}

counters! {
    hits,
    near_hits,
    negative_hits,
    stale_hits,
    misses,
    refreshes,
    refresh_errors,
    stampedes_suppressed,
    loads,
    load_errors,
    refused_fills,
    unstorable_records,
    degraded,
    unreadable,
    redis_errors,
    invalidations_remembered,
    invalidations_replayed,
}

/// Those of one cache.
#[derive(Debug, Default)]
pub(crate) struct Counters(Shards<Shard>);

impl Counters {
    pub(crate) fn snapshot(&self) -> Stats {
        let mut stats = Stats::default();
        self.0.iter().for_each(|shard| shard.add_to(&mut stats));
        // Counted once, since a near hit has no time for twice.
        stats.hits += stats.near_hits;
        stats
    }

    pub(crate) fn reset(&self) {
        self.0.iter().for_each(Shard::reset);
    }

    /// An answer from the near cache.
    #[inline]
    pub(crate) fn near_hit(&self, found: bool) {
        self.0.own().near_hit(found);
    }

    pub(crate) fn count(&self, event: &Event<'_>) {
        self.0.own().count(event);
    }
}

impl Shard {
    #[inline]
    fn near_hit(&self, found: bool) {
        self.near_hits.add_one();
        if !found {
            self.negative_hits.add_one();
        }
    }

    fn count(&self, event: &Event<'_>) {
        match event {
            Event::Missed { .. } => self.misses.add_one(),
            Event::LoadBegan { .. } => self.loads.add_one(),
            Event::LoadEnded { outcome, .. } => {
                if matches!(outcome, Load::Failed | Load::Panicked) {
                    self.load_errors.add_one();
                }
            }
            Event::Degraded { .. } => self.degraded.add_one(),
            Event::Answered {
                source: Source::Near,
                found,
                ..
            } => self.near_hit(*found),
            Event::Answered { source, found, .. } if source.is_hit() => {
                self.hits.add_one();
                if !found {
                    self.negative_hits.add_one();
                }
                if *source == Source::Stale {
                    self.stale_hits.add_one();
                }
            }
            Event::Refreshed { .. } => self.refreshes.add_one(),
            Event::RefreshFailed { .. } => self.refresh_errors.add_one(),
            Event::Shared { .. } => self.stampedes_suppressed.add_one(),
            Event::FillRefused { .. } => self.refused_fills.add_one(),
            Event::Unstorable { .. } => self.unstorable_records.add_one(),
            Event::Unreadable { .. } => self.unreadable.add_one(),
            Event::StoreFailed { .. } => self.redis_errors.add_one(),
            Event::InvalidationRemembered { .. } => self.invalidations_remembered.add_one(),
            Event::InvalidationReplayed => self.invalidations_replayed.add_one(),
            Event::Answered { .. }
            | Event::Failed { .. }
            | Event::Wrote { .. }
            | Event::Bypassed { .. }
            | Event::BreakerOpened { .. }
            | Event::BreakerClosed => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_many_threads_count_is_counted_once_each_and_all_of_it_is_reset() {
        const EACH: u64 = 1_000;
        let counters = Counters::default();
        for threads in [1, 100] {
            thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| {
                        for _ in 0..EACH {
                            counters.near_hit(true);
                            counters.count(&Event::Refreshed { id: "k" });
                        }
                        counters.near_hit(false);
                    });
                }
            });
            let stats = counters.snapshot();
            assert_eq!(stats.near_hits, threads * (EACH + 1));
            assert_eq!(stats.hits, stats.near_hits);
            assert_eq!(stats.negative_hits, threads);
            assert_eq!(stats.refreshes, threads * EACH);
            counters.reset();
            assert_eq!(counters.snapshot(), Stats::default());
        }
    }
}
