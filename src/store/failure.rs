//! Why a step of the protocol failed, and what the failure says about the store.

use std::{error::Error as StdError, fmt, sync::Arc};

use crate::error::{
    Error,
    cause::{AtServer, Cause},
};

/// What a failure says about the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureKind {
    /// The store does not answer, or cannot serve any request now. The next request would fail too.
    /// Several such failures in a row open the breaker.
    Unavailable,
    /// The store answered, and refused the request.
    Rejected,
    /// A part of the store does not answer. The next request, about another record, may succeed.
    Partial,
    /// Nothing is wrong with the store: there are more callers than it takes at the same time.
    Saturated,
}

/// A step that a [`Store`](super::Store) did not do, or may not have done.
#[derive(Debug, Clone)]
pub struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) cause: Cause,
}

impl Failure {
    /// Creates a failure from what it says about the store, and from its cause. The cause becomes
    /// that of [`Error::Store`].
    pub fn new(kind: FailureKind, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Failure {
        Failure {
            kind,
            cause: Arc::from(cause.into()),
        }
    }

    /// The error behind this, if its type is `E`.
    pub(crate) fn cause<E: StdError + 'static>(&self) -> Option<&E> {
        let at: Option<&AtServer> = self.cause.downcast_ref();
        at.map_or(&self.cause, |at| &at.cause).downcast_ref()
    }

    /// Adds the server that the failure came from, unless it already has one.
    pub(crate) fn at_server(self, address: impl FnOnce() -> String) -> Failure {
        if AtServer::find(&self.cause).is_some() {
            return self;
        }
        let cause = Arc::new(AtServer {
            address: address(),
            hint: None,
            cause: self.cause,
        });
        Failure { cause, ..self }
    }

    /// The error that callers get for this failure.
    pub(crate) fn at(self, request: &'static str) -> Error {
        let cause = self.cause;
        Error::Store { request, cause }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(AtServer { address, hint, .. }) = AtServer::find(&self.cause) {
            f.write_str(address)?;
            if let Some(hint) = hint {
                write!(f, " ({hint})")?;
            }
            f.write_str(": ")?;
        }
        self.cause.fmt(f)
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.source()
    }
}
