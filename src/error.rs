//! The one error type of the crate.
//!
//! It can be cloned, because followers share the error of the leader they waited for, it keeps its
//! causes, and it never prints what a record contains.

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

/// A cause that several callers can share.
pub(crate) type Cause = Arc<dyn StdError + Send + Sync>;

/// What can go wrong, and what was done about it.
///
/// A failing Redis never makes [`get`](crate::Cache::get) fail: the lookup is then
/// [degraded](crate::Source::Degraded) to the loader, and
/// [`Lookup::degraded_cause`](crate::Lookup::degraded_cause) has the error.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Error {
    /// A setting makes no sense. Returned by `build`, before anything is sent.
    Setting {
        /// The builder method that set it.
        setting: &'static str,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// Redis could not be reached, did not answer in time, or refused.
    ///
    /// From `build`: it refused the connection, the password or the permission; the server's words are
    /// in the message. Or there can be no cache on it, and the message says why. From a write (`invalidate`, `update_field`, `update`): **the cached record may
    /// still be the old one**. The invalidation is remembered and replayed as soon as Redis answers; until then
    /// this process doesn't read that record from Redis, but others may find the old one there.
    ///
    /// What each failure means to the calls:
    ///
    /// | failure | `get` | a write | the breaker |
    /// |---|---|---|---|
    /// | no connection, one that breaks, no answer in time | degraded; a read on a connection that broke is repeated once | this error; an `invalidate` on a connection that broke is repeated once | counts |
    /// | `LOADING`, `CLUSTERDOWN`, `MASTERDOWN`, `BUSY` | degraded | this error | counts |
    /// | `NOAUTH`, `WRONGPASS` | degraded | this error | counts |
    /// | an answer that makes no sense | degraded | this error | counts |
    /// | `READONLY`, `MISCONF`, `NOPERM` | a hit is a hit, a miss is degraded | this error | doesn't |
    /// | `OOM` | a hit is a hit, a miss is degraded | an update becomes an invalidation, which works | doesn't |
    /// | the server hangs up on a large record (`proto-max-bulk-len`) | loaded, and not cached | an update becomes an invalidation | doesn't |
    /// | no free connection in the pool | degraded | this error | doesn't |
    /// | one node of a cluster doesn't answer | degraded | this error | that of the node |
    /// | the record's slot is being moved to another node | a hit is a hit, a miss is degraded | an invalidation works, an update becomes one | doesn't |
    /// | too few replicas have an invalidation ([`wait_for_replicas`](crate::RedisBuilder::wait_for_replicas)) | | this error | doesn't |
    /// | the breaker is open | degraded, at once | this error, at once | |
    /// | an invalidation of the record is remembered | degraded, at once | the write is tried | |
    ///
    /// `WRONGTYPE`, and an entry that doesn't decode, are no errors: they are misses, and the next fill replaces
    /// them.
    Redis {
        /// What was asked of it.
        request: &'static str,
        /// What the client library or the server said.
        cause: Cause,
    },
    /// The loader returned an error. All callers that waited for this load get the same one.
    Loader(Cause),
    /// A loader asked the cache for the very record it is loading, on its own thread. It would wait
    /// for itself.
    Reentrant,
    /// A wait for another caller's load took longer than `wait_timeout`.
    WaitTimeout {
        /// How long this caller had waited.
        waited: Duration,
    },
    /// The id cannot name a record. Nothing was sent.
    Id {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// What the caller handed over cannot be stored in a flat hash. Nothing was written. Returned
    /// by `update` and `update_field` only: a loaded record that cannot be stored is returned and
    /// not cached, see [`Event::Unstorable`](crate::Event::Unstorable).
    Record {
        /// The field at fault, where it is one field's fault.
        field: Option<String>,
        /// What is wrong with it. Never the field's value.
        reason: String,
    },
    /// Other writers changed the record each time `update` tried to. The record has been invalidated,
    /// so that nothing stale stays.
    Contended {
        /// How often it tried.
        attempts: u32,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Setting { setting, reason } => write!(f, "setting `{setting}`: {reason}"),
            Error::Redis { request, cause } => write!(f, "Redis failed at `{request}`: {cause}"),
            Error::Loader(cause) => write!(f, "the loader failed: {cause}"),
            Error::Reentrant => {
                f.write_str("a loader asked for the record it is loading, on its own thread")
            }
            Error::WaitTimeout { waited } => {
                write!(f, "waited {waited:?} for another caller's load")
            }
            Error::Id { reason } => write!(f, "the id is unusable: {reason}"),
            Error::Record {
                field: Some(field),
                reason,
            } => write!(f, "the record's field `{field}` cannot be stored: {reason}"),
            Error::Record {
                field: None,
                reason,
            } => write!(f, "the record cannot be stored: {reason}"),
            Error::Contended { attempts } => write!(
                f,
                "other writers changed the record during each of {attempts} attempts to update it; it was invalidated"
            ),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Error::Redis { cause, .. } | Error::Loader(cause) => Some(&**cause),
            _ => None,
        }
    }
}

/// Why [`Cache::write`](crate::Cache::write) has not changed the primary, as far as anybody knows.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum WriteError<E> {
    /// The closure's own error. The record has been invalidated, or will be: perhaps the change was made, and only
    /// the word of it was lost.
    Primary(E),
    /// The id cannot name a record. The closure was not called.
    Cache(Error),
}

impl<E: fmt::Display> fmt::Display for WriteError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::Primary(failure) => {
                write!(f, "the change of the primary failed: {failure}")
            }
            WriteError::Cache(failure) => write!(f, "nothing was written: {failure}"),
        }
    }
}

/// For whatever can be shown, a boxed error as well, which is no `Error` itself; so the closure's own error is part
/// of the message, and not a `source`.
impl<E: fmt::Debug + fmt::Display> StdError for WriteError<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            WriteError::Primary(_) => None,
            WriteError::Cache(failure) => Some(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_and_why_and_keeps_its_cause() {
        let error = Error::Redis {
            request: "invalidate",
            cause: Arc::new(std::io::Error::other("the wire was cut")),
        };
        assert_eq!(
            error.to_string(),
            "Redis failed at `invalidate`: the wire was cut"
        );
        assert_eq!(error.source().unwrap().to_string(), "the wire was cut");
    }
}
