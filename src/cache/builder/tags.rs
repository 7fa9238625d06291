//! The settings for tags.

use super::CacheBuilder;

impl<R> CacheBuilder<R> {
    /// Lets loaders name [tags](crate::Loaded::tags) of the records that they return. All caches
    /// with this prefix, in all processes, need this setting.
    ///
    /// All lookups are then under tags, also those without any: see
    /// [`tags`](crate::LookupOptions::tags) for what that means. A loader of
    /// [`get_many`](crate::Cache::get_many) returns plain records, and cannot name tags.
    ///
    /// # Cost
    ///
    /// A hit is one round trip, and two if the record has tags of its loader and any tag of the
    /// namespace was invalidated since the record was loaded. A load in another process is shared
    /// only while no tag at all is invalidated.
    ///
    /// Defaults to off: a record with tags of its loader is returned, but not cached.
    pub fn loader_tags(mut self, on: bool) -> CacheBuilder<R> {
        self.settings.loader_tags = on;
        self
    }

    /// Puts all records of this cache under a tag of its own, so that
    /// [`clear`](crate::Cache::clear) is one request, whatever the number of records. All caches
    /// with this prefix, in all processes, need this setting.
    ///
    /// `clear` then removes nothing: the records stay in Redis until their TTL ends, and count as
    /// missing. It returns 0. Keys of other programs with the prefix stay. Prefixes of
    /// [`also_invalidates`](CacheBuilder::also_invalidates) are cleared as without this setting.
    ///
    /// # Cost
    ///
    /// No round trip for a hit: the tag is read with the record. On a cluster, two nodes are asked
    /// side by side. [`write_through`](crate::Cache::write_through) needs one more round trip.
    ///
    /// Defaults to off: `clear` scans the server.
    pub fn clear_by_tag(mut self, on: bool) -> CacheBuilder<R> {
        self.settings.clear_by_tag = on;
        self
    }

    /// Sets the namespace of the tags. Caches with the same namespace, on the same Redis, share
    /// their tags: a tag that one of them invalidates ends records of all. The keys are
    /// `tags:{<namespace>}…`, all in one slot of a cluster. It must not be empty, and must not
    /// contain a `}`.
    ///
    /// Defaults to `cache`.
    pub fn tag_namespace(mut self, namespace: impl Into<String>) -> CacheBuilder<R> {
        self.settings.tag_namespace = namespace.into();
        self
    }
}
