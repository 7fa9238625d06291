//! What people read: through `tracing` where that feature is on, else through `log`.

#[cfg(not(feature = "tracing"))]
pub(crate) use log::{error, info, warn};
#[cfg(feature = "tracing")]
pub(crate) use tracing::{error, info, warn};

#[cfg(feature = "tracing")]
mod on {
    use tracing::{Span, debug, debug_span, field::Empty, trace};

    pub(crate) use tracing::span::EnteredSpan as Entered;

    use crate::event::Event;

    /// The span of a lookup. Its fields `source`, `found` and `degraded_by` are filled in when they are known.
    pub(crate) fn lookup(cache: &str, id: &str) -> Entered {
        debug_span!(
            "cache_aside::get",
            cache,
            id,
            source = Empty,
            found = Empty,
            degraded_by = Empty
        )
        .entered()
    }

    /// The span around a loader, so that what the primary's driver says stands below it.
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
            Event::LoadEnded { outcome, took, .. } => {
                debug!(outcome = outcome.name(), ?took, "loaded");
            }
            Event::Degraded { cause, .. } => {
                Span::current().record("degraded_by", cause.to_string());
            }
            Event::Answered { source, found, .. } => {
                Span::current()
                    .record("source", source.name())
                    .record("found", found);
            }
            Event::Failed { error, .. } => debug!(%error, "the lookup failed"),
            Event::FillRefused { id } => debug!(id, "the fill was refused"),
            Event::Unreadable { id } => debug!(id, "the entry is no record of the wanted type"),
            Event::InvalidationReplayed => debug!("an invalidation was replayed"),
            // Said where they happen, by all who log; or said by the spans.
            Event::LoadBegan { .. }
            | Event::Shared { .. }
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
    use crate::event::Event;

    /// In the place of a span.
    pub(crate) struct Entered;

    pub(crate) fn lookup(_cache: &str, _id: &str) -> Entered {
        Entered
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
pub(crate) use off::{Entered, event, load, lookup, write};
#[cfg(feature = "tracing")]
pub(crate) use on::{Entered, event, load, lookup, write};
