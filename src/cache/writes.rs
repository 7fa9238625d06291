//! The calls that write: for use after a change of the primary, or around it.

use std::{fmt::Display, time::Duration};

use super::Cache;
use crate::{
    error::{Error, WriteError},
    outcome::Written,
    record::any::AnyRecord,
    util::id::Id,
    write,
};

impl<R> Cache<R> {
    /// Removes the cached record and ends every load of it in progress. Returns whether a record,
    /// or a cached "no such record", was removed. It also returns false if the first attempt
    /// removed the record and its connection then broke.
    ///
    /// Call it after the commit in the primary. A load that began earlier may still finish. Its
    /// callers get its result, but it is not cached. A [`get`](Cache::get) that starts after
    /// `invalidate` returned gets the committed record or a newer one.
    ///
    /// # Cost
    ///
    /// One round trip.
    ///
    /// # Errors
    ///
    /// - [`Error::Store`]: the record may still be cached. The invalidation is pending and is
    ///   replayed as soon as Redis answers. Until then this process does not read the record from
    ///   Redis. Other processes may still read it. If the call is repeated and succeeds, the
    ///   invalidation is complete for all processes.
    /// - [`Error::InvalidId`]: the id is empty or longer than 64 KiB.
    ///
    /// # Panics
    ///
    /// Panics if the operating system has no randomness to give.
    pub fn invalidate(&self, id: impl Display) -> Result<bool, Error> {
        write::invalidate(self.engine.get(), &Id::new(&id)?)
    }

    /// Marks the cached record as stale, and ends every load of it in progress. It is a softer
    /// [`invalidate`](Cache::invalidate), for a change that may become visible a little later.
    /// Within the [`grace`](crate::CacheBuilder::grace) one caller reloads the record. The others
    /// get the old one meanwhile, [marked as stale](crate::Source::Stale), even if the primary
    /// fails. Returns whether anything was cached.
    ///
    /// Without a `grace` this is an `invalidate`. A cached "no such record" is always removed.
    ///
    /// ```
    /// # use std::{convert::Infallible, time::Duration};
    /// # use cache_aside::{Cache, Memory, Record, Source};
    /// let cache: Cache = Cache::builder(Memory::new(10_000))
    ///     .prefix("cache:product:")
    ///     .grace(Duration::from_secs(600))
    ///     .build()?;
    /// # let load = |_: &str| Ok::<_, Infallible>(Some(Record::from([("name", "Rye Loaf")])));
    /// cache.get("p-001", load)?;
    /// cache.expire("p-001")?;
    ///
    /// let down = |_: &str| Err::<Option<Record>, _>("no connection");
    /// let found = cache.get("p-001", down)?;
    /// assert!(found.is_stale() && found.refresh_error().is_some());
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Cost
    ///
    /// One round trip.
    ///
    /// # Errors
    ///
    /// Those of [`invalidate`](Cache::invalidate). A request that does not reach Redis is pending,
    /// and is replayed as an invalidation.
    ///
    /// # Panics
    ///
    /// Panics if the operating system has no randomness to give.
    pub fn expire(&self, id: impl Display) -> Result<bool, Error> {
        write::expire(self.engine.get(), &Id::new(&id)?)
    }

