//! The calls that write: what a program calls after it has changed the primary, or around that.

use serde::{Serialize, de::DeserializeOwned};

use super::Cache;
use crate::{
    error::{Error, WriteError},
    outcome::Written,
    write,
};

impl<R> Cache<R> {
    /// Ends the cached record, and every load of it that is under way. Returns whether anything was cached, a
    /// record or that there is none (false also where the connection broke, so that it was asked twice and the
    /// first time had done it).
    ///
    /// Call it after the primary's commit. A load that began before may still finish; its callers get what
    /// it read, and it is not cached. Whoever calls [`get`](Cache::get) after `invalidate` returned gets
    /// what the primary held at the commit, or something newer.
    ///
    /// # Cost
    ///
    /// One round trip.
    ///
    /// # Errors
    ///
    /// - [`Error::Redis`]: the record may still be cached. The invalidation is remembered and replayed as soon as
    ///   Redis answers, and until then this process doesn't read the record from Redis; another process may. A
    ///   call that is repeated and succeeds settles it for all.
    /// - [`Error::Id`]: the id is empty or longer than 64 KiB.
    pub fn invalidate(&self, id: &str) -> Result<bool, Error> {
        write::invalidate(&self.engine, id)
    }

    /// Has the cached record count as stale from now on, and ends every load of it that is under way: a softer
    /// [`invalidate`](Cache::invalidate), for a change that may be seen a little later. Within the
    /// [`grace`](crate::CacheBuilder::grace) one caller loads the record anew, and the others get the old one meanwhile,
    /// [marked as stale](crate::Source::Stale); also where the primary fails. Returns whether anything was cached.
    ///
    /// Without a `grace` it is an `invalidate`, and what says that there is no record goes in any case.
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
    /// assert!(found.is_stale() && found.refresh_failed_by().is_some());
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Cost
    ///
    /// One round trip.
    ///
    /// # Errors
    ///
    /// Those of [`invalidate`](Cache::invalidate): one that does not reach Redis is remembered, and replayed as an
    /// invalidation.
    pub fn expire(&self, id: &str) -> Result<bool, Error> {
        write::expire(&self.engine, id)
    }

    /// Changes the primary through `change`, and ends the cached record so that even a crash in between leaves
    /// nothing stale.
    ///
    /// The record is ended before and after `change`. In between a *guard* stands in the place of the lease:
    /// whoever reads loads from the primary, and nothing is cached. So if this process dies after its commit and
    /// before it could invalidate, nothing old is there: the guard lapses after
    /// [`lease_ttl`](crate::CacheBuilder::lease_ttl), and the next reader loads what is true. The guard is kept
    /// alive while `change` runs, for [`max_load_time`](crate::CacheBuilder::max_load_time) at most.
    ///
    /// When `write` has returned, it has the effect of [`invalidate`](Cache::invalidate), whatever `change`
    /// returned. `change` runs once, on this thread, also where Redis is away.
    ///
    /// ```no_run
    /// # use std::io;
    /// # use cache_aside::{Cache, WriteError};
    /// # struct Primary;
    /// # impl Primary { fn set_price(&self, _: &str, _: u32) -> io::Result<u64> { Ok(7) } }
    /// # let primary = Primary;
    /// # let cache: Cache = Cache::builder("redis://localhost:6379").prefix("cache:product:").build()?;
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
    /// Writers of one record don't wait for each other; the primary has to order them. Each has its own place in
    /// the guard. Readers that come during a write share their loads with readers of their own process that
    /// came during the same write, and with nobody from before or after.
    ///
    /// # Cost
    ///
    /// Two round trips, and one for each third of `lease_ttl` that `change` takes.
    ///
    /// # Errors
    ///
    /// - [`WriteError::Primary`]: what `change` returned.
    /// - [`WriteError::Cache`]: the id is empty or too long. `change` was not called.
    ///
    /// Redis is no reason for an error: the primary has been changed all the same.
    /// [`Written::invalidation_error`] says if Redis has not been told yet, [`Written::guard_error`] if a crash would not
    /// have been safe.
    ///
    /// # Panics
    ///
    /// When `change` does. The record is ended then as well.
    pub fn write<T, E, F>(&self, id: &str, change: F) -> Result<Written<T>, WriteError<E>>
    where
        F: FnOnce() -> Result<T, E>,
    {
        write::write(&self.engine, id, change)
    }

