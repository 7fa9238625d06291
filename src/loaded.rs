//! What a loader gets besides the id, and what it may return besides a plain `Option`.

use std::time::Duration;

use crate::record::any::AnyRecord;

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
    /// `None`: it was read from the primary itself.
    pub(crate) version: Option<u64>,
    /// The record is the cached one, and `record` is `None`.
    pub(crate) is_unchanged: bool,
    /// The tags that the loader names.
    pub(crate) tags: Vec<String>,
}

impl<R> Loaded<R> {
    /// Holds a record, or `None` if the primary has none. It is cached for the usual TTL.
    pub fn new(found: impl Into<Option<R>>) -> Loaded<R> {
        Loaded {
            record: found.into(),
            ttl: None,
            version: None,
            is_unchanged: false,
            tags: Vec::new(),
        }
    }

    /// Says that the record is still the cached one, which the loader got. Its TTL starts again,
    /// and its fields are not sent. Only for loaders of
    /// [`LoadingCache::builder_with_cached`](crate::LoadingCache::builder_with_cached). If the
    /// loader got no record, it is an [`Error::Loader`](crate::Error::Loader).
    pub fn unchanged() -> Loaded<R> {
        Loaded {
            is_unchanged: true,
            ..Loaded::new(None)
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

    /// Sets the version of the record, on a cache with
    /// [`versions`](crate::CacheBuilder::versions). Other caches ignore it.
    ///
    /// A version is a number that grows with each change of the record: a column, a time stamp, or
    /// the position of the primary's log up to which the replica had replayed it *before* the read.
    /// A record without a version counts as read from the primary.
    ///
    /// If the version is a column, leave it out where there is no row: no number is right for a
    /// deleted record. A replica that has no row is not believed while a floor stands.
    pub fn version(mut self, version: u64) -> Loaded<R> {
        self.version = Some(version);
        self
    }

    /// Puts the record under these tags, besides those of the lookup. They may follow from what was
    /// loaded: a page names the products that it shows. Only on a cache with
    /// [`loader_tags`](crate::CacheBuilder::loader_tags): on others, a record with tags is returned
    /// and not cached. A second call adds tags.
    ///
    /// A record that is [unchanged](Loaded::unchanged) keeps the tags with which it was cached.
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// use cache_aside::{Cache, Loaded, Memory, Record};
    ///
    /// let cache: Cache = Cache::builder(Memory::new(10_000))
    ///     .prefix("cache:page:")
    ///     .loader_tags(true)
    ///     .build()?;
    /// let page = || Loaded::new(Record::from([("html", "…")])).tags(["product:7", "product:8"]);
    /// cache.options().get("/bread", |_| Ok::<_, Infallible>(page()))?;
    /// assert!(cache.peek("/bread")?.is_some());
    ///
    /// cache.invalidate_tag("product:7")?;
    /// assert!(cache.peek("/bread")?.is_none());
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Loaded<R> {
        self.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// Returns the result to every caller that waits for it, but does not cache it.
    pub fn no_store(self) -> Loaded<R> {
        self.ttl(Duration::ZERO)
    }
}

/// Loaders that return a plain `Option` use the usual TTL.
impl<R: Send + Sync + 'static> Loaded<R> {
    /// The same with a record whose type only the handle of its cache knows.
    pub(crate) fn of_any(self) -> Loaded<AnyRecord> {
        Loaded {
            record: self.record.map(AnyRecord::new),
            ttl: self.ttl,
            version: self.version,
            is_unchanged: self.is_unchanged,
            tags: self.tags,
        }
    }
}

impl<R> From<Option<R>> for Loaded<R> {
    fn from(found: Option<R>) -> Loaded<R> {
        Loaded::new(found)
    }
}

/// What a loader must respect. Loaders of
/// [`LookupOptions::get_with_context`](crate::LookupOptions::get_with_context) get it.
///
/// It tells a loader that reads a replica of the primary whether a replica that lags will do. On a
/// cache without [`versions`](crate::CacheBuilder::versions) nobody knows, so
/// [`read_primary`](LoadContext::read_primary) is always true.
#[derive(Debug, Clone, Copy)]
pub struct LoadContext<'a> {
    id: &'a str,
    min_version: Option<u64>,
    read_primary: bool,
}

impl<'a> LoadContext<'a> {
    pub(crate) fn new(
        id: &'a str,
        min_version: Option<u64>,
        read_primary: bool,
    ) -> LoadContext<'a> {
        LoadContext {
            id,
            min_version,
            read_primary,
        }
    }

    /// The id of the record to load.
    #[must_use]
    pub fn id(&self) -> &'a str {
        self.id
    }

    /// The lowest version that will do. `None`: any version, or
    /// [`read_primary`](LoadContext::read_primary) is true.
    ///
    /// A loader that returns an older version is called again, and must then read the primary.
    #[must_use]
    pub fn min_version(&self) -> Option<u64> {
        self.min_version
    }

    /// Whether the loader must read the primary itself, not a replica. It is true
    ///
    /// - while the latest version is not known, after a write without a version,
    /// - if Redis was not asked: with [`skip_cache`](crate::LookupOptions::skip_cache), and for a
    ///   [degraded](crate::Source::Degraded) lookup,
    /// - after a first call returned a record that is too old,
    /// - on a cache without [`versions`](crate::CacheBuilder::versions).
    #[must_use]
    pub fn read_primary(&self) -> bool {
        self.read_primary
    }
}
