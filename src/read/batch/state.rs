//! Where a lookup of a batch stands, and by what right it loads.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    engine::{
        Outcome,
        lease_renewal::Keeping,
        single_flight::{Flight, Leader},
    },
    error::Error,
    outcome::Lookup,
    read::{lookup::Lead, refresh::Cached},
    store::token::Token,
};

/// Where a lookup stands.
pub(super) enum Stand<'a, R> {
    /// It is to ask for the lease.
    Asks {
        look: bool,
    },
    /// A record is there; it is to ask for the lease to load it anew.
    Due(Cached<R>),
    /// The lease is another process's: it is to ask again after a pause.
    Held {
        by: Option<Token>,
        left: Duration,
    },
    /// The lease is another's of this process, who loads or watches.
    Follows(Arc<Flight<Outcome<R>>>),
    /// It goes without Redis.
    Degraded(Degraded<R>),
    /// It is to load.
    Leads(Right<'a, R>),
    Done(Lookup<R>),
}

/// A lookup that goes without Redis, and does not load.
pub(super) struct Degraded<R> {
    pub(super) cause: Error,
    pub(super) deadline: Instant,
    /// Whose load it waits for.
    pub(super) flight: Option<Arc<Flight<Outcome<R>>>>,
}

/// By what right it loads, and who is to be told.
pub(super) enum Right<'a, R> {
    /// A lease, under which it is filled.
    Lease(Lead<'a, R>, Keeping<'a>),
    /// The same, to load anew what is there.
    Refresh(Lead<'a, R>, Keeping<'a>, Cached<R>),
    /// A write is under way.
    Guard(Lead<'a, R>),
    /// Redis is no help. Nobody follows where another's load, under the same key, seems to hang.
    Without(Option<Leader<'a, String, Outcome<R>>>, Error),
}

impl<R> Right<'_, R> {
    /// Whether what it loads is to be cached.
    pub(super) fn is_to_fill(&self) -> bool {
        matches!(self, Right::Lease(..) | Right::Refresh(..))
    }

    /// Has nobody who comes from now on find a load that isn't filled.
    pub(super) fn leave(&self) {
        match self {
            Right::Guard(leader) => leader.leave(),
            Right::Without(Some(leader), _) => leader.leave(),
            Right::Lease(..) | Right::Refresh(..) | Right::Without(None, _) => {}
        }
    }

    /// Tells those who follow.
    pub(super) fn land(&self, outcome: Outcome<R>) {
        match self {
            Right::Lease(leader, _) | Right::Refresh(leader, ..) | Right::Guard(leader) => {
                leader.land(outcome);
            }
            Right::Without(Some(leader), _) => leader.land(outcome),
            Right::Without(None, _) => {}
        }
    }
}