    /// Sets one field of the cached record. Returns whether a record was cached; where none was, nothing is
    /// written, so that a partial record can't appear.
    ///
    /// Call it after the primary's commit. Like [`invalidate`](Cache::invalidate) it ends loads that are
    /// under way, because they may hold the field's old value. Two writers that set the *same field* at the
    /// same time may reach the cache in the other order than the primary; where that can happen, use
    /// `invalidate` or [`update`](Cache::update).
    ///
    /// The record's TTL starts anew. With
    /// [`keep_ttl_on_update`](crate::CacheBuilder::keep_ttl_on_update) it goes on instead: set that where
    /// other programs change the other fields, since one field that is updated often would keep the rest
    /// of the record alive for ever.
    ///
    /// # Cost
    ///
    /// Two round trips an attempt, at most 16 attempts: an update that the network holds back must not be done when
    /// the record has been ended and loaded anew, so it is watched.
    ///
    /// # Errors
    ///
    /// - [`Error::Redis`]: neither the update nor the invalidation in its place worked; that is remembered, as
    ///   with [`invalidate`](Cache::invalidate). Where only the update failed, there is no record left, and the result is false.
    /// - [`Error::Record`]: the field's name is one of the cache's own, or the value is longer than
    ///   512 MiB.
    /// - [`Error::Id`]: the id is empty or longer than 64 KiB.
    pub fn update_field(
        &self,
        id: &str,
        field: &str,
        value: impl AsRef<[u8]>,
    ) -> Result<bool, Error> {
        write::update_field(&self.engine, id, field, value.as_ref())
    }
}

impl<R: Serialize + DeserializeOwned> Cache<R> {
    /// Changes the cached record, if one is cached and nobody else changes it at the same time.
    ///
    /// `change` sees the cached record and returns the new one, or `None` to leave it as it is: "only if my
    /// version is newer". Call it after the primary's commit. It is the optimistic form (WATCH, HGETALL,
    /// MULTI … EXEC); where another client changes the record in between, `change` is called again with
    /// what is there then. Fields of the entry that `R` doesn't know stay. Like every write it ends loads
    /// that are under way. Returns whether a cached record was changed. Where one of the fields that stay is `R`'s by
    /// another name (`#[serde(alias)]`), it can't be: the record is invalidated, and the result is false.
    ///
    /// `change` runs while a connection is held; it should not use the cache itself.
    ///
    /// The record's TTL starts anew, unless
    /// [`keep_ttl_on_update`](crate::CacheBuilder::keep_ttl_on_update) is set.
    ///
    /// ```no_run
    /// # use cache_aside::{Cache, Record};
    /// # let cache: Cache = Cache::builder("redis://localhost:6379").prefix("cache:product:").build()?;
    /// # let new = Record::from([("version", "7"), ("name", "Rye Loaf")]);
    /// let version = |record: &Record| record.get("version").and_then(|v| v.parse::<u64>().ok());
    /// cache.update("p-001", |cached| (version(cached) < version(&new)).then(|| new.clone()))?;
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Cost
    ///
    /// Three round trips an attempt, at most 16 attempts.
    ///
    /// # Errors
    ///
    /// - [`Error::Contended`]: each attempt was overtaken. The record has been invalidated instead.
    /// - [`Error::Record`]: what `change` returned cannot be cached. The cached record stays as it
    ///   was.
    /// - [`Error::Redis`]: neither the update nor the invalidation in its place worked; that is remembered, as
    ///   with [`invalidate`](Cache::invalidate). Where only the update failed, there is no record left, and the result is false.
    /// - [`Error::Id`]: the id is empty or longer than 64 KiB.
    ///
    /// # Panics
    ///
    /// When `change` does. The record stays as it was.
    pub fn update<F>(&self, id: &str, change: F) -> Result<bool, Error>
    where
        F: FnMut(&R) -> Option<R>,
    {
        write::update(&self.engine, id, change)
    }
}
