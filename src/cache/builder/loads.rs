//! The settings that protect the primary from too many loads.

use std::time::Duration;

use super::CacheBuilder;

impl<R> CacheBuilder<R> {
    /// Limits how many loads of this cache run at a time in this process, so that a burst of misses
    /// does not overrun the primary. A call of a batch's loader is one load. 1 to 1,000,000.
    ///
    /// A lookup that has to load waits for its turn, first come first served, for at most
    /// [`load_queue_timeout`](CacheBuilder::load_queue_timeout). Then it fails with
    /// [`Error::Overloaded`](crate::Error::Overloaded). It holds no lease while it waits, so other
    /// processes may load the record in the meantime: one lookup of each record reads it again from
    /// time to time, at least every 16th [`poll`](CacheBuilder::poll). Lookups that wait for a turn
    /// for the same record share one load. Hits and lookups that share another caller's
    /// load need no turn. A lookup whose record is [stale](crate::Source::Stale) or due for an
    /// early refresh does not wait either: it gets the cached record.
    ///
    /// A loader of any cache that reads a limited cache waits for no turn, because two such loads
    /// could wait for each other. It may exceed the limit by one for each thread that loads. So
    /// give the outer cache a limit, too.
    ///
    /// Lookups without Redis and those that [skip the
    /// cache](crate::LookupOptions::skip_cache) need a turn as well. Clones of the cache share the
    /// limit; other processes have their own.
    ///
    /// Defaults to off: any number of loads.
    pub fn max_loads(mut self, most: usize) -> CacheBuilder<R> {
        self.settings.max_loads = Some(most);
        self
    }

    /// Sets how long a lookup waits for its turn to load, if [`max_loads`](CacheBuilder::max_loads)
    /// are running. Zero: it fails at once. Up to ten years. This time is not counted as a wait for
    /// another caller's load, and the other way round.
    ///
    /// Defaults to the [`wait_timeout`](CacheBuilder::wait_timeout) of the cache or
    /// [of the lookup](crate::LookupOptions::wait_timeout).
    pub fn load_queue_timeout(mut self, timeout: Duration) -> CacheBuilder<R> {
        self.settings.load_queue_timeout = Some(timeout);
        self
    }
}
