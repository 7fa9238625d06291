//! How errors are printed, and what their sources are.

use std::{error::Error as StdError, fmt};

use super::{
    Error, WriteError,
    cause::{AtServer, chain},
};

/// See [printing](Error#printing-an-error).
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return chain(self).fmt(f);
        }
        match self {
            Error::InvalidSetting { setting, reason } => {
                write!(f, "setting `{setting}`: {reason}")
            }
            Error::Store { request, .. } => {
                write!(f, "request `{request}`")?;
                let server = self.server();
                if let Some(AtServer { address, .. }) = server {
                    write!(f, " to {address}")?;
                }
                f.write_str(" failed")?;
                match server.and_then(|server| server.hint) {
                    Some(hint) => write!(f, " ({hint})"),
                    None => Ok(()),
                }
            }
            Error::Loader(_) => f.write_str("the loader failed"),
            Error::NoThread(_) => f.write_str("no thread could be started to relay the outbox"),
            Error::Reentrant => {
                f.write_str("a loader asked for the record it is loading, on its own thread")
            }
            Error::WaitTimeout { waited } => {
                write!(f, "waited {waited:?} for another caller's load")
            }
            Error::Overloaded { waited } => {
                write!(
                    f,
                    "waited {waited:?} for a turn to load: too many loads are running"
                )
            }
            Error::LoadTimeout { waited } => {
                write!(f, "the load had not ended after {waited:?}; it goes on")
            }
            Error::InvalidId { reason } => write!(f, "the id is invalid: {reason}"),
            Error::InvalidRecord {
                field: Some(field),
                reason,
            } => write!(f, "the record's field `{field}` cannot be stored: {reason}"),
            Error::InvalidRecord {
                field: None,
                reason,
            } => write!(f, "the record cannot be stored: {reason}"),
            Error::StaleLoad {
                version,
                min_version,
            } => write!(
                f,
                "the loader returned version {version} of the record, which is older than {min_version}"
            ),
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
            Error::Store { cause, .. } | Error::Loader(cause) | Error::NoThread(cause) => {
                Some(&**cause)
            }
            _ => None,
        }
    }
}

/// Prints the closure's error, which need not implement `Error` and so cannot be a `source`. `{:#}`
/// prints it with `{:#}`, which adds its causes if its type is [`Error`] or `anyhow::Error`.
impl<E: fmt::Display> fmt::Display for WriteError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::Primary(error) if f.alternate() => {
                write!(f, "the change of the primary failed: {error:#}")
            }
            WriteError::Cache(error) if f.alternate() => {
                write!(f, "nothing was written: {error:#}")
            }
            WriteError::Primary(error) => write!(f, "the change of the primary failed: {error}"),
            WriteError::Cache(error) => write!(f, "nothing was written: {error}"),
        }
    }
}

/// `E` may be any type that implements `Display`, such as a `String` or a boxed error. Neither of
/// these implements `Error`. So [`Primary`](WriteError::Primary) has no source: match it to get the
/// closure's error with its causes. [`Cache`](WriteError::Cache) prints its error, and has the same
/// source as that error.
impl<E: fmt::Debug + fmt::Display> StdError for WriteError<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            WriteError::Primary(_) => None,
            WriteError::Cache(error) => error.source(),
        }
    }
}
