//! What calls return: the record and where it came from, and what became of a write.

use std::{fmt, sync::Arc, time::Duration};

use crate::error::Error;

/// Where a record came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// It stood in Redis at the first look, or that there is none did.
    Hit,
    /// It stood in the [near cache](crate::CacheBuilder::near_cache) of this process, or that there is none did. Redis was
    /// not asked.
    Near,
    /// It stood in Redis, past its TTL and within its [grace](crate::CacheBuilder::grace): another caller loads it
    /// anew, or that failed a moment ago. If it was this caller's own load, [`Lookup::refresh_failed_by`] says why.
    Stale,
    /// It stood in Redis, past its TTL or [near its end](crate::CacheBuilder::early_refresh), and this caller's
    /// loader read it anew.
    Refreshed,
    /// This caller's loader read it from the primary.
    Loaded,
    /// Somebody else's loader did, in this process or another, while this caller waited.
    Waited,
    /// A loader read it from the primary, without Redis: it failed, or what it holds may be out of date, or a
    /// wait took too long.
    /// [`Lookup::degraded_cause`] says which. The record was not cached.
    Degraded,
}

impl Source {
    /// Whether the answer stood in Redis at the first look, or near, and is returned as it was.
    pub(crate) fn is_hit(self) -> bool {
        matches!(self, Source::Near | Source::Hit | Source::Stale)
    }

    /// In one lower-case word: `near`, `hit`, `stale`, `refreshed`, `loaded`, `waited`, `degraded`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Source::Hit => "hit",
            Source::Near => "near",
            Source::Stale => "stale",
            Source::Refreshed => "refreshed",
            Source::Loaded => "loaded",
            Source::Waited => "waited",
            Source::Degraded => "degraded",
        }
    }
}

/// Its [name](Source::name).
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What [`Cache::get`](crate::Cache::get) found, and how.
#[derive(Debug)]
pub struct Lookup<R> {
    record: Option<Arc<R>>,
    source: Source,
    redis_latency: Duration,
    /// Boxed, since a lookup is moved from hand to hand, and hardly ever has one.
    because: Option<Box<Error>>,
}

impl<R> Clone for Lookup<R> {
    fn clone(&self) -> Lookup<R> {
        Lookup {
            record: self.record.clone(),
            source: self.source,
            redis_latency: self.redis_latency,
            because: self.because.clone(),
        }
    }
}

impl<R> Lookup<R> {
    pub(crate) fn new(
        record: Option<Arc<R>>,
        source: Source,
        redis_latency: Duration,
    ) -> Lookup<R> {
        Lookup {
            record,
            source,
            redis_latency,
            because: None,
        }
    }

    pub(crate) fn with_cause(self, cause: Error) -> Lookup<R> {
        Lookup {
            because: Some(Box::new(cause)),
            ..self
        }
    }

    /// The record; `None` where the primary has none. Together with a [hit](Lookup::is_hit), `None` says that
    /// Redis knew that ([`negative_ttl`](crate::CacheBuilder::negative_ttl)).
    #[must_use]
    pub fn record(&self) -> Option<&Arc<R>> {
        self.record.as_ref()
    }

    /// The record by value: shared with the callers that waited for the same load.
    #[must_use]
    pub fn into_record(self) -> Option<Arc<R>> {
        self.record
    }

    /// Whether the answer stood in Redis at the first look, or near, and is returned as it was, [stale](Source::Stale) or not.
    #[must_use]
    pub fn is_hit(&self) -> bool {
        self.source.is_hit()
    }

    /// Whether the record is past its TTL, within its [grace](crate::CacheBuilder::grace).
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.source == Source::Stale
    }

    /// Where the record came from.
    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }

    /// How long the first look into Redis took, the wait for a free connection included, whether it
    /// answered or failed. Zero where Redis was not asked.
    #[must_use]
    pub fn redis_latency(&self) -> Duration {
        self.redis_latency
    }

    /// Why the lookup went without Redis; `None` unless [`Source::Degraded`].
    #[must_use]
    pub fn degraded_cause(&self) -> Option<&Error> {
        self.because.as_deref().filter(|_| !self.is_hit())
    }

    /// Why this caller's loader could not bring a record anew that is still there; `None` if it could, or did not run.
    /// Nobody will try again for as long as a [lease](crate::CacheBuilder::lease_ttl) lasts.
    #[must_use]
    pub fn refresh_failed_by(&self) -> Option<&Error> {
        self.because.as_deref().filter(|_| self.is_hit())
    }
}

/// What [`Cache::write`](crate::Cache::write) did: the primary has been changed.
#[derive(Debug, Clone)]
pub struct Written<T> {
    value: T,
    guard_error: Option<Error>,
    invalidation_error: Option<Error>,
}

impl<T> Written<T> {
    pub(crate) fn new(
        value: T,
        guard_error: Option<Error>,
        invalidation_error: Option<Error>,
    ) -> Written<T> {
        Written {
            value,
            guard_error,
            invalidation_error,
        }
    }

    /// What the closure returned.
    #[must_use]
    pub fn value(&self) -> &T {
        &self.value
    }

    /// What the closure returned, by value.
    #[must_use]
    pub fn into_value(self) -> T {
        self.value
    }

    /// Why there was no guard; `None` if there was. Without one a crash in the midst of the write would have left the
    /// old record.
    #[must_use]
    pub fn guard_error(&self) -> Option<&Error> {
        self.guard_error.as_ref()
    }

    /// Why Redis has not been told yet; `None` if it has. The invalidation is remembered and will be replayed.
    /// Until then this process does not read the record from Redis; other processes may still find the old
    /// one there.
    #[must_use]
    pub fn invalidation_error(&self) -> Option<&Error> {
        self.invalidation_error.as_ref()
    }
}
