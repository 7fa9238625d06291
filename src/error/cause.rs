//! The causes of errors: the server they came from, and how a whole chain of them is printed.
//!
//! No error of this crate prints what its `source` prints. Errors of other crates often do, so
//! [`chain`] leaves out a cause whose whole message stands in the chain already.

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

/// Prints an error and all its causes, each once: for `{:#}`, and for log lines, which have no
/// other place for a cause.
pub(crate) fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl fmt::Display + 'a {
    Chain(error)
}

struct Chain<'a>(&'a (dyn StdError + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `to_string` and not `{:#}`, which would print the causes of each cause as well.
        let mut said = self.0.to_string();
        let mut next = self.0.source();
        while let Some(error) = next {
            let message = error.to_string();
            if !is_said(&said, &message) {
                said.push_str(SEPARATOR);
                said.push_str(&message);
            }
            next = error.source();
        }
        f.write_str(&said)
    }
}

/// What stands between an error and its cause.
const SEPARATOR: &str = ": ";

/// Whether the chain has this whole message, between separators. A word of a longer message is not
/// enough: "no" is in "cannot".
fn is_said(chain: &str, message: &str) -> bool {
    message.is_empty()
        || chain.match_indices(message).any(|(at, _)| {
            let (before, after) = (&chain[..at], &chain[at + message.len()..]);
            (before.is_empty() || before.ends_with(SEPARATOR))
                && (after.is_empty() || after.starts_with(SEPARATOR))
        })
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

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Step(&'static str, #[source] Option<Box<Step>>);

    fn printed(messages: &[&'static str]) -> String {
        let add = |source, message: &&'static str| Some(Step(message, Some(Box::new(source?))));
        let (last, others) = messages.split_last().unwrap();
        let whole = others.iter().rev().fold(Some(Step(last, None)), add);
        chain(&whole.unwrap()).to_string()
    }

    #[test]
    fn a_cause_is_left_out_only_where_its_whole_message_stands_there() {
        assert_eq!(
            printed(&["it cannot be read", "no"]),
            "it cannot be read: no"
        );
        assert_eq!(printed(&["no disk", "disk"]), "no disk: disk");
        assert_eq!(printed(&["a: b", "b"]), "a: b");
        assert_eq!(printed(&["a: b: c", "b: c", "c"]), "a: b: c");
        assert_eq!(printed(&["a: b: c", "b", "c"]), "a: b: c");
        // Said by an error that is not the last one.
        assert_eq!(printed(&["a: c", "b", "c"]), "a: c: b");
        assert_eq!(printed(&["a", ""]), "a");
    }
}
