//! The settings of the keys.

use super::CacheBuilder;

impl<R> CacheBuilder<R> {
    /// Sets the prefix of every key. The id of the record follows it. End it with a separator:
    /// `cache:product:`. `build` logs a warning, once for each prefix, if the last character is an
    /// ASCII letter or digit. Other programs find the records under the same keys.
    ///
    /// There is no default: two kinds of records under one prefix would overwrite each other. Do
    /// not change the prefix when the record type changes: invalidations do not reach a program
    /// with another prefix. Change the [`schema`](CacheBuilder::schema) instead. To move the
    /// records to another prefix, see [`also_invalidates`](CacheBuilder::also_invalidates).
    pub fn prefix(mut self, prefix: impl Into<String>) -> CacheBuilder<R> {
        self.settings.prefix = prefix.into();
        self
    }

    /// Makes every write of this cache also invalidate the record with the same id under another
    /// prefix. For a program that must move its records to a new prefix. Can be set several times.
    ///
    /// Without it, programs with the old prefix and programs with the new one would not invalidate
    /// each other's records. To move a prefix:
    ///
    /// 1. Release the program with its old prefix and `also_invalidates` of the new one. Wait until
    ///    no older program runs.
    /// 2. Release it with the new prefix and `also_invalidates` of the old one. Wait until no older
    ///    program runs.
    /// 3. Release it without `also_invalidates`.
    ///
    /// If the cache has an outbox, give it a [`name`](CacheBuilder::name) that stays: the entries
    /// carry it. The caches of the other prefix should have the same TTLs.
    ///
    /// The records of the other prefix end in the same request, and count as records of it. Only
    /// [`invalidate_at`](crate::Cache::invalidate_at), [`expire`](crate::Cache::expire),
    /// [`update`](crate::Cache::update) and [`update_field`](crate::Cache::update_field) need one
    /// more request, and [`write_through`](crate::Cache::write_through) two: what they do with the
    /// own record is another step. [`clear`](crate::Cache::clear) clears each prefix in turn. On a
    /// cluster, the records are usually on other nodes, which are asked at the same time.
    pub fn also_invalidates(mut self, prefix: impl Into<String>) -> CacheBuilder<R> {
        self.settings.also_invalidates.push(prefix.into());
        self
    }
}
