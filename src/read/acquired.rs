//! What Redis says to somebody who asks for a lease, and what follows from it for one lookup.

use std::{sync::Arc, time::Duration};

use serde::de::DeserializeOwned;

use super::lookup::{Asking, Lead};
use crate::{
    engine::{Outcome, single_flight::Flight},
    record::fields::{Undecodable, from_fields},
    store::{Acquire, token::Token},
};

/// What follows from an answer.
pub(super) enum Told<'a, R> {
    /// The lease is ours: load, and fill.
    Acquired,
    /// Somebody has filled it.
    Shared(Outcome<R>),
    /// What stands there is of no use: ask again, and don't look. Not counted: most often it is what the first look saw.
    Unreadable,
    /// A write is under way: load, tell those who follow this flight, and don't fill. `None`: it is the one under our
    /// own token.
    Alone(Option<Lead<'a, R>>),
    /// A write is under way, and so is a load of this process that began during it.
    Follow(Arc<Flight<Outcome<R>>>),
    /// The lease is another's.
    Held { by: Option<Token>, left: Duration },
}

impl<'a, R: DeserializeOwned> Asking<'a, R> {
    /// The answer to a question under this token.
    pub(super) fn told(&self, answer: Acquire, token: Token) -> Told<'a, R> {
        match answer {
            Acquire::Acquired => Told::Acquired,
            Acquire::Record(fields) => match from_fields(fields) {
                Ok(record) => Told::Shared(Ok(record.map(Arc::new))),
                Err(Undecodable) => Told::Unreadable,
            },
            // A writer's place lapsed, and ours is the first load after that.
            Acquire::Guarded { nonce } if nonce == token => Told::Alone(None),
            Acquire::Guarded { nonce } => match self.inner.flights.announce_or_find(&nonce) {
                Ok(guarded) => Told::Alone(Some(guarded)),
                Err(flight) => Told::Follow(flight),
            },
            Acquire::Held { by, left } => Told::Held { by, left },
        }
    }
}
