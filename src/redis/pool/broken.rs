//! A request that failed on a connection.
//!
//! Used by what runs requests, and by those who repeat them.

use crate::store::Failure;

/// A request failed on a connection.
pub(crate) struct Broken {
    pub(crate) failure: Failure,
    /// Whether it may succeed on another connection.
    pub(crate) may_repeat: bool,
}

impl From<Failure> for Broken {
    /// The request was not sent.
    fn from(failure: Failure) -> Broken {
        let may_repeat = false;
        Broken {
            failure,
            may_repeat,
        }
    }
}
