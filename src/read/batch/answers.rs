//! What many answers to one request have in common: a token that several of them name, which is
//! refused, or the same failure.
//!
//! A token names one fill, and a nonce one guard, so no correct store gives such answers. Called by
//! the driver for many ids before it handles the answers. Only [`keep_tags`] sends a
//! request.

use std::collections::HashMap;

use crate::{
    error::Error,
    read::{load::LoadedEntry, lookup::impossible, machine::PendingLookup},
    store::{Acquire, token::Token},
};

/// Replaces the answers that name the token of another answer. It is not known which of them is
/// right.
pub(super) fn refuse_shared_tokens(answers: &mut [Result<Acquire, Error>]) {
    // Allocates nothing in the usual case, in which no lease is held.
    let mut named: HashMap<Token, u32> = HashMap::new();
    for token in answers.iter().filter_map(named_token) {
        *named.entry(token).or_default() += 1;
    }
    for answer in answers {
        if named_token(answer).is_some_and(|token| named[&token] > 1) {
            *answer = Err(impossible());
        }
    }
}

/// The token of another caller in an answer.
fn named_token(answer: &Result<Acquire, Error>) -> Option<Token> {
    match answer {
        Ok(Acquire::Held { by, .. }) => *by,
        Ok(Acquire::Guarded { nonce, .. }) => Some(*nonce),
        _ => None,
    }
}

/// The failure that all answers share: the store does not answer, or rejects every request.
pub(super) fn common_failure<T>(answers: &[Result<T, Error>]) -> Option<Error> {
    let mut failures = answers.iter().map_while(|answer| answer.as_ref().err());
    failures.nth(answers.len().saturating_sub(1)).cloned()
}

/// A lookup of a batch that has loaded.
type LoadedLookup<'l, 'a> = (&'l mut PendingLookup<'a>, Result<LoadedEntry, Error>);

/// Sees to it that the tags live as long as the entries that were filled. One request for all: the
/// lookups of a batch are under the same tags.
pub(super) fn keep_tags(loaded: &[LoadedLookup<'_, '_>], ended: &[Option<Result<bool, Error>>]) {
    let filled = loaded.iter().zip(ended);
    let filled = filled.filter(|(_, ended)| matches!(ended, Some(Ok(true))));
    let mut filled =
        filled.filter_map(|((lookup, loaded), _)| Some((lookup, loaded.as_ref().ok()?)));
    if let Some((lookup, entry)) = filled.find(|(_, entry)| entry.is_cached()) {
        entry.keep_tags(&lookup.context);
    }
}
