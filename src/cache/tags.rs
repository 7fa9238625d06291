//! Lookups under tags, and the calls that invalidate tags.

use super::{Cache, options::LookupOptions};
use crate::{error::Error, write};

impl<'a, R> LookupOptions<'a, R> {
    /// Puts this lookup under these tags, so that [`invalidate_tag`](crate::Cache::invalidate_tag)
    /// of any of them ends what it has cached. For records whose tags follow from what is asked: a
    /// search result is under the category that it searches. Tags that follow from what is found
    /// are named by the loader: see [`Loaded::tags`](crate::Loaded::tags).
    ///
    /// A lookup that starts after `invalidate_tag` returned gets no record that was loaded before
    /// it under that tag. **All lookups of a record need the same tags.** A lookup without tags
    /// does not read a record that was cached under tags, nor the reverse: it loads, and replaces
    /// it. Only with [`loader_tags`](crate::CacheBuilder::loader_tags) do all lookups of the cache
    /// know the tags of a record.
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// use cache_aside::{Cache, Memory, Record, Source};
    ///
    /// # let search = |_: &str| Ok::<_, Infallible>(Some(Record::from([("hits", "7,8")])));
    /// let results: Cache = Cache::builder(Memory::new(10_000)).prefix("cache:search:").build()?;
    /// let in_shoes = results.options().tags(&["category:shoes"]);
    /// in_shoes.get("red shoes", search)?;
    /// assert!(in_shoes.get("red shoes", search)?.is_hit());
    ///
    /// results.invalidate_tag("category:shoes")?;
    /// assert_eq!(in_shoes.get("red shoes", search)?.source(), Source::Loaded);
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Cost
    ///
    /// No round trip more: the tags are read with the record. On a cluster, two nodes are asked
    /// side by side. A fill needs one more now and then, to let the tags live as long as the
    /// record. A batch reads the tags by one request before its records.
    pub fn tags(mut self, tags: &'a [&'a str]) -> LookupOptions<'a, R> {
        self.tags = tags;
        self
    }
}

impl<R> Cache<R> {
    /// Ends all records that were cached under this tag, by any cache with the same
    /// [`tag_namespace`](crate::CacheBuilder::tag_namespace) on the same Redis, and every load of
    /// such a record in progress. Lookups name their tags by
    /// [`LookupOptions::tags`](crate::LookupOptions::tags), loaders by
    /// [`Loaded::tags`](crate::Loaded::tags).
    ///
    /// Call it after the commit in the primary. It removes nothing: the records stay in Redis until
    /// their TTL ends, and count as missing.
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// use cache_aside::{Cache, Memory, Record};
    ///
    /// # let memory = Memory::new(10_000);
    /// # let search = |_: &str| Ok::<_, Infallible>(Some(Record::from([("hits", "7,8")])));
    /// let results: Cache = Cache::builder(&memory).prefix("cache:search:").build()?;
    /// let pages: Cache = Cache::builder(&memory).prefix("cache:page:").build()?;
    /// let tags = ["category:shoes"];
    /// results.options().tags(&tags).get("red shoes", search)?;
    /// pages.options().tags(&tags).get("/shoes", search)?;
    ///
    /// pages.invalidate_tag("category:shoes")?;
    /// assert!(!results.options().tags(&tags).get("red shoes", search)?.is_hit());
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Concurrent calls
    ///
    /// A lookup under the tag that starts after this call returned gets nothing that was loaded
    /// before the call, in any process. A load that began earlier may still finish. Its callers get
    /// its result, but no later lookup does. With a
    /// [near cache](crate::CacheBuilder::near_cache), this holds at once in this process, and in
    /// others after [`near_staleness`](crate::CacheBuilder::near_staleness).
    ///
    /// # Cost
    ///
    /// One round trip, whatever the number of records.
    ///
    /// # Errors
    ///
    /// - [`Error::Store`]: records under the tag may still be cached. The invalidation is pending
    ///   and is replayed as soon as Redis answers. Until then, lookups of this process under the
    ///   tag go on without Redis. With [`loader_tags`](crate::CacheBuilder::loader_tags), all
    ///   lookups of the cache do. Other processes may still read the records.
    /// - [`Error::InvalidSetting`]: the tag is empty or longer than 64 KiB, or the store keeps no
    ///   tags.
    ///
    /// # Panics
    ///
    /// Panics if the operating system has no randomness to give.
    pub fn invalidate_tag(&self, tag: impl AsRef<str>) -> Result<(), Error> {
        write::tags::invalidate_tag(self.engine.get(), tag.as_ref())
    }

    /// Does [`invalidate_tag`](Cache::invalidate_tag) for each of these tags, in one step.
    ///
    /// ```
    /// # use cache_aside::{Cache, Memory};
    /// # let cache: Cache = Cache::builder(Memory::new(10_000)).prefix("cache:page:").build()?;
    /// cache.invalidate_tags(["product:7", "category:shoes"])?;
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Cost
    ///
    /// One round trip.
    ///
    /// # Errors
    ///
    /// Those of [`invalidate_tag`](Cache::invalidate_tag), and [`Error::InvalidSetting`] for more
    /// than 1,000 tags.
    ///
    /// # Panics
    ///
    /// Panics if the operating system has no randomness to give.
    pub fn invalidate_tags(&self, tags: impl IntoIterator<Item: AsRef<str>>) -> Result<(), Error> {
        let tags: Vec<_> = tags.into_iter().collect();
        let tags: Vec<_> = tags.iter().map(AsRef::as_ref).collect();
        write::tags::invalidate_tags(self.engine.get(), &tags)
    }
}
