//! One lookup under way: what it knows from the start, and the two ways in which it ends.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    answer::{Lookup, Source},
    error::Error,
    flight::{Arrival, Flight, Leader},
    inner::{Inner, Outcome},
    token::Token,
};

/// Who ends a flight that is found by a token.
pub(super) type Lead<'a, R> = Leader<'a, Token, Outcome<R>>;

/// One lookup under way.
pub(super) struct Asking<'a, R> {
    pub(super) inner: &'a Inner<R>,
    /// Before the first look: what was invalidated before this instant must not be returned.
    pub(super) began: Instant,
    pub(super) redis_latency: Duration,
}

impl<R> Asking<'_, R> {
    /// Somebody else's load answered this lookup.
    pub(super) fn waited(&self, outcome: Outcome<R>) -> Result<Lookup<R>, Error> {
        self.inner.counters.stampedes_suppressed.add_one();
        Ok(self.found(outcome?, Source::Waited))
    }

    pub(super) fn found(&self, record: Option<Arc<R>>, source: Source) -> Lookup<R> {
        Lookup::new(record, source, self.redis_latency)
    }
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
