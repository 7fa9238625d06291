//! What a loader may return besides a plain `Option`.

use std::time::Duration;

/// What a loader found, and how long to cache it. Loaders of
/// [`LookupOptions::get`](crate::LookupOptions::get) may return it instead of a plain `Option`.
///
/// ```
/// use std::{convert::Infallible, time::Duration};
///
/// use cache_aside::{Cache, Loaded, Memory, Record};
///
/// let cache: Cache = Cache::builder(Memory::new(10_000)).prefix("cache:page:").build()?;
/// let news = || Loaded::new(Record::from([("title", "News")]));
/// let page = |max_age: u64| news().ttl(Duration::from_secs(max_age));
///
/// cache.options().get("/news", |_| Ok::<_, Infallible>(page(5)))?;
/// let left = cache.ttl_remaining("/news")?.left().unwrap();
/// assert!(left <= Duration::from_secs(5));
///
/// cache.options().get("/now", |_| Ok::<_, Infallible>(page(60).no_store()))?;
/// assert!(cache.peek("/now")?.is_none());
/// # Ok::<_, cache_aside::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Loaded<R> {
    pub(crate) record: Option<R>,
    /// `None`: the TTL of the lookup or the cache.
    pub(crate) ttl: Option<Duration>,
}

impl<R> Loaded<R> {
    /// Holds a record, or `None` if the primary has none. It is cached for the usual TTL.
    pub fn new(found: impl Into<Option<R>>) -> Loaded<R> {
        Loaded {
            record: found.into(),
            ttl: None,
        }
    }

    /// Sets how long the result is cached, whatever the lookup and the cache are set to. This also
    /// applies to a missing record, even without
    /// [`negative_ttl`](crate::CacheBuilder::negative_ttl). Zero: it is not cached.
    ///
    /// Any other duration is clamped to one millisecond at least and ten years at most. That is not
    /// an error, because the duration usually comes from data, such as the `max-age` of an HTTP
    /// response.
    pub fn ttl(mut self, ttl: Duration) -> Loaded<R> {
        self.ttl = Some(ttl);
        self
    }

    /// Returns the result to every caller that waits for it, but does not cache it.
    pub fn no_store(self) -> Loaded<R> {
        self.ttl(Duration::ZERO)
    }
}

/// Loaders that return a plain `Option` use the usual TTL.
impl<R> From<Option<R>> for Loaded<R> {
    fn from(found: Option<R>) -> Loaded<R> {
        Loaded::new(found)
    }
}