    /// Changes the primary through `change`, and invalidates the cached record. Even a crash
    /// between the two leaves no stale record.
    ///
    /// The record is removed before and after `change`. While `change` runs, a *guard* replaces the
    /// lease: readers load from the primary, and nothing is cached. If this process dies between
    /// its commit and the invalidation, the cache holds no old record. The guard lapses after
    /// [`lease_ttl`](crate::CacheBuilder::lease_ttl), and the next reader loads the new record. If
    /// the server's clock was set back meanwhile, that time begins with the next lookup. The guard
    /// is renewed while `change` runs, for at most
    /// [`max_load_time`](crate::CacheBuilder::max_load_time).
    ///
    /// When `write` has returned, it has the effect of [`invalidate`](Cache::invalidate), whatever
    /// `change` returned. `change` runs once, on this thread, even without Redis.
    ///
    /// ```no_run
    /// # use std::io;
    /// # use cache_aside::{Cache, WriteError};
    /// # struct Primary;
    /// # impl Primary { fn set_price(&self, _: &str, _: u32) -> io::Result<u64> { Ok(7) } }
    /// # let primary = Primary;
    /// # let cache: Cache =
    /// #     Cache::builder("redis://localhost:6379").prefix("cache:product:").build()?;
    /// match cache.write("p-001", || primary.set_price("p-001", 699)) {
    ///     Ok(written) => println!("version {}", written.into_value()),
    ///     Err(WriteError::Primary(error)) => eprintln!("{:?}", error.kind()), // the closure's own
    ///     Err(error) => eprintln!("{error}"),
    /// }
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Concurrent calls
    ///
    /// Writers of one record do not wait for each other; the primary must order them. Each has its
    /// own place in the guard. Readers during a write share a load only with readers of their own
    /// process that started during the same write.
    ///
    /// # Cost
    ///
    /// Two round trips, and one more for each third of `lease_ttl` that `change` takes.
    ///
    /// # Errors
    ///
    /// - [`WriteError::Primary`]: the error that `change` returned.
    /// - [`WriteError::Cache`]: the id is empty or too long. `change` was not called.
    ///
    /// A failing Redis is not an error, since the primary has been changed.
    /// [`Written::invalidation_error`] says whether Redis still has to be invalidated, and
    /// [`Written::guard_error`] whether a crash would have been unsafe.
    ///
    /// # Panics
    ///
    /// Panics if `change` panics. The record is invalidated in that case too. Panics if the
    /// operating system has no randomness to give.
    pub fn write<T, E, F>(&self, id: impl Display, change: F) -> Result<Written<T>, WriteError<E>>
    where
        F: FnOnce() -> Result<T, E>,
    {
        let id = Id::new(&id).map_err(WriteError::Cache)?;
        write::write(self.engine.get(), &id, change)
    }

    /// Waits until no invalidation is pending, at most for `timeout`. Returns whether that is so,
    /// for all caches on the same [`Redis`](crate::Redis) or [`Backend`](crate::Backend). It
    /// deletes nothing: a thread replays pending invalidations as soon as Redis answers.
    ///
    /// Call it before a process ends, because what is still pending then is lost:
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use cache_aside::Cache;
    /// # let cache: Cache =
    /// #     Cache::builder("redis://localhost:6379").prefix("cache:product:").build()?;
    /// if !cache.flush(Duration::from_secs(2)) {
    ///     eprintln!("some records may stay outdated until their TTL ends");
    /// }
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// A [`clear`](Cache::clear) that failed is pending too, until its repetition succeeds. So is a
    /// prefix with too many pending invalidations, until its old records must have expired.
    ///
    /// # Cost
    ///
    /// No round trip of its own.
    #[must_use = "false: some invalidations are still pending"]
    pub fn flush(&self, timeout: Duration) -> bool {
        self.engine.get().client.flush(timeout)
    }
}

