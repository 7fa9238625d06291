//! Log messages and spans: through `tracing` where that feature is on, else through `log`.

#[cfg(not(feature = "tracing"))]
pub(crate) use log::{error, info, warn};
#[cfg(feature = "tracing")]
pub(crate) use tracing::{error, info, warn};

#[cfg(feature = "tracing")]
mod on {
    use tracing::{
        Span, debug, debug_span,
        field::{Empty, display},
        trace,
    };

    pub(crate) use tracing::span::EnteredSpan as Entered;

    use crate::{error::Error, outcome::Source, telemetry::event::Event};

    /// The span of a lookup. Its fields are filled in when they are known.
    pub(crate) struct LookupSpan(Entered);

    pub(crate) fn lookup(cache: &str, id: &str) -> LookupSpan {
        let span = debug_span!(
            "cache_aside::get",
            cache,
            id,
            source = Empty,
            found = Empty,
            degraded_cause = Empty
        );
        LookupSpan(span.entered())
    }

    /// The span of a batch. Its lookups have no spans of their own.
    pub(crate) fn lookups(cache: &str, ids: usize) -> Entered {
        debug_span!("cache_aside::get_many", cache, ids).entered()
    }

    impl LookupSpan {
        /// A lookup of a batch.
        pub(crate) fn one_of_many() -> LookupSpan {
            LookupSpan(Span::none().entered())
        }

        pub(crate) fn answered(&self, source: Source, found: bool) {
            self.0
                .record("source", source.name())
                .record("found", found);
        }

        pub(crate) fn degraded_cause(&self, cause: &Error) {
            self.0.record("degraded_cause", display(cause));
        }
    }

    /// The span around a loader. Spans of the primary's driver are its children.
    pub(crate) fn load() -> Entered {
        debug_span!("cache_aside::load").entered()
    }

    /// The span of a call that writes.
    pub(crate) fn write(cache: &str, id: &str, call: &'static str) -> Entered {
        debug_span!("cache_aside::write", cache, id, call).entered()
    }

    pub(crate) fn event(event: &Event<'_>) {
        match event {
            Event::Missed { reason, .. } => trace!(reason = reason.name(), "missed"),
            Event::LoadEnded {
                outcome, elapsed, ..
            } => {
                debug!(outcome = outcome.name(), ?elapsed, "loaded");
            }
            Event::Failed { error, .. } => debug!(%error, "the lookup failed"),
            Event::Refreshed { id } => debug!(id, "refreshed"),
            Event::FillRefused { id } => debug!(id, "the fill was refused"),
            Event::Unstorable { id, field, reason } => {
                debug!(id, field, reason, "the record cannot be cached");
            }
            Event::Unreadable { id } => debug!(id, "the entry is no record of the wanted type"),
            Event::InvalidationReplayed => debug!("an invalidation was replayed"),
            // Reported elsewhere: logged where they happen, or shown by the spans.
            Event::LoadBegan { .. }
            | Event::Degraded { .. }
            | Event::Answered { .. }
            | Event::Shared { .. }
            | Event::RefreshFailed { .. }
            | Event::Wrote { .. }
            | Event::StoreFailed { .. }
            | Event::InvalidationRemembered { .. }
            | Event::Bypassed { .. }
            | Event::BreakerOpened { .. }
            | Event::BreakerClosed => {}
        }
    }
}

#[cfg(not(feature = "tracing"))]
mod off {
    use crate::{error::Error, outcome::Source, telemetry::event::Event};

    /// Replaces a span.
    pub(crate) struct Entered;

    pub(crate) struct LookupSpan;

    pub(crate) fn lookup(_cache: &str, _id: &str) -> LookupSpan {
        LookupSpan
    }

    pub(crate) fn lookups(_cache: &str, _ids: usize) -> Entered {
        Entered
    }

    #[expect(clippy::unused_self, reason = "the other one has a use for it")]
    impl LookupSpan {
        pub(crate) fn one_of_many() -> LookupSpan {
            LookupSpan
        }

        pub(crate) fn answered(&self, _source: Source, _found: bool) {}

        pub(crate) fn degraded_cause(&self, _cause: &Error) {}
    }

    pub(crate) fn load() -> Entered {
        Entered
    }

    pub(crate) fn write(_cache: &str, _id: &str, _call: &'static str) -> Entered {
        Entered
    }

    pub(crate) fn event(_event: &Event<'_>) {}
}

#[cfg(not(feature = "tracing"))]
pub(crate) use off::{Entered, LookupSpan, event, load, lookup, lookups, write};
#[cfg(feature = "tracing")]
pub(crate) use on::{Entered, LookupSpan, event, load, lookup, lookups, write};
