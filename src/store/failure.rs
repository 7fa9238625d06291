//! Why a step of the protocol failed, and what that says about the store.

use std::{error::Error as StdError, fmt, sync::Arc};

use crate::error::{
    Error,
    cause::{AtServer, Cause},
};

/// What a failure says about the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureKind {
    /// It does not answer, or cannot answer any request now. After several such failures in a row
    /// the breaker opens.
    Unavailable,
    /// It answered, and refused the request.
    Rejected,
    /// One part of it does not answer. A request about another record may succeed.
    Partial,
    /// Nothing. More callers wait for it than it serves at a time.
    Saturated,
}

/// The failure of a step of a [`Store`](super::Store). The step was not done, or its reply was
/// lost.
///
/// It prints the server and the cause. The causes below are its `source`.
#[derive(Debug, Clone)]
pub struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) cause: Cause,
}

impl Failure {
    /// Makes a failure from what it says about the store and from its cause. Callers get the cause
    /// as that of [`Error::Store`](crate::Error::Store).
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

    /// The failure with the server that it came from, unless it has one.
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

    /// The failure as callers get it.
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
