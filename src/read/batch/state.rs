//! Where a lookup of a batch stands, and by what permit it loads.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    engine::{
        Outcome,
        lease_renewal::RenewalGuard,
        single_flight::{Call, Leader},
    },
    error::Error,
    outcome::Lookup,
    read::{lookup::LeaseLeader, refresh::Cached},
    store::token::Token,
};

/// Where a lookup stands.
pub(super) enum ItemState<'a, R> {
    /// It is to ask for the lease.
    NeedsLease {
        recheck: bool,
    },
    /// A record is there; it is to ask for the lease to load it anew.
    Due(Cached<R>),
    /// The lease is another process's: it is to ask again after a pause.
    Held {
        by: Option<Token>,
        left: Duration,
    },
    /// The lease is another's of this process, who loads or start_watch.
    Following(Arc<Call<Outcome<R>>>),
    /// It goes without Redis.
    Degraded(DegradedWait<R>),
    /// It is to load.
    Loading(LoadPermit<'a, R>),
    Done(Lookup<R>),
}

/// A lookup that goes without Redis, and does not load.
pub(super) struct DegradedWait<R> {
    pub(super) cause: Error,
    pub(super) deadline: Instant,
    /// Whose load it waits for.
    pub(super) call: Option<Arc<Call<Outcome<R>>>>,
}

/// By what permit it loads, and who is to be told.
pub(super) enum LoadPermit<'a, R> {
    /// A lease, under which it is filled.
    Lease(LeaseLeader<'a, R>, RenewalGuard<'a>),
    /// The same, to load anew what is there.
    Refresh(LeaseLeader<'a, R>, RenewalGuard<'a>, Cached<R>),
    /// A write is under way.
    Guard(LeaseLeader<'a, R>),
    /// Redis is no help. Nobody follows where another's load, under the same key, seems to hang.
    Degraded(Option<Leader<'a, String, Outcome<R>>>, Error),
}

impl<R> LoadPermit<'_, R> {
    /// Whether what it loads is to be cached.
    pub(super) fn is_to_fill(&self) -> bool {
        matches!(self, LoadPermit::Lease(..) | LoadPermit::Refresh(..))
    }

    /// Has nobody who comes from now on find a load that isn't filled.
    pub(super) fn unregister(&self) {
        match self {
            LoadPermit::Guard(leader) => leader.unregister(),
            LoadPermit::Degraded(Some(leader), _) => leader.unregister(),
            LoadPermit::Lease(..) | LoadPermit::Refresh(..) | LoadPermit::Degraded(None, _) => {}
        }
    }

    /// Tells those who follow.
    pub(super) fn complete(&self, outcome: Outcome<R>) {
        match self {
            LoadPermit::Lease(leader, _)
            | LoadPermit::Refresh(leader, ..)
            | LoadPermit::Guard(leader) => {
                leader.complete(outcome);
            }
            LoadPermit::Degraded(Some(leader), _) => leader.complete(outcome),
            LoadPermit::Degraded(None, _) => {}
        }
    }
}
