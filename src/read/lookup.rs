//! One lookup under way: what it knows from the start, and the two ways in which it ends.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    engine::{
        Inner, Outcome, Settings,
        single_flight::{Arrival, Flight, Leader},
    },
    error::Error,
    outcome::{Lookup, Source},
    store::token::Token,
    telemetry::{event::Event, trace},
};

/// Who ends a flight that is found by a token.
pub(super) type Lead<'a, R> = Leader<'a, Token, Outcome<R>>;

/// What one lookup may want otherwise than its cache.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wishes {
    /// Of what it loads.
    pub(crate) ttl: Duration,
    pub(crate) wait_timeout: Duration,
}

impl Wishes {
    pub(crate) fn of(settings: &Settings) -> Wishes {
        Wishes {
            ttl: settings.ttl,
            wait_timeout: settings.wait_timeout,
        }
    }
}

/// One lookup under way.
pub(super) struct Asking<'a, R> {
    pub(super) inner: &'a Inner<R>,
    pub(super) wishes: Wishes,
    pub(super) id: &'a str,
    pub(super) span: trace::Lookup,
    /// Before the first look: what was invalidated before this instant must not be returned.
    pub(super) began: Instant,
    pub(super) redis_latency: Duration,
}

impl<R> Asking<'_, R> {
    /// When it stops waiting for a load that began then.
    pub(super) fn patience_from(&self, began: Instant) -> Instant {
        began + self.wishes.wait_timeout
    }

    /// Somebody else's load answered this lookup.
    pub(super) fn waited(&self, outcome: Outcome<R>) -> Result<Lookup<R>, Error> {
        self.report(&Event::Shared { id: self.id });
        Ok(self.found(outcome?, Source::Waited))
    }

    pub(super) fn found(&self, record: Option<Arc<R>>, source: Source) -> Lookup<R> {
        self.answer(record, source, self.began.elapsed())
    }

    /// The first look found it.
    pub(super) fn hit(&self, record: Option<Arc<R>>) -> Lookup<R> {
        self.first_look(record, Source::Hit)
    }

    pub(super) fn first_look(&self, record: Option<Arc<R>>, source: Source) -> Lookup<R> {
        self.answer(record, source, self.redis_latency)
    }

    fn answer(&self, record: Option<Arc<R>>, source: Source, took: Duration) -> Lookup<R> {
        self.span.answered(source, record.is_some());
        self.report(&Event::Answered {
            id: self.id,
            source,
            found: record.is_some(),
            took,
        });
        Lookup::new(record, source, self.redis_latency)
    }

    /// It goes on without Redis.
    pub(super) fn degrades(&self, cause: &Error) {
        self.span.degraded_by(cause);
        self.report(&Event::Degraded { id: self.id, cause });
    }

    /// It ends with an error.
    pub(super) fn failed(&self, error: &Error) {
        self.report(&Event::Failed {
            id: self.id,
            error,
            took: self.began.elapsed(),
        });
    }

    pub(super) fn report(&self, event: &Event<'_>) {
        self.inner.reporter.report(event);
    }
}

/// Another's flight, for which one may wait.
pub(super) fn others<R>(flight: Arc<Flight<Outcome<R>>>) -> Result<Arc<Flight<Outcome<R>>>, Error> {
    if flight.is_led_by_this_thread() {
        return Err(Error::Reentrant);
    }
    Ok(flight)
}

/// Waits for another's flight. `None`: it was abandoned, or the deadline has passed.
pub(super) fn follow<R>(
    flight: &Flight<Outcome<R>>,
    deadline: Instant,
) -> Result<Option<Outcome<R>>, Error> {
    if flight.is_led_by_this_thread() {
        return Err(Error::Reentrant);
    }
    Ok(match flight.wait_until(deadline) {
        Arrival::Landed(outcome) => Some(outcome),
        Arrival::Abandoned | Arrival::TimedOut => None,
    })
}
