//! Refuses answers that name one token for several records.
//!
//! A token names one fill, and a nonce one guard, so no correct store gives such answers. Called by
//! the driver for many ids before it handles the answers. Pure: sends nothing.

use std::collections::HashMap;

use crate::{
    error::Error,
    read::lookup::impossible,
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
