//! The events of a cache, and the trait that receives them.

mod kinds;

use std::time::Duration;

pub use self::kinds::{Audited, Inconsistency, Load, Miss, Write};
use crate::{error::Error, outcome::Source};

/// Receives the events of a cache. Set by
/// [`CacheBuilder::observer`](crate::CacheBuilder::observer).
///
/// It is for your own counters and logs. For the [`metrics`](https://docs.rs/metrics) facade and
/// for [`tracing`](https://docs.rs/tracing), the features of the same names need no observer. Any
/// closure with these parameters is an observer:
///
/// ```
/// use cache_aside::{Cache, Event, Memory};
///
/// let cache: Cache = Cache::builder(Memory::new(10_000))
///     .prefix("cache:product:")
///     .observer(|cache: &str, event: &Event<'_>| {
///         if let Event::StoreFailed { error, .. } = event {
///             eprintln!("{cache}: {error}");
///         }
///     })
///     .build()?;
/// # Ok::<_, cache_aside::Error>(())
/// ```
pub trait Observer: Send + Sync {
    /// Handles an event. `cache` is the [name](crate::CacheBuilder::name) of the cache.
    ///
    /// It runs on the thread where the event happens: a caller's or one of the cache's own. No lock
    /// is held. The caller waits for it, so it should be quick. A panic in it is caught and logged.
    /// An observer that holds the cache itself keeps it alive for ever.
    fn notice(&self, cache: &str, event: &Event<'_>);
}

impl<F: Fn(&str, &Event<'_>) + Send + Sync> Observer for F {
    fn notice(&self, cache: &str, event: &Event<'_>) {
        self(cache, event);
    }
}

/// Something that happened in a cache.
///
/// The events of a lookup come in this order:
///
/// 1. [`Missed`](Event::Missed), unless there is a record that it may return.
/// 2. [`Degraded`](Event::Degraded), if it goes on without Redis.
/// 3. [`LoadBegan`](Event::LoadBegan) and [`LoadEnded`](Event::LoadEnded) if it loads, or
///    [`Shared`](Event::Shared) if it gets another caller's load.
/// 4. [`Answered`](Event::Answered) or [`Failed`](Event::Failed). A panic of the loader skips this
///    one.
///
/// A lookup that skips the cache has only the events of its load. In a batch each id is a lookup.
/// Each call of the batch's loader is one load, reported under the first of its ids.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The first read of a lookup found no usable record.
    Missed {
        /// The record's id.
        id: &'a str,
        /// Why it found none.
        reason: Miss,
    },
    /// A loader is about to run.
    LoadBegan {
        /// The record's id.
        id: &'a str,
    },
    /// A loader has run.
    LoadEnded {
        /// The record's id.
        id: &'a str,
        /// How it ended.
        outcome: Load,
        /// How long it took.
        elapsed: Duration,
    },
    /// A lookup goes on without Redis.
    Degraded {
        /// The record's id.
        id: &'a str,
        /// Why it goes on without Redis.
        cause: &'a Error,
    },
    /// A lookup has its answer.
    Answered {
        /// The record's id.
        id: &'a str,
        /// Where the answer came from.
        source: Source,
        /// Whether there is a record.
        found: bool,
        /// How long the lookup took. Zero for a [near](Source::Near) hit: measuring it would take
        /// longer than the hit.
        elapsed: Duration,
    },
    /// A lookup ends with an error, in most cases the loader's.
    Failed {
        /// The record's id.
        id: &'a str,
        /// The error.
        error: &'a Error,
        /// How long the lookup took.
        elapsed: Duration,
    },
    /// A lookup gives up waiting for its turn to load, because
    /// [`max_loads`](crate::CacheBuilder::max_loads) are running.
    Overloaded {
        /// The record's id.
        id: &'a str,
    },
    /// A lookup of a [`LoadingCache`](crate::LoadingCache) gives up waiting, because of its
    /// [`hard_timeout`](crate::LoadingCacheBuilder::hard_timeout). The load goes on.
    LoadTimedOut {
        /// The record's id.
        id: &'a str,
    },
    /// A thread of a [`LoadingCache`](crate::LoadingCache) is about to load.
    /// [`LoadBegan`](Event::LoadBegan) follows.
    BackgroundLoad {
        /// The record's id.
        id: &'a str,
    },
    /// A loader panicked on a thread of a [`LoadingCache`](crate::LoadingCache). It counts as an
    /// error of the load.
    BackgroundPanicked {
        /// The record's id.
        id: &'a str,
    },
    /// Another caller's load answers a lookup, with a record, with none, or with an error. It saves
    /// a load.
    Shared {
        /// The record's id.
        id: &'a str,
    },
    /// A record that was still cached has been reloaded.
    Refreshed {
        /// The record's id.
        id: &'a str,
    },
    /// The reload of a cached record failed. The cached record is returned.
    RefreshFailed {
        /// The record's id.
        id: &'a str,
        /// The error of its loader.
        error: &'a Error,
    },
    /// A loaded record was not cached, because its lease had ended before the fill.
    FillRefused {
        /// The record's id.
        id: &'a str,
    },
    /// A loader returned a record that is older than a write that had returned, as a replica does
    /// that lags. It is called again and told to [read the
    /// primary](crate::LoadContext::read_primary), if it sees the context. Otherwise the lookup
    /// fails.
    StaleLoad {
        /// The record's id.
        id: &'a str,
        /// The version that it returned. `None`: it found no record.
        version: Option<u64>,
        /// The lowest version that would do.
        min_version: u64,
    },
    /// A loaded record was returned, but cannot be cached. Or
    /// [`update_field`](crate::Cache::update_field) was called with a field that the record type
    /// does not have, or with a value that it cannot read. Any cached entry with this id is
    /// removed. Not reported if nothing would be cached anyway: without Redis, during a write, or
    /// with a TTL of zero.
    Unstorable {
        /// The record's id.
        id: &'a str,
        /// The name of the field at fault, cut to 64 bytes. `None` if it is not a single field.
        /// Also `None` for a map, because its keys may be content. [`Record`](crate::Record) and a
        /// struct with a flattened field count as maps.
        field: Option<&'a str>,
        /// What is wrong with it. It contains no value. If the type's own `Serialize` failed, it
        /// says only that.
        reason: &'a str,
    },
    /// An entry is not a hash, or does not decode into the record type.
    Unreadable {
        /// The record's id.
        id: &'a str,
    },
    /// An entry belongs to another [`schema`](crate::CacheBuilder::schema), so a lookup misses, and
    /// an update removes it. Normal while programs with two schemas run.
    OtherSchema {
        /// The record's id.
        id: &'a str,
    },
    /// A sample of the [audit](crate::CacheBuilder::audit) has ended. Not an event of a lookup: in
    /// most cases it happens on the thread of the audit, later than the hit.
    Audited {
        /// The record's id.
        id: &'a str,
        /// How it ended.
        outcome: Audited,
    },
    /// The [audit](crate::CacheBuilder::audit) has found that a cached record differs from the
    /// primary, and that nothing ends it. [`Audited`](Event::Audited) follows.
    Inconsistent {
        /// The record's id.
        id: &'a str,
        /// In what they differ.
        kind: Inconsistency,
        /// The names of the fields that differ, each cut to 64 bytes, and never a value. Those of a
        /// map are its keys. Empty unless both have a record.
        fields: &'a [&'a str],
    },
    /// A call that writes has ended, with or without success.
    Wrote {
        /// The record's id, or the tag.
        id: &'a str,
        /// Which call.
        call: Write,
        /// How long it took, the closure included.
        elapsed: Duration,
    },
    /// A request to the store failed.
    StoreFailed {
        /// The request.
        request: &'static str,
        /// Why it failed.
        error: &'a Error,
    },
    /// An invalidation did not reach the store, and is pending.
    InvalidationRemembered {
        /// The record's id, or the tag.
        id: &'a str,
        /// Whether this adds one pending invalidation. False if an invalidation of this record or
        /// tag was already pending, or its whole prefix or namespace is bypassed.
        is_new: bool,
    },
    /// A pending invalidation succeeded.
    InvalidationReplayed,
    /// The last handle of the store and of its caches was dropped while invalidations of this cache
    /// were pending. They will not be repeated.
    InvalidationsLost {
        /// How many.
        count: u64,
    },
    /// Too many invalidations are pending, or a `clear` did not finish: no record of this cache is
    /// read from the store.
    Bypassed {
        /// For how long from now, at most. A `clear` that succeeds ends it sooner.
        lasts: Duration,
    },
    /// The breaker opened after too many failures in a row: the store is not asked until it answers
    /// a probe. Each cache on the store reports it.
    BreakerOpened {
        /// The last failure.
        error: &'a Error,
    },
    /// The store answers and is asked again. Each cache on the store reports it.
    BreakerClosed,
}
