//! What Redis says to somebody who asks for a lease, and what follows from it for one lookup.

use std::{sync::Arc, time::Duration};

use serde::de::DeserializeOwned;

use super::lookup::{LeaseLeader, LookupContext};
use crate::{
    engine::{Outcome, single_flight::Call},
    record::fields::{Undecodable, from_fields},
    store::{Acquire, token::Token},
};

/// What follows from an answer.
pub(super) enum AcquireOutcome<'a, R> {
    /// The lease is ours: load, and fill.
    Acquired,
    /// Somebody has filled it.
    Shared(Outcome<R>),
    /// What stands there is of no use: ask again, and don't look. Not counted: most often it is what the first look saw.
    Unreadable,
    /// A write is under way: load, tell those who follow this call, and don't fill. `None`: it is the one under our
    /// own token.
    Guarded(Option<LeaseLeader<'a, R>>),
    /// A write is under way, and so is a load of this process that began during it.
    Follow(Arc<Call<Outcome<R>>>),
    /// The lease is another's.
    Held { by: Option<Token>, left: Duration },
}

impl<'a, R: DeserializeOwned> LookupContext<'a, R> {
    /// The answer to a question under this token.
    pub(super) fn acquire_outcome(&self, answer: Acquire, token: Token) -> AcquireOutcome<'a, R> {
        match answer {
            Acquire::Acquired => AcquireOutcome::Acquired,
            Acquire::Record(fields) => match from_fields(fields) {
                Ok(record) => AcquireOutcome::Shared(Ok(record.map(Arc::new))),
                Err(Undecodable) => AcquireOutcome::Unreadable,
            },
            // A writer's place lapsed, and ours is the first load after that.
            Acquire::Guarded { nonce } if nonce == token => AcquireOutcome::Guarded(None),
            Acquire::Guarded { nonce } => match self.engine.calls.start_or_find(&nonce) {
                Ok(guarded) => AcquireOutcome::Guarded(Some(guarded)),
                Err(call) => AcquireOutcome::Follow(call),
            },
            Acquire::Held { by, left } => AcquireOutcome::Held { by, left },
        }
    }
}
