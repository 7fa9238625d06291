//! The one place through which a cache says what happens in it: to its counters, and to all who listen.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

#[cfg(feature = "metrics")]
use super::metrics::Metrics;
use super::{
    event::{Event, Observer},
    log_once::LogOnce,
    stats::Counters,
    trace,
};
use crate::{error::Error, outcome::Source, record::fields::Unstorable};

/// Of one cache.
pub(crate) struct Reporter {
    /// The cache's prefix, which is its name.
    pub(crate) cache: String,
    pub(crate) counters: Counters,
    observer: Option<Arc<dyn Observer>>,
    /// Fields that could not be stored.
    unstorable_fields: LogOnce,
    #[cfg(feature = "metrics")]
    metrics: Metrics,
}

impl Reporter {
    pub(crate) fn new(cache: String, observer: Option<Arc<dyn Observer>>) -> Reporter {
        Reporter {
            #[cfg(feature = "metrics")]
            metrics: Metrics::new(&cache),
            cache,
            counters: Counters::default(),
            observer,
            unstorable_fields: LogOnce::default(),
        }
    }

    /// Says that something happened. Called with no lock held: an observer may do what it likes.
    pub(crate) fn report(&self, event: &Event<'_>) {
        self.counters.count(event);
        trace::event(event);
        #[cfg(feature = "metrics")]
        self.metrics.record(event);
        self.observe(event);
    }

    /// The same for an answer from the near cache, which takes less time than to find out what kind of event it is.
    #[inline]
    pub(crate) fn near_hit(&self, id: &str, found: bool) {
        self.counters.near_hit(found);
        #[cfg(feature = "metrics")]
        self.metrics.near_hit(found);
        if self.observer.is_some() {
            self.observe(&Event::Answered {
                id,
                source: Source::Near,
                found,
                elapsed: Duration::ZERO,
            });
        }
    }

    /// Says that a loaded record cannot be cached. Logged once for each field and not at intervals:
    /// the type must change before that stops, and every load of such a record would say it again.
    pub(crate) fn unstorable(&self, id: &str, why: Unstorable) {
        let Unstorable { field, reason } = &why;
        let field = field.as_deref();
        self.report(&Event::Unstorable { id, field, reason });
        if self.unstorable_fields.is_first(field) {
            let (cache, why) = (&self.cache, Error::from(why));
            trace::warn!("what the cache `{cache}` loads is returned and not cached: {why}");
        }
    }

    fn observe(&self, event: &Event<'_>) {
        if let Some(observer) = &self.observer {
            // It may be called while a panic of the user's unwinds, or on a thread that others rely on.
            let noticed = catch_unwind(AssertUnwindSafe(|| observer.notice(&self.cache, event)));
            if noticed.is_err() {
                trace::error!("the observer of the cache `{}` panicked", self.cache);
            }
        }
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter")
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}
