//! What the calls return: a record with its source, or the result of a write.

use std::{fmt, sync::Arc, time::Duration};

use crate::{error::Error, record::any::AnyRecord};

/// Where a record came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// The first read found the record in Redis, or a cached "no such record".
    Hit,
    /// The [near cache](crate::CacheBuilder::near_cache) of this process had the record, or a
    /// cached "no such record". No request was sent to Redis.
    Near,
    /// Redis had the record past its TTL, but within its [grace](crate::CacheBuilder::grace).
    /// Another caller is reloading it, or a reload failed a moment ago. If this caller's own reload
    /// failed, [`Lookup::refresh_error`] has the error.
    Stale,
    /// Redis had the record past its TTL or [near its end](crate::CacheBuilder::early_refresh), or
    /// with more time left than it was given, after a step back of the server's clock. This
    /// caller's loader reloaded it. Or it was reloaded while this caller of a
    /// [`LoadingCache`](crate::LoadingCache) waited.
    Refreshed,
    /// This caller's loader read the record from the primary.
    Loaded,
    /// Another caller's loader read it, in this process or another, while this caller waited.
    Waited,
    /// A loader read it from the primary without Redis, and it was not cached. Redis failed, or may
    /// hold an outdated record, or a wait took too long. [`Lookup::degraded_cause`] says which.
    Degraded,
}

impl Source {
    /// Whether the answer comes unchanged from the first read of Redis, or from the near cache.
    pub(crate) fn is_hit(self) -> bool {
        matches!(self, Source::Near | Source::Hit | Source::Stale)
    }

    /// The source as one lower-case word: `near`, `hit`, `stale`, `refreshed`, `loaded`, `waited`,
    /// `degraded`.
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

/// Prints the [name](Source::name).
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A [`Lookup`] whose type only the handle of its cache knows.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) record: Option<AnyRecord>,
    pub(crate) source: Source,
    pub(crate) redis_latency: Duration,
    /// Boxed, because an answer is moved often and rarely has a cause.
    pub(crate) cause: Option<Box<Error>>,
}

impl Answer {
    #[inline]
    pub(crate) fn new(
        record: Option<AnyRecord>,
        source: Source,
        redis_latency: Duration,
    ) -> Answer {
        Answer {
            record,
            source,
            redis_latency,
            cause: None,
        }
    }

    pub(crate) fn with_cause(self, cause: Error) -> Answer {
        Answer {
            cause: Some(Box::new(cause)),
            ..self
        }
    }

    /// See [`Lookup::degraded_cause`].
    pub(crate) fn degraded_cause(&self) -> Option<&Error> {
        self.cause.as_deref().filter(|_| !self.source.is_hit())
    }

    /// See [`Lookup::refresh_error`].
    pub(crate) fn refresh_error(&self) -> Option<&Error> {
        self.cause.as_deref().filter(|_| self.source.is_hit())
    }
}

/// What [`Cache::get`](crate::Cache::get) found, and where.
#[derive(Debug)]
pub struct Lookup<R> {
    record: Option<Arc<R>>,
    source: Source,
    redis_latency: Duration,
    cause: Option<Box<Error>>,
}

impl<R> Clone for Lookup<R> {
    fn clone(&self) -> Lookup<R> {
        Lookup {
            record: self.record.clone(),
            source: self.source,
            redis_latency: self.redis_latency,
            cause: self.cause.clone(),
        }
    }
}

impl<R> Lookup<R> {
    /// The answer of a cache of `R`.
    #[inline]
    pub(crate) fn of(answer: Answer) -> Lookup<R>
    where
        R: Send + Sync + 'static,
    {
        Lookup {
            record: answer.record.map(AnyRecord::into_arc),
            source: answer.source,
            redis_latency: answer.redis_latency,
            cause: answer.cause,
        }
    }

    /// The record, or `None` if the primary has none. `None` with a [hit](Lookup::is_hit) means
    /// that the absence was cached ([`negative_ttl`](crate::CacheBuilder::negative_ttl)).
    #[must_use]
    pub fn record(&self) -> Option<&Arc<R>> {
        self.record.as_ref()
    }

