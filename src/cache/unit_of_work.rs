//! Writes of several records in one transaction of the primary.

use std::{
    fmt::{self, Display},
    mem,
    time::Instant,
};

use super::Cache;
use crate::{
    error::Error,
    outcome::Written,
    telemetry::event::Write,
    util::id::Id,
    write::{self, Wrote, guards::Guards},
};

/// The records that one transaction of the primary changes, in any number of caches and backends.
///
/// It does for all of them what [`Cache::write`] does for one record, for code that does not fit
/// into a closure, or that learns only meanwhile which records it changes. If all ids are known
/// beforehand and belong to one cache, [`Cache::write_many`] is shorter.
///
/// [`guard`](UnitOfWork::guard) comes last before the commit in the primary, and
/// [`commit`](UnitOfWork::commit) after it:
///
/// ```
/// use cache_aside::{Cache, Memory, Record, UnitOfWork};
///
/// # struct Transaction;
/// # impl Transaction {
/// #     fn set_price(&self, _: &str, _: u32) -> std::io::Result<()> { Ok(()) }
/// #     fn add_order(&self, _: u64) -> std::io::Result<()> { Ok(()) }
/// #     fn commit(self) -> std::io::Result<()> { Ok(()) }
/// # }
/// # fn begin() -> std::io::Result<Transaction> { Ok(Transaction) }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let memory = Memory::new(10_000);
/// let products = Cache::<Record>::builder(&memory).prefix("cache:product:").build()?;
/// let orders = Cache::<Record>::builder(&memory).prefix("cache:order:").build()?;
///
/// let transaction = begin()?;
/// let mut unit = UnitOfWork::new();
/// transaction.set_price("p-001", 699)?;
/// unit.add(&products, "p-001")?;
/// transaction.add_order(17)?;
/// unit.add(&orders, 17)?;
///
/// unit.guard();
/// transaction.commit()?; // if this fails, the drop of the unit ends the guards
/// let written = unit.commit();
/// for record in written.deferred() {
///     eprintln!("{} {}: {}", record.cache, record.id, record.error);
/// }
/// # Ok(())
/// # }
/// ```
///
/// Without `guard`, the unit is as safe as calls of [`invalidate`](Cache::invalidate) after the
/// commit: a crash between the commit in the primary and `commit` leaves old records in the cache
/// until their TTL ends.
///
/// **Dropped** before `guard`, nothing was sent, and nothing is. Dropped after it, as by a panic or
/// a `?`, all its records are invalidated: nobody knows whether the primary committed.
///
/// A savepoint that is rolled back need not remove its records. Ending too many costs a load each,
/// and nothing else.
///
/// Do not call `commit` from a hook that the primary runs *before* it commits. The commit hook of
/// `SQLite` is one.
#[derive(Default)]
#[must_use = "a unit of work does nothing before `guard`"]
pub struct UnitOfWork<'a> {
    guards: Guards<'a>,
    /// When the first guard was asked for.
    began: Option<Instant>,
}

