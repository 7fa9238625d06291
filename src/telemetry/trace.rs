//! Log messages and spans: through `tracing` if that feature is on, otherwise through `log`.
//!
//! Every module of the crate logs through this one. Guarantees that a panic of the user's logger or
//! subscriber does not leave this module. A message may come from a destructor, where a second
//! panic aborts the process, or before work that must still be done. The panic hook has already
//! reported the panic.

#[cfg(not(feature = "tracing"))]
pub(crate) use log as facade;
#[cfg(feature = "tracing")]
pub(crate) use tracing as facade;

pub(crate) use crate::util::worker::contain_panic;

/// Defines each macro like the one of the logging crate, and catches its panics.
macro_rules! contained {
    // The definition of a macro inside a macro needs a literal `$`, which the caller passes.
    ($dollar:tt: $($contained:ident as $name:ident)+) => {
        $(
            macro_rules! $contained {
                ($dollar($dollar line:tt)+) => {{
                    let _ = $crate::telemetry::trace::contain_panic(|| {
                        $crate::telemetry::trace::facade::$name!($dollar($dollar line)+);
                    });
                }};
            }
            pub(crate) use $contained as $name;
        )+
    };
}

contained! { $: contained_error as error contained_info as info contained_warn as warn }

#[cfg(feature = "tracing")]
mod on {
    use std::marker::PhantomData;

    use tracing::{
        Span, debug, debug_span,
        field::{Empty, display},
        trace,
    };

    use super::contain_panic;
    use crate::{
        error::{Error, cause::chain},
        outcome::Source,
        telemetry::event::Event,
    };

    /// A span that this thread is in, until it is dropped.
    ///
    /// It is not an `EnteredSpan`. That type exits and closes in one drop, where a subscriber that
    /// panics twice aborts the process.
    pub(crate) struct Entered {
        /// `None` if no subscriber wants the span.
        span: Option<Span>,
        /// Keeps the type from being `Send`: the thread that entered a span must exit it.
        not_send: PhantomData<*const ()>,
    }

    impl Entered {
        fn new(span: impl FnOnce() -> Span) -> Entered {
            let span = contain_panic(span).filter(|span| !span.is_disabled());
            if let Some(span) = &span {
                let enter = || span.with_subscriber(|(id, subscriber)| subscriber.enter(id));
                let _ = contain_panic(enter);
            }
            let not_send = PhantomData;
            Entered { span, not_send }
        }

        fn record(&self, record: impl FnOnce(&Span)) {
            if let Some(span) = &self.span {
                let _ = contain_panic(|| record(span));
            }
        }
    }

    impl Drop for Entered {
        fn drop(&mut self) {
            if let Some(span) = self.span.take() {
                let exit = || span.with_subscriber(|(id, subscriber)| subscriber.exit(id));
                let _ = contain_panic(exit);
                let _ = contain_panic(|| drop(span));
            }
        }
    }

    /// The span of a lookup. Its fields are set as soon as they are known.
    pub(crate) struct LookupSpan(Entered);

    pub(crate) fn lookup(cache: &str, id: &str) -> LookupSpan {
        let span = || {
            debug_span!(
                "cache_aside::get",
                cache,
                id,
                source = Empty,
                found = Empty,
                degraded_cause = Empty
            )
        };
        LookupSpan(Entered::new(span))
    }

    /// The span of a batch. Its lookups have no spans of their own.
    pub(crate) fn lookups(cache: &str, ids: usize) -> Entered {
        Entered::new(|| debug_span!("cache_aside::get_many", cache, ids))
    }

    impl LookupSpan {
        /// The empty span of a lookup in a batch.
        pub(crate) fn one_of_many() -> LookupSpan {
            LookupSpan(Entered::new(Span::none))
        }

        pub(crate) fn answered(&self, source: Source, found: bool) {
            self.0.record(|span| {
                span.record("source", source.name()).record("found", found);
            });
        }

        pub(crate) fn degraded_cause(&self, cause: &Error) {
            self.0.record(|span| {
                span.record("degraded_cause", display(chain(cause)));
            });
        }
    }

    /// The span around a loader. Spans of the primary's driver are its children.
    pub(crate) fn load() -> Entered {
        Entered::new(|| debug_span!("cache_aside::load"))
    }

    /// The span of a lookup on a thread of a `LoadingCache`.
    pub(crate) fn background(cache: &str, id: &str) -> Entered {
        Entered::new(|| debug_span!("cache_aside::background", cache, id))
    }

    /// The span of one look of an audit.
    pub(crate) fn audit(cache: &str, id: &str) -> Entered {
        Entered::new(|| debug_span!("cache_aside::audit", cache, id))
    }

    /// The span of a call that writes.
    pub(crate) fn write(cache: &str, id: &str, call: &'static str) -> Entered {
        Entered::new(|| debug_span!("cache_aside::write", cache, id, call))
    }

    pub(crate) fn event(event: &Event<'_>) {
        let _ = contain_panic(|| log(event));
    }

    fn log(event: &Event<'_>) {
        match event {
            Event::Missed { reason, .. } => trace!(reason = reason.name(), "missed"),
            Event::LoadEnded {
                outcome, elapsed, ..
            } => {
                debug!(outcome = outcome.name(), ?elapsed, "loaded");
            }
            Event::Failed { id, error, .. } => {
                debug!(id, error = %chain(*error), "the lookup failed");
            }
            Event::Refreshed { id } => debug!(id, "refreshed"),
            Event::Overloaded { id } => debug!(id, "too many loads are running"),
            Event::LoadTimedOut { id } => debug!(id, "the load takes too long"),
            Event::FillRefused { id } => debug!(id, "the fill was refused"),
            Event::StaleLoad {
                id,
                version,
                min_version,
            } => debug!(id, version, min_version, "the loaded record is too old"),
            Event::Unstorable { id, field, reason } => {
                debug!(id, field, reason, "the record cannot be cached");
            }
            Event::Unreadable { id } => debug!(id, "the entry is not a record of this type"),
            // Normal during a deployment, and as frequent as reads.
            Event::OtherSchema { id } => trace!(id, "the entry is of another schema"),
            Event::Audited { id, outcome } => debug!(id, outcome = outcome.name(), "audited"),
            Event::InvalidationReplayed => debug!("an invalidation was replayed"),
            // Reported elsewhere: logged at their origin, or visible in the spans.
            Event::LoadBegan { .. }
            | Event::BackgroundLoad { .. }
            | Event::BackgroundPanicked { .. }
            | Event::Degraded { .. }
            | Event::Answered { .. }
            | Event::Shared { .. }
            | Event::RefreshFailed { .. }
            | Event::Inconsistent { .. }
            | Event::Wrote { .. }
            | Event::StoreFailed { .. }
            | Event::InvalidationRemembered { .. }
            | Event::InvalidationsLost { .. }
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

    pub(crate) fn background(_cache: &str, _id: &str) -> Entered {
        Entered
    }

    pub(crate) fn audit(_cache: &str, _id: &str) -> Entered {
        Entered
    }

    pub(crate) fn write(_cache: &str, _id: &str, _call: &'static str) -> Entered {
        Entered
    }

    pub(crate) fn event(_event: &Event<'_>) {}
}

#[cfg(not(feature = "tracing"))]
pub(crate) use off::{Entered, LookupSpan, audit, background, event, load, lookup, lookups, write};
#[cfg(feature = "tracing")]
pub(crate) use on::{Entered, LookupSpan, audit, background, event, load, lookup, lookups, write};
