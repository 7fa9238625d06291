//! The one error type of the crate.
//!
//! It is `Clone`: followers share their leader's error. It keeps its causes, and prints no record.

pub(crate) mod cause;
mod display;

use std::{
    error::Error as StdError,
    panic::{RefUnwindSafe, UnwindSafe},
    time::Duration,
};

use self::cause::{AtServer, Cause};

/// What can go wrong, and how the cache handled it.
///
/// A failing Redis never makes [`get`](crate::Cache::get) fail. The lookup is then
/// [degraded](crate::Source::Degraded): it uses the loader, and
/// [`Lookup::degraded_cause`](crate::Lookup::degraded_cause) has the error.
///
/// # Printing an error
///
/// | format | prints |
/// |---|---|
/// | `{error}` | the error without its cause; [`Error::Store`] names the request and the server |
/// | `{error:#}` | the error and all its causes, each once: for log lines |
/// | `{error:?}` | the fields, for debugging |
///
/// The cause is the [`source`](StdError::source). Code that prints all sources, such as `anyhow`
/// with `{:#}`, prints the error as `{error}`. So it doubles nothing.
///
/// ```
/// use std::{error::Error, io};
///
/// # use cache_aside::{Cache, Memory, Record};
/// # let cache: Cache = Cache::builder(Memory::new(10_000)).prefix("cache:product:").build()?;
/// let found = cache.get("p-001", |_id| Err::<Option<Record>, _>(io::Error::other("disk full")));
/// let error = found.unwrap_err();
/// assert_eq!(format!("{error}"), "the loader failed");
/// assert_eq!(format!("{error:#}"), "the loader failed: disk full");
/// assert_eq!(error.source().unwrap().to_string(), "disk full");
/// # Ok::<_, cache_aside::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Error {
    /// A setting is invalid. Returned by `build`, before anything is sent.
    #[non_exhaustive]
    InvalidSetting {
        /// The builder method that set it.
        setting: &'static str,
        /// What is wrong with it, and what is allowed.
        reason: String,
    },
    /// Redis could not be reached, did not answer in time, or rejected a request.
    ///
    /// From `build`: the server rejected the connection, the password or the permissions, or it
    /// cannot hold a cache. The message gives the reason, with the server's own message if there is
    /// one.
    ///
    /// From a write (`invalidate`, `update_field`, `update`): **the cached record may still be the
    /// old one**. The invalidation is pending and is replayed as soon as Redis answers. Until then
    /// this process does not read that record from Redis. Other processes may still read the old
    /// one.
    ///
    /// The effect of each failure on the calls. The last column says whether the breaker counts it.
    ///
    /// | failure | `get` | a write | counted |
    /// |---|---|---|---|
    /// | no connection, a broken one, a timeout | degraded (1) | this error (1) | yes |
    /// | `LOADING`, `CLUSTERDOWN`, `MASTERDOWN`, `BUSY` | degraded | this error | yes |
    /// | `NOAUTH`, `WRONGPASS` | degraded | this error | yes |
    /// | an invalid reply | degraded | this error | yes |
    /// | `READONLY`, `MISCONF`, `NOPERM` | only a miss is degraded | this error | no |
    /// | `OOM` | only a miss is degraded | an update invalidates (2) | no |
    /// | the server rejects a large record (3) | loaded only | an update invalidates (2) | no |
    /// | no free connection in the pool | degraded | this error | no |
    /// | one node of a cluster does not answer | degraded | this error | for that node |
    /// | the slot is migrating | only a miss is degraded | an update invalidates (2) | no |
    /// | too few replicas have an invalidation (4) | not affected | this error | no |
    /// | the breaker is open | degraded, at once | this error, at once | no |
    /// | an invalidation is pending (5) | degraded, at once | is tried | no |
    ///
    /// 1. A read or an `invalidate` is repeated once if its connection broke.
    /// 2. An invalidation replaces the update, and succeeds. A call of `invalidate` succeeds too.
    /// 3. The server closes the connection (`proto-max-bulk-len`).
    /// 4. Only if [`wait_for_replicas`](crate::RedisBuilder::wait_for_replicas) is set.
    ///
    /// `WRONGTYPE` and an entry that does not decode are not errors. They are misses, and the next
    /// fill replaces the entry.
    #[non_exhaustive]
    Store {
        /// The request that failed.
        request: &'static str,
        /// What the client library or the server reported.
        cause: Cause,
    },
    /// The loader returned an error. All callers that waited for this load get the same one.
    Loader(Cause),
    /// A loader asked the cache for the record that it is loading, on its own thread. It would wait
    /// for itself.
    Reentrant,
    /// A wait for another caller's load took longer than `wait_timeout`.
    #[non_exhaustive]
    WaitTimeout {
        /// How long this caller had waited.
        waited: Duration,
    },
    /// As many loads were running as [`max_loads`](crate::CacheBuilder::max_loads) allows, and none
    /// ended within [`load_queue_timeout`](crate::CacheBuilder::load_queue_timeout). Nothing was
    /// loaded.
    #[non_exhaustive]
    Overloaded {
        /// How long this caller had waited for its turn.
        waited: Duration,
    },
    /// The load took longer than the
    /// [`hard_timeout`](crate::LoadingCacheBuilder::hard_timeout) of a
    /// [`LoadingCache`](crate::LoadingCache). It goes on, and fills the cache when it ends.
    #[non_exhaustive]
    LoadTimeout {
        /// How long this caller had waited.
        waited: Duration,
    },
    /// The id is not valid. Nothing was sent.
    #[non_exhaustive]
    InvalidId {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The record or field cannot be stored in a flat hash, and was not written. Only `update` and
    /// `update_field` return this. A loaded record that cannot be stored is returned and not
    /// cached: see [`Event::Unstorable`](crate::Event::Unstorable). If
    /// [`fail_on_unstorable`](crate::CacheBuilder::fail_on_unstorable) is set, lookups return this
    /// error instead.
    #[non_exhaustive]
    InvalidRecord {
        /// The field at fault, if there is a single one. `None` for a map, because its keys may be
        /// content.
        field: Option<String>,
        /// What is wrong with it. Never the field's value.
        reason: String,
    },
    /// A loader returned a version of the record that is older than a write that had returned, even
    /// when it was told to [read the primary](crate::LoadContext::read_primary). The record is
    /// neither returned nor cached.
    #[non_exhaustive]
    StaleLoad {
        /// The version that the loader returned.
        version: u64,
        /// The lowest version that would do.
        min_version: u64,
    },
    /// Other writers changed the record during every attempt of `update`. The record has been
    /// invalidated, so nothing stale stays.
    #[non_exhaustive]
    Contended {
        /// How many attempts were made.
        attempts: u32,
    },
    /// The system has no thread for the relay of an outbox. Only
    /// [`start`](crate::OutboxRelayBuilder::start) returns this.
    NoThread(Cause),
}

