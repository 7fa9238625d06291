//! The states of a lookup, and what permits it to load.
//!
//! Used by the transitions and by both drivers; see [`read`](super) for the order of the states.

use std::{sync::Arc, time::Instant};

use super::{lookup::LeaseLeader, refresh::Cached};
use crate::{
    engine::{
        Outcome,
        lease_renewal::RenewalGuard,
        single_flight::{Call, Leader},
    },
    error::Error,
    outcome::Answer,
    store::{Recheck, token::Token},
};

/// What a lookup does next.
pub(super) enum LookupState<'a> {
    /// The lookup asks for the lease. `recheck`: which record the store returns instead.
    NeedsLease {
        recheck: Recheck,
    },
    /// The lookup has a record, and asks for the lease in order to refresh it.
    Due(Cached),
    /// Another process holds the lease. The lookup waits, then asks again.
    Held {
        by: Option<Token>,
        lapses_at: Instant,
    },
    /// Another thread of this process holds the lease, or watches it. The lookup waits for its
    /// call.
    Following(Arc<Call<Outcome>>),
    /// The lookup continues without Redis.
    Degraded(DegradedWait),
    /// The lookup runs the loader.
    Loading(LoadPermit<'a>),
    Done(Answer),
}

/// A lookup without Redis that has not yet loaded.
pub(super) struct DegradedWait {
    pub(super) cause: Error,
    pub(super) deadline: Instant,
    /// The load of another thread, for which this lookup waits.
    pub(super) call: Option<Arc<Call<Outcome>>>,
}

/// The right to load, and the call whose followers get the outcome.
pub(super) enum LoadPermit<'a> {
    /// A lease: the record is filled under it.
    Lease(LeaseLeader<'a>, RenewalGuard<'a>),
    /// A lease to refresh what is cached.
    Refresh(LeaseLeader<'a>, RenewalGuard<'a>, Cached),
    /// A write is under way, so the record is not filled.
    Guard(LeaseLeader<'a>),
    /// Redis failed. `None`: the load can have no followers, because another load under this key
    /// seems to hang.
    Degraded(Option<Leader<'a, String, Outcome>>, Error),
}

impl LoadPermit<'_> {
    /// Whether the loaded record is filled.
    pub(super) fn fills(&self) -> bool {
        matches!(self, LoadPermit::Lease(..) | LoadPermit::Refresh(..))
    }

    /// The call whose followers get the outcome.
    pub(super) fn call(&self) -> Option<Arc<Call<Outcome>>> {
        match self {
            LoadPermit::Lease(leader, _)
            | LoadPermit::Refresh(leader, ..)
            | LoadPermit::Guard(leader) => Some(leader.call()),
            LoadPermit::Degraded(leader, _) => leader.as_ref().map(Leader::call),
        }
    }

    /// The token of its lease, or the nonce of the guard. `None`: without Redis, there is none.
    pub(super) fn token(&self) -> Option<Token> {
        match self {
            LoadPermit::Lease(leader, _)
            | LoadPermit::Refresh(leader, ..)
            | LoadPermit::Guard(leader) => Some(*leader.key()),
            LoadPermit::Degraded(..) => None,
        }
    }

    /// Gives the outcome to the followers.
    ///
    /// A load that is not filled is unregistered first, because a new lookup must load again. Under
    /// a lease, the load stays registered until the lease has ended, because lookups can still get
    /// its token.
    pub(super) fn complete(&self, outcome: Outcome) {
        match self {
            LoadPermit::Lease(leader, _) | LoadPermit::Refresh(leader, ..) => {
                leader.complete(outcome);
            }
            LoadPermit::Guard(leader) => {
                leader.unregister();
                leader.complete(outcome);
            }
            LoadPermit::Degraded(Some(leader), _) => {
                leader.unregister();
                leader.complete(outcome);
            }
            LoadPermit::Degraded(None, _) => {}
        }
    }
}