    /// The record by value. It is shared with the callers that waited for the same load.
    #[must_use]
    pub fn into_record(self) -> Option<Arc<R>> {
        self.record
    }

    /// Whether the answer comes unchanged from the first read of Redis or from the near cache,
    /// [stale](Source::Stale) or not.
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

    /// How long the first read from Redis took, successful or not. It includes the wait for a free
    /// connection. Zero if Redis was not asked.
    #[must_use]
    pub fn redis_latency(&self) -> Duration {
        self.redis_latency
    }

    /// Why the lookup went on without Redis; `None` unless the source is [`Source::Degraded`].
    #[must_use]
    pub fn degraded_cause(&self) -> Option<&Error> {
        self.cause.as_deref().filter(|_| !self.is_hit())
    }

    /// Why this caller's loader failed to refresh a record that is still cached. `None` if it
    /// succeeded or did not run. No caller retries for one
    /// [`lease_ttl`](crate::CacheBuilder::lease_ttl).
    #[must_use]
    pub fn refresh_error(&self) -> Option<&Error> {
        self.cause.as_deref().filter(|_| self.is_hit())
    }
}

/// The result of a [`Cache::write`](crate::Cache::write), a
/// [`write_many`](crate::Cache::write_many), a [`write_through`](crate::Cache::write_through) or a
/// [`UnitOfWork`](crate::UnitOfWork) that changed the primary.
///
/// The cache may not have been invalidated yet: [`invalidation_error`](Written::invalidation_error)
/// says whether that is so, and [`deferred`](Written::deferred) for which records. A caller that
/// does not need this drops the result explicitly, or takes the value.
#[derive(Debug, Clone)]
#[must_use = "the primary has changed, but the cache may not be invalidated yet: check `invalidation_error`"]
pub struct Written<T> {
    value: T,
    guard_error: Option<Error>,
    deferred: Vec<Deferred>,
    is_cached: bool,
}

impl<T> Written<T> {
    pub(crate) fn new(value: T, guard_error: Option<Error>, deferred: Vec<Deferred>) -> Written<T> {
        Written {
            value,
            guard_error,
            deferred,
            is_cached: false,
        }
    }

    pub(crate) fn cached(self, is_cached: bool) -> Written<T> {
        Written { is_cached, ..self }
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

    /// Whether [`write_through`](crate::Cache::write_through) has cached the record. False after a
    /// `write`, and if another writer interfered, no guard was set, or the record cannot be cached.
    /// The next lookup then loads.
    #[must_use]
    pub fn is_cached(&self) -> bool {
        self.is_cached
    }

    /// Why no guard was set; `None` if one was. Without a guard, a crash during the write would
    /// have left the old record in the cache. Of several records: the first failure.
    #[must_use]
    pub fn guard_error(&self) -> Option<&Error> {
        self.guard_error.as_ref()
    }

    /// Why Redis has not been invalidated yet; `None` if it has. The invalidation is pending and
    /// will be replayed. Until then this process does not read the record from Redis. Other
    /// processes may still read the old one. Of several records: the first failure.
    #[must_use]
    pub fn invalidation_error(&self) -> Option<&Error> {
        self.deferred.first().map(|deferred| &deferred.error)
    }

    /// The records whose invalidation is pending. Empty if Redis has been invalidated. With
    /// [`also_invalidates`](crate::CacheBuilder::also_invalidates), a record may be listed once for
    /// each prefix.
    #[must_use]
    pub fn deferred(&self) -> &[Deferred] {
        &self.deferred
    }
}

/// A record that a write has changed in the primary, or a tag, that is not invalidated yet. The
/// invalidation is pending and will be replayed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Deferred {
    /// The [name](crate::CacheBuilder::name) of the cache.
    pub cache: String,
    /// The id of the record, or the [tag](crate::UnitOfWork::add_tag).
    pub id: String,
    /// Why its invalidation failed.
    pub error: Error,
}