impl<R: Send + Sync + 'static> Cache<R> {
    /// Sets one field of the cached record. Returns whether a record was cached and now has the
    /// value. If none was, nothing is written, so that no partial record can appear.
    ///
    /// Call it after the commit in the primary. Like [`invalidate`](Cache::invalidate) it ends
    /// loads in progress, because they may hold the old value of the field. Two writers that set
    /// the *same field* at the same time may reach the cache in another order than the primary. If
    /// that can happen, use `invalidate` or [`update`](Cache::update).
    ///
    /// The record must still decode as `R`, and `R` must have the field. Otherwise the cached
    /// record is removed, and the result is false: after a misspelled name, a value that the type
    /// cannot read, or a field that the type leaves out at this value. It counts as an
    /// [unstorable record](crate::Stats::unstorable_records). The check cannot see what the value
    /// means: write the text that the cache itself stores. A [`Record`](crate::Record) or a map of
    /// text has every field.
    ///
    /// The TTL of the record restarts, unless
    /// [`keep_ttl_on_update`](crate::CacheBuilder::keep_ttl_on_update) is set. Set it if other
    /// programs change the other fields. Otherwise frequent updates of one field keep the rest of
    /// the record alive for ever.
    ///
    /// # Cost
    ///
    /// Two round trips an attempt, at most 16 attempts. The first reads the whole record, to check
    /// it. The key is watched: an update that the network delays must not change a record that was
    /// loaded later.
    ///
    /// # Errors
    ///
    /// - [`Error::Store`]: both the update and the invalidation that replaces it failed. The
    ///   invalidation is pending, as with [`invalidate`](Cache::invalidate). If only the update
    ///   failed, the record is removed, and the result is false.
    /// - [`Error::InvalidRecord`]: the cache reserves the field's name, or the value is longer than
    ///   512 MiB. Nothing was sent. If
    ///   [`fail_on_unstorable`](crate::CacheBuilder::fail_on_unstorable) is set, also if `R` cannot
    ///   have the field. The record is then removed.
    /// - [`Error::InvalidId`]: the id is empty or longer than 64 KiB.
    pub fn update_field(
        &self,
        id: impl Display,
        field: &str,
        value: impl AsRef<[u8]>,
    ) -> Result<bool, Error> {
        write::update_field(self.engine.get(), &Id::new(&id)?, field, value.as_ref())
    }

    /// Changes the cached record, if there is one and no other client changes it at the same time.
    ///
    /// `change` gets the cached record and returns the new one, or `None` to keep it: "only if my
    /// version is newer". Call it after the commit in the primary. It uses optimistic locking
    /// (WATCH, HGETALL, MULTI, EXEC). If another client changes the record in between, `change` is
    /// called again with the new contents. Fields of the entry that `R` does not know stay. Like
    /// every write, `update` ends loads in progress. Returns whether a cached record was changed.
    ///
    /// An entry that does not decode as `R` is removed, and the result is false. So it is too if a
    /// remaining field belongs to `R` under another name (`#[serde(alias)]`).
    ///
    /// `change` runs while a connection is held, so it should not use the cache itself.
    ///
    /// The TTL of the record restarts, unless
    /// [`keep_ttl_on_update`](crate::CacheBuilder::keep_ttl_on_update) is set.
    ///
    /// ```no_run
    /// # use cache_aside::{Cache, Record};
    /// # let cache: Cache =
    /// #     Cache::builder("redis://localhost:6379").prefix("cache:product:").build()?;
    /// # let new = Record::from([("version", "7"), ("name", "Rye Loaf")]);
    /// let version = |record: &Record| record.get("version").and_then(|v| v.parse::<u64>().ok());
    /// cache.update("p-001", |cached| (version(cached) < version(&new)).then(|| new.clone()))?;
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Cost
    ///
    /// Two round trips an attempt, at most 16 attempts.
    ///
    /// # Errors
    ///
    /// - [`Error::Contended`]: another client changed the record during each attempt. The record
    ///   has been invalidated instead.
    /// - [`Error::InvalidRecord`]: the record that `change` returned cannot be cached. The cached
    ///   record stays as it was.
    /// - [`Error::Store`]: both the update and the invalidation that replaces it failed. The
    ///   invalidation is pending, as with [`invalidate`](Cache::invalidate). If only the update
    ///   failed, the record is removed, and the result is false.
    /// - [`Error::InvalidId`]: the id is empty or longer than 64 KiB.
    ///
    /// # Panics
    ///
    /// Panics if `change` panics. The cached record stays as it was.
    pub fn update<F>(&self, id: impl Display, mut change: F) -> Result<bool, Error>
    where
        F: FnMut(&R) -> Option<R>,
    {
        let change: &mut write::RecordChange<'_> = &mut |old| change(old.get()).map(AnyRecord::new);
        write::update(self.engine.get(), &Id::new(&id)?, change)
    }
}
