//! An error with its causes, on one line.

use std::error::Error;

/// The error, and each of its causes. `anyhow` prints the same with `{:#}`.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
