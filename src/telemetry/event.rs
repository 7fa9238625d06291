//! What happens in a cache, said once, for whoever listens.

use std::time::Duration;

use crate::{error::Error, outcome::Source};

/// Hears what happens in a cache, event by event. Set by
/// [`CacheBuilder::observer`](crate::CacheBuilder::observer).
///
/// For counters and logs of your own; where the [`metrics`](https://docs.rs/metrics) facade or
/// [`tracing`](https://docs.rs/tracing) will do, the features of these names need no observer. Any closure of this
/// shape is one:
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
    /// Takes note of an event. `cache` is the prefix of the cache.
    ///
    /// Called by the thread on which it happens, that of a caller or one of the cache's own, with no lock held. The
    /// caller waits, so it should be quick. A panic in it is caught, and logged. An observer that holds the cache
    /// itself keeps it alive for ever.
    fn notice(&self, cache: &str, event: &Event<'_>);
}

impl<F: Fn(&str, &Event<'_>) + Send + Sync> Observer for F {
    fn notice(&self, cache: &str, event: &Event<'_>) {
        self(cache, event);
    }
}

/// Something that happened in a cache.
///
/// In the life of a lookup: first [`Missed`](Event::Missed), unless a record is there; [`Degraded`](Event::Degraded), if it goes
/// on without Redis; then, if it loads,
/// [`LoadBegan`](Event::LoadBegan) and [`LoadEnded`](Event::LoadEnded), or [`Shared`](Event::Shared) where it doesn't; at
/// last [`Answered`](Event::Answered) or [`Failed`](Event::Failed). A panic of the loader ends it without the last.
/// One that skips the cache is a load and nothing else. Of a batch each id is a lookup, and a call of its loader is one
/// load, with the first of the ids that it is asked for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A lookup found no usable record at the first look.
    Missed {
        /// Of the record.
        id: &'a str,
        /// Why it found none.
        reason: Miss,
    },
    /// A loader is about to run.
    LoadBegan {
        /// Of the record.
        id: &'a str,
    },
    /// It has.
    LoadEnded {
        /// Of the record.
        id: &'a str,
        /// How it ended.
        outcome: Load,
        /// How long it took.
        elapsed: Duration,
    },
    /// A lookup goes on without Redis.
    Degraded {
        /// Of the record.
        id: &'a str,
        /// Why it does.
        cause: &'a Error,
    },
    /// A lookup has its answer.
    Answered {
        /// Of the record.
        id: &'a str,
        /// Where the answer came from.
        source: Source,
        /// Whether there is a record.
        found: bool,
        /// How long the lookup took. Zero for a [near](Source::Near) hit: to time it would take longer.
        elapsed: Duration,
    },
    /// A lookup ends with an error, its loader's for the most part.
    Failed {
        /// Of the record.
        id: &'a str,
        /// Which error.
        error: &'a Error,
        /// How long the lookup took.
        elapsed: Duration,
    },
    /// Somebody else's load answers a lookup, with a record, with none or with an error: the primary is spared one.
    Shared {
        /// Of the record.
        id: &'a str,
    },
    /// A record that was still there has been loaded anew.
    Refreshed {
        /// Of the record.
        id: &'a str,
    },
    /// A record that is still there could not be loaded anew, and is served.
    RefreshFailed {
        /// Of the record.
        id: &'a str,
        /// What its loader said.
        error: &'a Error,
    },
    /// A record was loaded and not cached, because its lease had ended before the fill.
    FillRefused {
        /// Of the record.
        id: &'a str,
    },
    /// A record was loaded and returned, but it cannot be cached. Whatever the cache held for this
    /// id is removed. Not reported where nothing was to be cached: without Redis, during a write,
    /// or with a TTL of zero.
    Unstorable {
        /// Of the record.
        id: &'a str,
        /// The name of the field at fault, cut to 64 bytes; `None` where no single field is.
        field: Option<&'a str>,
        /// What is wrong with it. Never a value, unless the type's own `Serialize` fails and says
        /// one.
        reason: &'a str,
    },
    /// An entry is no hash, or does not decode into the record type.
    Unreadable {
        /// Of the record.
        id: &'a str,
    },
    /// A call that writes has ended, in whatever way.
    Wrote {
        /// Of the record.
        id: &'a str,
        /// Which call.
        call: Write,
        /// How long it took, the closure included.
        elapsed: Duration,
    },
    /// A request to the store failed.
    StoreFailed {
        /// What was asked.
        request: &'static str,
        /// What became of it.
        error: &'a Error,
    },
    /// An invalidation did not reach the store, and was remembered.
    InvalidationRemembered {
        /// Of the record.
        id: &'a str,
        /// Whether it waits now as one more; false where one of this record did already, or its whole prefix is
        /// bypassed.
        is_new: bool,
    },
    /// One that was remembered has been made good.
    InvalidationReplayed,
    /// So many wait that no record of this cache is read from the store.
    Bypassed {
        /// From now on.
        lasts: Duration,
    },
    /// The store, having failed too often in a row, is asked no more until it answers a probe. Of each cache on it.
    BreakerOpened {
        /// The latest failure.
        error: &'a Error,
    },
    /// The store answers, and is asked again. Of each cache on it.
    BreakerClosed,
}

/// Why a lookup found no usable record at the first look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Miss {
    /// Nothing was there.
    Absent,
    /// Something was, which is no record of the wanted type.
    Unreadable,
    /// The store could not be asked, or must not be.
    Unanswered,
}

/// How a load ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Load {
    /// With a record.
    Found,
    /// Without: the primary has none.
    NotFound,
    /// With an error.
    Failed,
    /// With a panic.
    Panicked,
}

/// A call that writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Write {
    /// [`Cache::invalidate`](crate::Cache::invalidate).
    Invalidate,
    /// [`Cache::invalidate_many`](crate::Cache::invalidate_many), under the first id.
    InvalidateMany,
    /// [`Cache::clear`](crate::Cache::clear), under no id.
    Clear,
    /// [`Cache::write`](crate::Cache::write).
    Write,
    /// [`Cache::expire`](crate::Cache::expire).
    Expire,
    /// [`Cache::update`](crate::Cache::update).
    Update,
    /// [`Cache::update_field`](crate::Cache::update_field).
    UpdateField,
}

/// In lower-case words, as the metrics have them.
macro_rules! named {
    ($type:ident: $($variant:ident $name:literal),+) => {
        impl $type {
            /// In lower-case words, as the metrics have it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $($type::$variant => $name,)+ }
            }
        }
    };
}

named! { Miss: Absent "absent", Unreadable "unreadable", Unanswered "unanswered" }
named! { Load: Found "found", NotFound "not_found", Failed "failed", Panicked "panicked" }
named! { Write: Invalidate "invalidate", InvalidateMany "invalidate_many", Clear "clear", Expire "expire", Write "write", Update "update", UpdateField "update_field" }
