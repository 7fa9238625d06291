//! The setting for an audit.

use super::CacheBuilder;
use crate::cache::audit::Audit;

impl<R> CacheBuilder<R> {
    /// Compares the records of a share of the hits with the primary, and reports those that differ
    /// and that nothing ends. [`Audit`] explains how. [The guide](crate::guide::audit) says what to
    /// do about a report.
    ///
    /// ```
    /// # use std::{convert::Infallible, time::Duration};
    /// # use cache_aside::{Memory, Record};
    /// # let read_row = |_: &str| Ok::<_, Infallible>(Some(Record::from([("name", "Rye Loaf")])));
    /// use cache_aside::{Audit, Cache};
    ///
    /// let cache: Cache = Cache::builder(Memory::new(10_000))
    ///     .prefix("cache:product:")
    ///     .audit(Audit::new(read_row).rate(0.001))
    ///     .build()?;
    /// cache.get("p-001", read_row)?;
    /// assert_eq!(cache.stats().inconsistencies, 0);
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Cost
    ///
    /// A hit pays a few nanoseconds. A sampled hit copies its id, and takes a lock for a moment.
    /// The rest happens on a thread of the cache: see [`Audit`].
    ///
    /// Defaults to none.
    pub fn audit(mut self, audit: Audit<R>) -> CacheBuilder<R> {
        self.audit = Some(audit);
        self
    }
}
