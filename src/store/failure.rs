//! Why a step of the protocol failed, and what the failure says about the store.

use std::{error::Error as StdError, fmt, sync::Arc};

use crate::error::{Cause, Error};

/// What a failure says about the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// that of [`Error::Redis`].
    pub fn new(kind: FailureKind, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Failure {
        Failure {
            kind,
            cause: Arc::from(cause.into()),
        }
    }

    /// Converts the failure to the error that callers get.
    pub(crate) fn at(self, request: &'static str) -> Error {
        let cause = self.cause;
        Error::Redis { request, cause }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.source()
    }
}
