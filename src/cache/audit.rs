//! The settings of an audit, and their checks.

use std::{error::Error as StdError, fmt, marker::PhantomData, time::Duration};

use crate::{
    engine::Settings,
    error::Error,
    loaded::{LoadContext, Loaded},
    read::{
        audit::{AuditSettings, Auditor},
        loader::SharedLoader,
    },
    record::Record,
    util::limits::{between, refuse},
};

/// More samples than one thread can take.
const MOST_PER_SECOND: u32 = 100_000;

/// Compares a share of the hits with the primary: for
/// [`CacheBuilder::audit`](crate::CacheBuilder::audit).
///
/// Of a sampled hit, a thread of the cache reads the cached record, and loads it from the primary.
/// If the two differ, that need not be a fault: a write may be under way. So after a
/// [delay](Audit::delay) the thread loads and reads again. It reports an
/// [inconsistency](crate::Event::Inconsistent) only if the cached record still differs, and is
/// still from the **same fill**: the same fields, with the same end of their TTL. If the primary
/// has changed meanwhile, it waits for the delay once more. Whatever was filled, updated, kept or
/// expired in between is not reported.
///
/// Only records that claim to be right are compared: fresh ones of this cache's type, schema and
/// tags, while no invalidation of them is pending in this process. A cached "no such record" is
/// compared too. Batches and hits of a [`LoadingCache`](crate::LoadingCache) are
/// sampled too. Of a near hit, the copy in the near cache is compared, and known again as the same
/// copy.
///
/// ```
/// # use std::{convert::Infallible, time::Duration};
/// # use cache_aside::{Cache, Memory, Record};
/// # let read_row = |_: &str| Ok::<_, Infallible>(Some(Record::from([("name", "Rye Loaf")])));
/// use cache_aside::{Audit, Event};
///
/// let audit = Audit::new(read_row).rate(0.001).delay(Duration::from_secs(3));
/// let cache: Cache = Cache::builder(Memory::new(10_000))
///     .prefix("cache:product:")
///     .audit(audit)
///     .observer(|cache: &str, event: &Event<'_>| {
///         if let Event::Inconsistent { id, fields, .. } = event {
///             eprintln!("{cache}: {id} is wrong in {fields:?}");
///         }
///     })
///     .build()?;
/// # Ok::<_, cache_aside::Error>(())
/// ```
///
/// # Cost
///
/// A sample takes one round trip and one load, and one of each more for each further look. A near
/// hit takes no round trip. All samples of a cache run on one thread, one after another, at most
/// [`max_per_second`](Audit::max_per_second). It is started by the first sample, and ends with the
/// last handle of the cache, which does not wait for it. If the cache has
/// [`max_loads`](crate::CacheBuilder::max_loads), a load needs a free turn, and does not wait for
/// one. Beyond these limits, samples are [skipped](crate::Audited::Skipped).
pub struct Audit<R = Record> {
    loader: SharedLoader,
    /// Of the records that `loader` returns.
    record_type: PhantomData<fn() -> R>,
    settings: AuditSettings,
}

impl<R: Send + Sync + 'static> Audit<R> {
    /// Starts with the loader. It must return the same record as the loaders of the lookups, and
    /// read the primary and not a cache. It runs on the thread of the audit. A panic of it counts
    /// as a failed sample. A loader that holds the cache itself keeps it alive for ever.
    pub fn new<E, F>(loader: F) -> Audit<R>
    where
        E: Into<Box<dyn StdError + Send + Sync>>,
        F: Fn(&str) -> Result<Option<R>, E> + Send + Sync + 'static,
    {
        Audit::of(SharedLoader::of_id::<R, _>(loader))
    }

    /// Starts with a loader that sees the [`LoadContext`]. It is always told to
    /// [read the primary](LoadContext::read_primary). Of what it returns, only the record counts.
    pub fn with_context<L, E, F>(loader: F) -> Audit<R>
    where
        L: Into<Loaded<R>>,
        E: Into<Box<dyn StdError + Send + Sync>>,
        F: Fn(&LoadContext<'_>) -> Result<L, E> + Send + Sync + 'static,
    {
        Audit::of(SharedLoader::of_context::<R, _, _>(loader))
    }
}

impl<R> Audit<R> {
    fn of(loader: SharedLoader) -> Audit<R> {
        Audit {
            loader,
            record_type: PhantomData,
            settings: AuditSettings {
                rate: 0.01,
                delay: Duration::from_secs(5),
                max_per_second: 10,
            },
        }
    }

    /// Sets the share of hits that are sampled, at random. Above 0, at most 1.
    ///
    /// Defaults to 0.01: a cache with 1,000 hits a second reaches the default of
    /// [`max_per_second`](Audit::max_per_second).
    #[must_use]
    pub fn rate(mut self, rate: f64) -> Audit<R> {
        self.settings.rate = rate;
        self
    }

    /// Sets how long a record that differs must stay before it is reported. It must be longer than
    /// a writer takes from its commit to the end of its invalidation, plus
    /// [`near_staleness`](crate::CacheBuilder::near_staleness) if there is a near cache, and longer
    /// than a replica lags that the loader reads. From 1 ms to less than the `ttl`. A record that
    /// expires within the delay is not compared, so let it be a third of the `ttl` at most.
    ///
    /// Defaults to 5 s. Writes and replicas are much faster than that, unless Redis is down.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Audit<R> {
        self.settings.delay = delay;
        self
    }

    /// Sets how many samples are taken in a second at most, to protect the primary. 1 to 100,000.
    ///
    /// Defaults to 10, which any primary of a cache can serve.
    #[must_use]
    pub fn max_per_second(mut self, most: u32) -> Audit<R> {
        self.settings.max_per_second = most;
        self
    }

    /// Refuses settings that are invalid for this cache.
    pub(super) fn check(&self, cache: &Settings) -> Result<(), Error> {
        let AuditSettings {
            rate,
            delay,
            max_per_second,
        } = self.settings;
        if !(rate > 0.0 && rate <= 1.0) {
            return refuse(
                "audit",
                format!("the rate {rate} is no share; it must be above 0 and at most 1"),
            );
        }
        between("audit", delay, Duration::from_millis(1))?;
        let Settings {
            ttl,
            near_cache,
            near_staleness,
            ..
        } = cache;
        if delay >= *ttl {
            return refuse(
                "audit",
                format!(
                    "its delay of {delay:?} is not shorter than the `ttl` of {ttl:?}, so no record would stay long enough"
                ),
            );
        }
        if near_cache.is_some() && delay <= *near_staleness {
            return refuse(
                "audit",
                format!(
                    "its delay of {delay:?} is not longer than the `near_staleness` of {near_staleness:?}, for which a near record may be old"
                ),
            );
        }
        if max_per_second == 0 || max_per_second > MOST_PER_SECOND {
            return refuse(
                "audit",
                "max_per_second must be at least 1 and at most 100,000",
            );
        }
        Ok(())
    }

    pub(super) fn auditor(self) -> Auditor {
        Auditor::new(self.loader, self.settings)
    }
}

/// Not derived: `R` need not be `Clone`.
impl<R> Clone for Audit<R> {
    fn clone(&self) -> Audit<R> {
        Audit {
            loader: self.loader.clone(),
            ..*self
        }
    }
}

/// Not derived: a loader is not `Debug`.
impl<R> fmt::Debug for Audit<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