impl<'a> UnitOfWork<'a> {
    /// Makes a unit without records.
    pub fn new() -> UnitOfWork<'a> {
        UnitOfWork::default()
    }

    /// Adds the record with this id of this cache. Sends nothing. It may be added before or after
    /// its change, but before [`guard`](UnitOfWork::guard). Adding it twice does no harm.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidId`]: the id is empty or longer than 64 KiB. The unit is unchanged.
    ///
    /// # Panics
    ///
    /// Panics if the operating system has no randomness to give.
    pub fn add<R>(&mut self, cache: &'a Cache<R>, id: impl Display) -> Result<(), Error> {
        self.guards.add(cache.engine.get(), &Id::new(&id)?)
    }

    /// Adds a tag of this cache's [namespace](crate::CacheBuilder::tag_namespace), which is
    /// invalidated by [`commit`](UnitOfWork::commit) as [`invalidate_tag`](Cache::invalidate_tag)
    /// does it. Sends nothing.
    ///
    /// **Tags have no guard.** If this process dies between the commit in the primary and the end
    /// of the unit, nobody invalidates the tag: records under it stay until their TTL ends. Where
    /// that must not be, add the records themselves, or use an [outbox](crate::Outbox).
    ///
    /// ```
    /// # use cache_aside::{Cache, Memory, UnitOfWork};
    /// # let memory = Memory::new(10_000);
    /// let products: Cache = Cache::builder(&memory).prefix("cache:product:").build()?;
    ///
    /// let mut unit = UnitOfWork::new();
    /// unit.add(&products, "p-001")?;
    /// unit.add_tag(&products, "category:bread")?;
    /// unit.guard();
    /// // … the commit in the primary
    /// assert!(unit.commit().deferred().is_empty());
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Cost
    ///
    /// `commit` needs one more round trip for each backend and namespace that has tags, for each
    /// 1,000 of them.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`]: the tag is empty or longer than 64 KiB, or the store keeps no
    /// tags. The unit is unchanged.
    pub fn add_tag<R>(&mut self, cache: &'a Cache<R>, tag: impl AsRef<str>) -> Result<(), Error> {
        let (engine, tag) = (cache.engine.get(), tag.as_ref());
        write::tags::check(engine, &[tag])?;
        self.guards.add_tag(engine, tag);
        Ok(())
    }

    /// Removes the records from the cache, and sets their guards: until the unit ends, readers load
    /// from the primary, and nothing is cached. So even a crash between the primary's commit and
    /// [`commit`](UnitOfWork::commit) leaves no old record. See [`Cache::write`]. The guards are
    /// renewed for at most [`max_load_time`](crate::CacheBuilder::max_load_time). Then they lapse,
    /// and the unit is as safe as one without.
    ///
    /// Call it last before the primary's commit. Called again, it guards the records that were
    /// added since.
    ///
    /// A failing Redis does not make it fail, since it must not keep the primary from committing.
    /// [`guard_error`](UnitOfWork::guard_error) says whether it did.
    ///
    /// # Cost
    ///
    /// One round trip for each backend, for each 1,000 records. On a cluster, one for all nodes at
    /// the same time. One more for each third of [`lease_ttl`](crate::CacheBuilder::lease_ttl)
    /// until the unit ends, on a thread of the cache.
    ///
    /// # Panics
    ///
    /// Panics if the operating system has no randomness to give.
    pub fn guard(&mut self) {
        self.began.get_or_insert_with(Instant::now);
        self.guards.set();
    }

    /// Why a record has no guard; `None` if each has one. For a program that rather rolls back than
    /// commits without a guard. Of several records: the first failure.
    #[must_use]
    pub fn guard_error(&self) -> Option<&Error> {
        self.guards.error()
    }

    /// Ends the unit after the primary has committed: invalidates all its records, and removes
    /// their guards.
    ///
    /// When it has returned, it has the effect of [`invalidate`](Cache::invalidate) for each
    /// record. Failures are remembered in the same way: [`Written::deferred`] lists the records
    /// whose invalidation is pending and will be replayed.
    ///
    /// # Cost
    ///
    /// One round trip for each backend, for each 10,000 records. On a cluster, one for all nodes at
    /// the same time.
    ///
    /// # Panics
    ///
    /// Panics if the operating system has no randomness to give.
    pub fn commit(mut self) -> Written<()> {
        let (guard_error, deferred) = self.finish(Guards::end);
        Written::new((), guard_error, deferred)
    }

    /// Ends the unit after the primary has rolled back. This is what its drop does: it sends
    /// nothing before [`guard`](UnitOfWork::guard), and invalidates all records after it.
    ///
    /// # Cost
    ///
    /// None before `guard`, that of [`commit`](UnitOfWork::commit) after it.
    pub fn rollback(self) {
        drop(self);
    }

    /// Ends the guards by `end`, and reports the write to each cache.
    fn finish<T>(&mut self, end: impl FnOnce(Guards<'a>) -> T) -> T {
        let guards = mem::take(&mut self.guards);
        let caches = guards.caches();
        let began = self.began.unwrap_or_else(Instant::now);
        let wrote = caches
            .iter()
            .map(|(reporter, id)| Wrote::since(began, reporter, id, Write::UnitOfWork));
        // They report when they are dropped: after the end.
        let _wrote: Vec<_> = wrote.collect();
        end(guards)
    }
}

impl Drop for UnitOfWork<'_> {
    fn drop(&mut self) {
        if self.guards.are_asked() {
            self.finish(drop);
        }
    }
}

impl fmt::Debug for UnitOfWork<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnitOfWork")
            .field("records", &self.guards.len())
            .field("guarded", &self.guards.are_asked())
            .finish_non_exhaustive()
    }
}
