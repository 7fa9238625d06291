//! The outbox: invalidations that outlive the process which made the change.
//!
//! Defines what a program implements over a table of its primary: [`Outbox`] and [`OutboxEntry`].
//! The [relay](relay::OutboxRelay) calls it, on one thread. Knows neither caches nor threads.

pub(crate) mod builder;
mod progress;
pub(crate) mod relay;
mod round;
mod run;
pub(crate) mod target;

use std::{error::Error as StdError, time::Duration};

/// What an [`Outbox`] fails with: any error, by `?`.
pub(crate) type OutboxError = Box<dyn StdError + Send + Sync>;

/// A table of ids to invalidate, in the database of the primary.
///
/// A writer inserts the id of a changed record into the table, **in the transaction that makes the
/// change**. So a committed change always has its entry, even if the writer dies before it calls
/// [`invalidate`](crate::Cache::invalidate), or does not use this crate at all. An
/// [`OutboxRelay`](crate::OutboxRelay) reads the entries, invalidates, and acknowledges them.
///
/// The outbox is the net below the invalidation that the writer makes itself, and does not replace
/// it: between the commit and the relay's invalidation, readers may get the old record.
///
/// All calls come from the thread of the relay, one at a time, with no lock held. An error or a
/// panic is logged, and the step is repeated after a pause. So a call should open a broken
/// connection again. A call that hangs delays all invalidations of this relay: set timeouts.
///
/// With SQL, the table needs a growing number as its key, the name of the cache, the id, and the
/// time of the insert:
///
/// ```sql
/// CREATE TABLE outbox (
///     position   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
///     cache      text NOT NULL,
///     id         text NOT NULL,
///     created_at timestamptz NOT NULL DEFAULT clock_timestamp()
/// );
/// ```
///
/// `examples/outbox` is an outbox in SQLite, and `examples/postgres` one in PostgreSQL.
///
/// ```
/// use std::{collections::BTreeMap, error::Error, sync::{Arc, Mutex}, time::Duration};
///
/// use cache_aside::{Cache, Memory, Outbox, OutboxEntry, OutboxRelay, Record};
///
/// /// Stands for a table.
/// #[derive(Clone, Default)]
/// struct Table(Arc<Mutex<BTreeMap<i64, String>>>);
///
/// impl Outbox for Table {
///     fn fetch(
///         &mut self,
///         caches: &[&str],
///         limit: usize,
///     ) -> Result<Vec<OutboxEntry>, Box<dyn Error + Send + Sync>> {
///         // SELECT … WHERE cache IN (…) ORDER BY position LIMIT …
///         let rows = self.0.lock().unwrap();
///         let rows = rows.iter().take(limit);
///         Ok(rows.map(|(position, id)| OutboxEntry::new(*position, caches[0], id)).collect())
///     }
///
///     fn acknowledge(&mut self, positions: &[i64]) -> Result<(), Box<dyn Error + Send + Sync>> {
///         // DELETE … WHERE position IN (…)
///         let mut rows = self.0.lock().unwrap();
///         rows.retain(|position, _| !positions.contains(position));
///         Ok(())
///     }
/// }
///
/// let cache: Cache = Cache::builder(Memory::new(100)).prefix("cache:product:").build()?;
/// let table = Table::default();
/// let relay = OutboxRelay::builder(table.clone()).cache(&cache).start()?;
///
/// table.0.lock().unwrap().insert(1, "p-001".to_owned()); // BEGIN; UPDATE …; INSERT …; COMMIT
/// relay.wake();
/// assert!(relay.flush(Duration::from_secs(5)));
/// assert!(table.0.lock().unwrap().is_empty());
/// # Ok::<_, cache_aside::Error>(())
/// ```
pub trait Outbox: Send + 'static {
    /// Reads the oldest entries, at most `limit` of them, in the order of their positions.
    ///
    /// `caches` has the [names](crate::CacheBuilder::name) of the relay's caches. Return only
    /// their entries: another program may add entries of a cache that this one does not have, for
    /// example during a deployment. Its own relay must find them. Any other entry is an error of
    /// this call, and nothing is acknowledged.
    ///
    /// An entry whose cache no relay has, such as a misspelled name, stays for ever: watch the age
    /// of the oldest row.
    ///
    /// If fewer entries than `limit` are returned, the relay takes it that no others were there
    /// when this call began. It must see every transaction that was committed by then. So it must
    /// read the primary and no replica, and must not run in a transaction that is already open.
    ///
    /// # Errors
    ///
    /// Any error. The relay calls again after a pause.
    fn fetch(
        &mut self,
        caches: &[&str],
        limit: usize,
    ) -> Result<Vec<OutboxEntry>, Box<dyn StdError + Send + Sync>>;

    /// Removes entries, because their records have been invalidated. `positions` are the first ones
    /// of the last [`fetch`](Outbox::fetch), in its order; most times all of them.
    ///
    /// Remove exactly these, and **not every entry up to the last one**. A database hands out
    /// numbers before a transaction commits. So an entry with a lower number can become visible
    /// after `fetch`, and would be removed although nobody has invalidated its record. Only where
    /// transactions commit one after the other, as in SQLite, "up to the last" means the same.
    ///
    /// # Errors
    ///
    /// Any error. The entries count as not acknowledged. They are fetched and invalidated again,
    /// which costs a load and is harmless.
    fn acknowledge(&mut self, positions: &[i64]) -> Result<(), Box<dyn StdError + Send + Sync>>;

    /// Counts the entries that wait, for [`OutboxStats::waiting`](crate::OutboxStats::waiting). It
    /// may be expensive: it is only called if a `fetch` returned as many entries as it may, and at
    /// most once a second.
    ///
    /// The default does not know, and returns `None`.
    ///
    /// # Errors
    ///
    /// Any error. It is logged, and the relay continues.
    fn count(&mut self, caches: &[&str]) -> Result<Option<u64>, Box<dyn StdError + Send + Sync>> {
        let _ = caches;
        Ok(None)
    }
}

/// A record to invalidate, as an [`Outbox`] has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEntry {
    position: i64,
    cache: String,
    id: String,
    age: Option<Duration>,
}

impl OutboxEntry {
    /// Creates an entry. `cache` is the [name](crate::CacheBuilder::name) of the cache, by default
    /// its prefix. `id` is the id of the record as text, as it would be passed to
    /// [`invalidate`](crate::Cache::invalidate).
    #[must_use]
    pub fn new(position: i64, cache: impl Into<String>, id: impl Into<String>) -> OutboxEntry {
        OutboxEntry {
            position,
            cache: cache.into(),
            id: id.into(),
            age: None,
        }
    }

    /// Sets how long ago the entry was made, by the clock of the database. It is only reported: see
    /// [`OutboxStats::oldest`](crate::OutboxStats::oldest).
    #[must_use]
    pub fn age(self, age: Duration) -> OutboxEntry {
        OutboxEntry {
            age: Some(age),
            ..self
        }
    }
}
