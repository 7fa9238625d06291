//! The causes of errors: the server they came from, and how a whole chain of them is printed.
//!
//! Guarantees that a chain says each thing once. No error of this crate prints what its `source`
//! prints. Errors of other crates often do, so [`chain`] leaves out what was already said.

use std::{error::Error as StdError, fmt, sync::Arc};

/// A cause that several callers can share.
pub(crate) type Cause = Arc<dyn StdError + Send + Sync>;

/// An error, with the server that it came from.
///
/// It prints only the error, and returns the source of the error. The address is printed by
/// [`Error::Store`](super::Error::Store) and [`Failure`](crate::store::Failure), so that their
/// message names it even if nobody prints the causes.
#[derive(Debug)]
pub(crate) struct AtServer {
    /// Host and port, or the path of a socket. Never the password.
    pub(crate) address: String,
    /// What may be wrong with the address.
    pub(crate) hint: Option<&'static str>,
    pub(crate) cause: Cause,
}

impl AtServer {
    /// The first server that a chain of causes names.
    pub(crate) fn find(cause: &Cause) -> Option<&AtServer> {
        let mut next: Option<&(dyn StdError + 'static)> = Some(&**cause);
        while let Some(error) = next {
            if let Some(at) = error.downcast_ref() {
                return Some(at);
            }
            next = error.source();
        }
        None
    }
}

impl fmt::Display for AtServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl StdError for AtServer {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.source()
    }
}

/// Prints an error and all its causes, each once: for log lines, which have no other place for a
/// cause.
pub(crate) fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl fmt::Display + 'a {
    Chain(error)
}

struct Chain<'a>(&'a (dyn StdError + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut next = self.0.source();
        while let Some(error) = next {
            let words = error.to_string();
            if !said.contains(&words) {
                write!(f, ": {words}")?;
                said = words;
            }
            next = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prints its source as well, as many errors of other crates do.
    #[derive(Debug, thiserror::Error)]
    #[error("the row is gone: {0}")]
    struct Repeating(#[source] std::io::Error);

    #[test]
    fn a_chain_says_each_thing_once_even_where_an_error_repeats_its_source() {
        let repeating = Repeating(std::io::Error::other("the disk is full"));
        let at = AtServer {
            address: "localhost:6379".into(),
            hint: None,
            cause: Arc::new(repeating),
        };
        assert_eq!(chain(&at).to_string(), "the row is gone: the disk is full");
    }
}
