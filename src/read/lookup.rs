//! What a lookup knows from its start, and how it reports its end.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    engine::{
        Engine, Outcome, Settings,
        single_flight::{Call, Leader},
    },
    error::Error,
    outcome::{Lookup, Source},
    store::token::Token,
    telemetry::{event::Event, trace},
};

/// The leader of a call that is found by a token.
pub(super) type LeaseLeader<'a, R> = Leader<'a, Token, Outcome<R>>;

/// The settings that one lookup may override.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LookupConfig {
    /// The TTL of what it loads.
    pub(crate) ttl: Duration,
    pub(crate) wait_timeout: Duration,
}

impl LookupConfig {
    pub(crate) fn of(settings: &Settings) -> LookupConfig {
        LookupConfig {
            ttl: settings.ttl,
            wait_timeout: settings.wait_timeout,
        }
    }
}

/// A lookup.
pub(super) struct LookupContext<'a, R> {
    pub(super) engine: &'a Engine<R>,
    pub(super) config: LookupConfig,
    pub(super) id: &'a str,
    pub(super) span: trace::LookupSpan,
    /// Set before the first read: a record that was invalidated before this instant must not be
    /// returned.
    pub(super) began: Instant,
    pub(super) redis_latency: Duration,
}

impl<R> LookupContext<'_, R> {
    /// When it stops waiting for a load that started then.
    pub(super) fn wait_deadline(&self, began: Instant) -> Instant {
        began + self.config.wait_timeout
    }

    /// The load of another caller answers it.
    pub(super) fn waited(&self, outcome: Outcome<R>) -> Result<Lookup<R>, Error> {
        self.report(&Event::Shared { id: self.id });
        Ok(self.found(outcome?, Source::Waited))
    }

    pub(super) fn found(&self, record: Option<Arc<R>>, source: Source) -> Lookup<R> {
        self.answer(record, source, self.began.elapsed())
    }

    /// The first read is the answer.
    pub(super) fn hit(&self, record: Option<Arc<R>>) -> Lookup<R> {
        self.answer_from_cache(record, Source::Hit)
    }

    pub(super) fn answer_from_cache(&self, record: Option<Arc<R>>, source: Source) -> Lookup<R> {
        self.answer(record, source, self.redis_latency)
    }

    fn answer(&self, record: Option<Arc<R>>, source: Source, elapsed: Duration) -> Lookup<R> {
        self.span.answered(source, record.is_some());
        self.report(&Event::Answered {
            id: self.id,
            source,
            found: record.is_some(),
            elapsed,
        });
        Lookup::new(record, source, self.redis_latency)
    }

    /// It goes on without Redis.
    pub(super) fn report_degraded(&self, cause: &Error) {
        self.span.degraded_cause(cause);
        self.report(&Event::Degraded { id: self.id, cause });
    }

    /// It ends with an error.
    pub(super) fn failed(&self, error: &Error) {
        self.report(&Event::Failed {
            id: self.id,
            error,
            elapsed: self.began.elapsed(),
        });
    }

    pub(super) fn report(&self, event: &Event<'_>) {
        self.engine.reporter.report(event);
    }
}

/// The call of another thread, for which this one may wait.
pub(super) fn not_own<R>(call: Arc<Call<Outcome<R>>>) -> Result<Arc<Call<Outcome<R>>>, Error> {
    if call.is_led_by_this_thread() {
        return Err(Error::Reentrant);
    }
    Ok(call)
}