impl Error {
    /// Returns the loader's own error, if this is an [`Error::Loader`] and the type of its cause is
    /// `E`. A caller that waited for another caller's load gets the same error.
    ///
    /// It also finds the error if the loader returned it in a box, as `Box<dyn Error + Send +
    /// Sync>`.
    ///
    /// ```
    /// use std::io;
    ///
    /// use cache_aside::{Cache, Memory};
    ///
    /// let cache: Cache = Cache::builder(Memory::new(10_000)).prefix("cache:product:").build()?;
    /// let found = cache.get("p-001", |_id| Err(io::Error::from(io::ErrorKind::TimedOut)));
    /// let error = found.unwrap_err();
    /// let cause: Option<&io::Error> = error.loader();
    /// assert_eq!(cause.unwrap().kind(), io::ErrorKind::TimedOut);
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    #[must_use]
    pub fn loader<E: StdError + 'static>(&self) -> Option<&E> {
        match self {
            Error::Loader(cause) => cause.downcast_ref(),
            _ => None,
        }
    }

    /// The server that an [`Error::Store`] came from, if it is known.
    pub(crate) fn server(&self) -> Option<&AtServer> {
        match self {
            Error::Store { cause, .. } => AtServer::find(cause),
            _ => None,
        }
    }
}

// A panic cannot leave an error half changed, because an error never changes after it was made. Its
// cause is only printed, or handed to the caller.
impl UnwindSafe for Error {}
impl RefUnwindSafe for Error {}

/// Why [`Cache::write`](crate::Cache::write) failed. As far as is known, the primary has not been
/// changed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum WriteError<E> {
    /// The closure's own error. The record is still invalidated, at once or when Redis answers. The
    /// primary may have made the change although the reply was lost.
    Primary(E),
    /// The id is not valid. The closure was not called.
    Cache(Error),
}

#[cfg(test)]
mod tests;
