//! The data that a lookup has from its start, and the reports of its end.
//!
//! Called by all transitions of the read path. Knows no states.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    engine::{
        Engine, Outcome, Settings,
        lookup_tags::LookupTags,
        single_flight::{Call, Leader},
    },
    error::Error,
    near::Accepts,
    outcome::{Answer, Source},
    record::{
        any::AnyRecord,
        fields::{Fields, Undecodable},
    },
    store::{TagBounds, token::Token},
    telemetry::{event::Event, trace},
};

/// The leader of a call that is found by a token.
pub(super) type LeaseLeader<'a> = Leader<'a, Token, Outcome>;

/// The settings that a single lookup may override.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LookupConfig {
    /// The TTL of the record that it loads.
    pub(crate) ttl: Duration,
    pub(crate) wait_timeout: Duration,
    /// For how long a record that answers it may have been cached.
    pub(crate) max_age: Option<Duration>,
    /// Whether it does not answer from the near cache.
    pub(crate) skip_near: bool,
    /// When the caller stops waiting for any load, also its own: the hard timeout of a
    /// `LoadingCache`.
    pub(crate) hard_timeout: Option<Duration>,
}

impl LookupConfig {
    pub(crate) fn of(settings: &Settings) -> LookupConfig {
        LookupConfig {
            ttl: settings.ttl,
            wait_timeout: settings.wait_timeout,
            max_age: None,
            skip_near: false,
            hard_timeout: None,
        }
    }

    /// Which near entries may answer.
    pub(crate) fn accepts(&self) -> Accepts {
        match self.max_age {
            _ if self.skip_near => Accepts::Nothing,
            None => Accepts::Any,
            Some(Duration::ZERO) => Accepts::Nothing,
            Some(max_age) => Accepts::UpTo(max_age),
        }
    }
}

/// One lookup: its id, its settings, and when it began.
pub(super) struct LookupContext<'a> {
    pub(super) engine: &'a Engine,
    pub(super) config: LookupConfig,
    pub(super) id: &'a str,
    pub(super) span: trace::LookupSpan,
    /// Set before the first read. The lookup must not return a record that was invalidated before
    /// this instant.
    pub(super) began: Instant,
    pub(super) redis_latency: Duration,
    /// `None`: it is under no tags.
    pub(super) tags: Option<Box<LookupTags>>,
    /// It runs on a loader thread, for a caller that reports the answer itself.
    pub(super) is_background: bool,
}

impl LookupContext<'_> {
    /// The record in an entry that was read for this lookup.
    pub(super) fn record_of(&self, entry: Fields) -> Result<Option<AnyRecord>, Undecodable> {
        self.engine.record_of(entry, self.tags.as_deref())
    }

    /// What the lookup tells of its tags with its request for a lease.
    pub(super) fn tag_bounds(&self) -> Option<TagBounds> {
        self.tags.as_deref()?.bounds()
    }

    /// The instant when the lookup stops waiting for a load that started at `began`.
    pub(super) fn wait_deadline(&self, began: Instant) -> Instant {
        let deadline = began + self.config.wait_timeout;
        self.hard_deadline()
            .map_or(deadline, |hard| hard.min(deadline))
    }

    /// When the caller stops waiting for any load.
    pub(super) fn hard_deadline(&self) -> Option<Instant> {
        Some(self.began + self.config.hard_timeout?)
    }

    /// The error of a lookup that has waited until a deadline. `None`: it may load.
    pub(super) fn timed_out(&self) -> Option<Error> {
        let waited = self.began.elapsed();
        if let Some(hard) = self.config.hard_timeout
            && waited >= hard
        {
            self.report(&Event::LoadTimedOut { id: self.id });
            return Some(Error::LoadTimeout { waited });
        }
        let fails = self.engine.settings.fail_on_wait_timeout;
        fails.then_some(Error::WaitTimeout { waited })
    }

    /// Answers the lookup with the load of another caller.
    pub(super) fn waited(&self, outcome: Outcome) -> Result<Answer, Error> {
        self.report(&Event::Shared { id: self.id });
        Ok(self.found(outcome?, Source::Waited))
    }

    pub(super) fn found(&self, record: Option<AnyRecord>, source: Source) -> Answer {
        self.answer(record, source, self.began.elapsed())
    }

    /// Answers the lookup with the result of the first read.
    pub(super) fn hit(&self, record: Option<AnyRecord>) -> Answer {
        self.answer_from_cache(record, Source::Hit)
    }

    pub(super) fn answer_from_cache(&self, record: Option<AnyRecord>, source: Source) -> Answer {
        self.answer(record, source, self.redis_latency)
    }

    /// Answers the lookup as a loader thread has answered it.
    pub(super) fn relayed(&self, found: &Answer) -> Answer {
        let answer = self.found(found.record.clone(), found.source);
        match found.degraded_cause() {
            Some(cause) => answer.with_cause(cause.clone()),
            None => answer,
        }
    }

    fn answer(&self, record: Option<AnyRecord>, source: Source, elapsed: Duration) -> Answer {
        if self.is_background {
            return Answer::new(record, source, self.redis_latency);
        }
        if source == Source::Hit {
            self.engine.sample_hit(self.id, self.tags.as_deref(), None);
        }
        self.span.answered(source, record.is_some());
        let (engine, found) = (self.engine, (source, record.as_ref()));
        let tags = keys_of(self.tags.as_deref());
        let recorder = &engine.reporter.recorder;
        recorder.lookup(
            self.id,
            self.began,
            found,
            engine.record_type.fingerprint,
            tags,
        );
        self.report(&Event::Answered {
            id: self.id,
            source,
            found: record.is_some(),
            elapsed,
        });
        Answer::new(record, source, self.redis_latency)
    }

    /// Reports that the lookup continues without Redis.
    pub(super) fn report_degraded(&self, cause: &Error) {
        self.span.degraded_cause(cause);
        let recorder = &self.engine.reporter.recorder;
        recorder.degraded(self.id, cause);
        self.report(&Event::Degraded { id: self.id, cause });
    }

    /// Reports that the lookup ends with an error.
    pub(super) fn failed(&self, error: &Error) {
        let recorder = &self.engine.reporter.recorder;
        recorder.failed(self.id, self.began);
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

/// The keys of the tags of a lookup.
#[inline]
pub(super) fn keys_of(tags: Option<&LookupTags>) -> &[String] {
    tags.map_or(&[], |tags| &tags.keys.tags)
}

/// Returns the call if another thread leads it. Otherwise fails, because a thread must not wait for
/// itself.
pub(super) fn not_own(call: Arc<Call<Outcome>>) -> Result<Arc<Call<Outcome>>, Error> {
    if call.is_led_by_this_thread() {
        return Err(Error::Reentrant);
    }
    Ok(call)
}

/// The failure of a request for a lease whose answer no correct store gives.
pub(super) fn impossible() -> Error {
    Error::Store {
        request: "acquire",
        cause: Arc::new(ImpossibleAnswer),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the store gave an impossible answer")]
struct ImpossibleAnswer;
