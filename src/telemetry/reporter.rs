//! The single place where a cache reports an event: to its counters and all listeners.
//!
//! Guarantees that a panic of the program's recorder or observer does not leave
//! [`report`](Reporter::report), as [`trace`] does for the logger. So a report may come from a
//! destructor, or before work that must still be done. Near hits are never reported in these
//! situations, so a panic in their metric is not caught.

use std::{fmt, sync::Arc, time::Duration};

#[cfg(feature = "metrics")]
use super::metrics::Metrics;
use super::{
    event::{Event, Inconsistency, Observer},
    log_once::LogOnce,
    recorder::Recorder,
    stats::Counters,
    trace,
};
use crate::{
    error::Error,
    outcome::Source,
    record::fields::{Differing, Unstorable},
    util::{log_throttle::LogThrottle, worker::contain_panic},
};

/// The reporter of one cache.
pub(crate) struct Reporter {
    /// The name of the cache.
    pub(crate) cache: String,
    pub(crate) prefix: String,
    pub(crate) counters: Counters,
    pub(crate) recorder: Recorder,
    observer: Option<Arc<dyn Observer>>,
    /// Fields that could not be stored, for the log.
    unstorable_fields: LogOnce,
    /// Limits the log messages about loaders that return other ids.
    other_ids: LogThrottle,
    /// Limits the log messages about inconsistencies.
    inconsistencies: LogThrottle,
    #[cfg(feature = "metrics")]
    metrics: Metrics,
}

impl Reporter {
    pub(crate) fn new(
        cache: String,
        prefix: String,
        observer: Option<Arc<dyn Observer>>,
    ) -> Reporter {
        Reporter {
            #[cfg(feature = "metrics")]
            metrics: Metrics::new(&cache),
            cache,
            prefix,
            counters: Counters::default(),
            recorder: Recorder::default(),
            observer,
            unstorable_fields: LogOnce::default(),
            other_ids: LogThrottle::default(),
            inconsistencies: LogThrottle::default(),
        }
    }

    /// The same with an event log.
    pub(crate) fn with_recorder(self, recorder: Recorder) -> Reporter {
        Reporter { recorder, ..self }
    }

    /// Reports an event. Called with no lock held, because an observer may run any code.
    pub(crate) fn report(&self, event: &Event<'_>) {
        self.counters.count(event);
        trace::event(event);
        #[cfg(feature = "metrics")]
        let _ = contain_panic(|| self.metrics.record(event));
        self.observe(event);
    }

    /// Reports an answer from the near cache. It is separate, because a `match` on the event would
    /// take longer than the near hit.
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

    /// Reports that a record cannot be cached. Logs each field only once. Otherwise every load
    /// would log it, until somebody changes the type. The log calls it the `kind` record, and says
    /// what was `done` with it.
    pub(crate) fn unstorable(&self, kind: &str, id: &str, done: &str, why: &Unstorable) {
        let Unstorable { field, reason } = why;
        let field = field.as_deref();
        self.report(&Event::Unstorable { id, field, reason });
        if self.unstorable_fields.is_first(field) {
            let (cache, why) = (&self.cache, Error::from(why.clone()));
            trace::warn!("cache `{cache}`: the {kind} record {id:?} {done}: {why}");
        }
    }

    /// Logs that a loader returned records, but none with an id that it was asked for. The lookups
    /// then find no record, although there most likely is one.
    pub(crate) fn other_ids(&self, asked: &str, returned: &str) {
        if self.other_ids.is_due() {
            trace::warn!(
                "cache `{}`: the loader of a batch returned no id that it was asked for, but others: it was asked for \
                 {asked:?} and returned {returned:?}",
                self.cache
            );
        }
    }

    /// Reports that a cached record differs from the primary. The log has the names of the fields
    /// of a struct only: those of a map may be content.
    pub(crate) fn inconsistent(&self, id: &str, kind: Inconsistency, fields: &[Differing]) {
        let names: Vec<_> = fields.iter().map(|field| &*field.name).collect();
        let fields_of_event = &names;
        self.report(&Event::Inconsistent {
            id,
            kind,
            fields: fields_of_event,
        });
        if !self.inconsistencies.is_due() {
            return;
        }
        let what = match kind {
            Inconsistency::NotInPrimary => "the primary has no such record".to_owned(),
            Inconsistency::OnlyInPrimary => "the cache says that there is no record".to_owned(),
            Inconsistency::Fields if fields.iter().any(|field| field.is_key) => {
                format!("fields of a map, {}", fields.len())
            }
            Inconsistency::Fields => format!("the fields {names:?}"),
        };
        trace::warn!(
            "cache `{}`: the cached record {id:?} differs from the primary, and nothing has ended it: {what}",
            self.cache
        );
    }

    fn observe(&self, event: &Event<'_>) {
        if let Some(observer) = &self.observer {
            let noticed = contain_panic(|| observer.notice(&self.cache, event));
            if noticed.is_none() {
                trace::error!("cache `{}`: the observer panicked", self.cache);
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
