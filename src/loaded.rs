//! What a loader may say about what it returns.

use std::time::Duration;

/// What a loader found, and for how long to cache it: in the place of a plain `Option`, for loaders of
/// [`LookupOptions::get`](crate::LookupOptions::get).
///
/// ```
/// use std::{convert::Infallible, time::Duration};
///
/// use cache_aside::{Cache, Loaded, Memory, Record};
///
/// let cache: Cache = Cache::builder(Memory::new(10_000)).prefix("cache:page:").build()?;
/// let page = |max_age: u64| Loaded::new(Record::from([("title", "News")])).ttl(Duration::from_secs(max_age));
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
    /// `None`: what the lookup or the cache says.
    pub(crate) ttl: Option<Duration>,
}

impl<R> Loaded<R> {
    /// A record, or `None` where the primary has none, for as long as the cache keeps such.
    pub fn new(found: impl Into<Option<R>>) -> Loaded<R> {
        Loaded {
            record: found.into(),
            ttl: None,
        }
    }

    /// Keeps it for this long, whatever the lookup and the cache say: also that there is no record, and also without
    /// [`negative_ttl`](crate::CacheBuilder::negative_ttl). Zero: not at all. Ten years at most.
    pub fn ttl(mut self, ttl: Duration) -> Loaded<R> {
        self.ttl = Some(ttl);
        self
    }

    /// Has it returned, to all who waited for it, and not cached.
    pub fn no_store(self) -> Loaded<R> {
        self.ttl(Duration::ZERO)
    }
}

/// What most loaders return.
impl<R> From<Option<R>> for Loaded<R> {
    fn from(found: Option<R>) -> Loaded<R> {
        Loaded::new(found)
    }
}
