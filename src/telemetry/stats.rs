//! Counters of one cache. Counting an event is one relaxed addition to a counter that few threads
//! share.

mod count;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{event::Event, shards::Shards};

/// The counters of a cache since it was built or since
/// [`Cache::reset_stats`](crate::Cache::reset_stats).
///
/// Each event is counted once. Numbers that are read while other threads work may differ by a few
/// events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Lookups answered by the first read from Redis, or by the near cache.
    pub hits: u64,
    /// Hits that the [near cache](crate::CacheBuilder::near_cache) answered.
    pub near_hits: u64,
    /// Hits on a cached "no such record" (`negative_ttl`).
    pub negative_hits: u64,
    /// Hits whose record was past its TTL (`grace`).
    pub stale_hits: u64,
    /// Lookups whose first read found no usable record, for any reason.
    pub misses: u64,
    /// Lookups that found a record past its TTL or near its end, and were answered with a reloaded
    /// one (`grace`, `early_refresh`). A reload on a thread of a
    /// [`LoadingCache`](crate::LoadingCache) for which no caller waited answers no lookup: it is
    /// counted in `background_loads`, and its caller as a hit. The metric
    /// `cache_aside_refreshes_total` counts reloads, so it counts that one as well.
    pub refreshes: u64,
    /// Reloads of such a record that failed, also those on a thread of a `LoadingCache`. Their
    /// lookups are counted as hits.
    pub refresh_errors: u64,
    /// Misses answered by another caller's load, in this process or another. Each saved the primary
    /// a load.
    pub stampedes_suppressed: u64,
    /// Calls of a loader, for one record or many.
    pub loads: u64,
    /// Loaders that returned an error or panicked.
    pub load_errors: u64,
    /// Lookups that failed because too many loads were running: see
    /// [`max_loads`](crate::CacheBuilder::max_loads).
    pub overloads: u64,
    /// Lookups that failed because of the hard timeout of a
    /// [`LoadingCache`](crate::LoadingCache).
    pub load_timeouts: u64,
    /// Loads on the threads of a [`LoadingCache`](crate::LoadingCache). Also counted as `loads`.
    pub background_loads: u64,
    /// Loaders that panicked on such a thread. Also counted as `load_errors`.
    pub background_panics: u64,
    /// Records that were loaded but not cached, because an invalidation had ended their lease
    /// before the fill, or because it had lapsed. It also counts a fill that succeeded and was sent
    /// again because the connection broke.
    pub refused_fills: u64,
    /// Loads that returned a record older than a write that had returned, as from a replica that
    /// lags. See [`Event::StaleLoad`](crate::Event::StaleLoad).
    pub stale_loads: u64,
    /// Records that were loaded and returned, but cannot be cached, because a field would decode
    /// differently. Also updates of a field that the record type cannot have. See
    /// [`Event::Unstorable`](crate::Event::Unstorable).
    pub unstorable_records: u64,
    /// Lookups that went on without Redis, because it failed or a wait took too long.
    pub degraded: u64,
    /// Lookups and updates that found an entry that is not a hash, or does not decode into the
    /// record type. They treat it as a miss.
    pub unreadable_entries: u64,
    /// Lookups and updates that found an entry of another [`schema`](crate::CacheBuilder::schema).
    /// They treat it as a miss. It grows while programs with two schemas run.
    pub other_schema_entries: u64,
    /// Samples of the [audit](crate::CacheBuilder::audit) that have ended, unless they were
    /// skipped. Their loads are not counted as `loads`.
    pub audits: u64,
    /// Cached records that the audit found to differ from the primary. **Anything above zero is a
    /// fault**, most likely of the program: see [the guide](crate::guide::audit).
    pub inconsistencies: u64,
    /// Samples of the audit that failed, because the store or the loader did. Also counted as
    /// `audits`.
    pub audit_errors: u64,
    /// Samples of the audit that were skipped, because too many waited or
    /// [`max_loads`](crate::CacheBuilder::max_loads) were running.
    pub audit_skips: u64,
    /// Requests to Redis that failed, including those of the lease renewal thread. Requests that an
    /// open breaker stopped are not counted.
    pub store_errors: u64,
    /// Invalidations that did not reach Redis and became pending.
    pub invalidations_remembered: u64,
    /// Pending invalidations that later succeeded, counted by record.
    pub invalidations_replayed: u64,
    /// Records with a pending invalidation now, in all caches on this pool. This process does not
    /// read them from Redis.
    pub invalidations_pending: u64,
    /// Whether the breaker is open now: after too many failures in a row, Redis is not asked.
    pub breaker_open: bool,
    /// Whether the change stream is live now, if a [near cache](crate::CacheBuilder::near_cache) or
    /// [tracking](crate::CacheBuilder::tracking) is on. While it is not, the near cache is not
    /// used, and waiters poll.
    pub tracking_live: bool,
}

impl Stats {
    /// The fraction of lookups that were hits, from 0 to 1. `None` before the first lookup.
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// # use cache_aside::{Cache, Memory, Record};
    /// # let cache: Cache = Cache::builder(Memory::new(10_000)).prefix("cache:product:").build()?;
    /// # let read_row = |_: &str| Ok::<_, Infallible>(Some(Record::from([("name", "Rye Loaf")])));
    /// assert_eq!(cache.stats().hit_rate(), None);
    /// cache.get("p-001", read_row)?;
    /// cache.get("p-001", read_row)?;
    /// assert_eq!(cache.stats().hit_rate(), Some(0.5));
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate for people needs no 53rd bit"
    )]
    pub fn hit_rate(&self) -> Option<f64> {
        let lookups = self.hits + self.misses + self.refreshes;
        (lookups > 0).then(|| self.hits as f64 / lookups as f64)
    }
}

/// One event counter, for the threads of this shard.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Relaxed: a counter orders nothing, it only counts.
    #[inline]
    fn add_one(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// The live counters behind [`Stats`], one for each of its fields, and their names.
macro_rules! counters {
    ($($name:ident),+ $(,)?) => {
        #[derive(Debug, Default)]
        struct Shard { $($name: Counter,)+ }

        impl Stats {
            /// Each number with its name, for export. Later versions add numbers here. A boolean is
            /// 0 or 1.
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
    overloads,
    load_timeouts,
    background_loads,
    background_panics,
    refused_fills,
    stale_loads,
    unstorable_records,
    degraded,
    unreadable_entries,
    other_schema_entries,
    audits,
    inconsistencies,
    audit_errors,
    audit_skips,
    store_errors,
    invalidations_remembered,
    invalidations_replayed,
}

/// The counters of one cache.
#[derive(Debug, Default)]
pub(crate) struct Counters(Shards<Shard>);

impl Counters {
    pub(crate) fn snapshot(&self) -> Stats {
        let mut stats = Stats::default();
        self.0.iter().for_each(|shard| shard.add_to(&mut stats));
        // A near hit increments one counter only, to save time. The sum is made here.
        stats.hits += stats.near_hits;
        stats
    }

    pub(crate) fn reset(&self) {
        self.0.iter().for_each(Shard::reset);
    }

    /// Counts an answer from the near cache.
    #[inline]
    pub(crate) fn near_hit(&self, found: bool) {
        self.0.own().near_hit(found);
    }

    pub(crate) fn count(&self, event: &Event<'_>) {
        self.0.own().count(event);
    }
}

#[cfg(test)]
mod tests;
