//! The states of a lookup, and by what right it may load.

use std::{sync::Arc, time::Instant};

use super::{lookup::LeaseLeader, refresh::Cached};
use crate::{
    engine::{
        Outcome,
        lease_renewal::RenewalGuard,
        single_flight::{Call, Leader},
    },
    error::Error,
    outcome::Lookup,
    store::token::Token,
};

/// What a lookup does next.
pub(super) enum LookupState<'a, R> {
    /// It asks for the lease. `recheck`: the store hands a record over if there is one by now.
    NeedsLease {
        recheck: bool,
    },
    /// It has a record, and asks for the lease to refresh it.
    Due(Cached<R>),
    /// Another process has the lease: it waits, and asks again.
    Held {
        by: Option<Token>,
        lapses_at: Instant,
    },
    /// Another thread of this process has the lease, or watches it: it waits for that call.
    Following(Arc<Call<Outcome<R>>>),
    /// It goes on without Redis.
    Degraded(DegradedWait<R>),
    /// It runs the loader.
    Loading(LoadPermit<'a, R>),
    Done(Lookup<R>),
}

/// A lookup without Redis that does not load.
pub(super) struct DegradedWait<R> {
    pub(super) cause: Error,
    pub(super) deadline: Instant,
    /// The load of another thread that it waits for.
    pub(super) call: Option<Arc<Call<Outcome<R>>>>,
}

/// The right to load, and the followers that get the outcome.
pub(super) enum LoadPermit<'a, R> {
    /// A lease: the record is filled under it.
    Lease(LeaseLeader<'a, R>, RenewalGuard<'a>),
    /// A lease to refresh what is cached.
    Refresh(LeaseLeader<'a, R>, RenewalGuard<'a>, Cached<R>),
    /// A write is under way: the record is not filled.
    Guard(LeaseLeader<'a, R>),
    /// Redis does not help. `None`: no follower, because another load under this key seems to hang.
    Degraded(Option<Leader<'a, String, Outcome<R>>>, Error),
}

impl<R> LoadPermit<'_, R> {
    /// Whether the loaded record is filled.
    pub(super) fn fills(&self) -> bool {
        matches!(self, LoadPermit::Lease(..) | LoadPermit::Refresh(..))
    }

    /// Tells the followers the outcome.
    ///
    /// A load that is not filled is unregistered first: a new lookup must load again. Under a lease
    /// it stays registered until the lease has ended, for lookups that are told its token.
    pub(super) fn complete(&self, outcome: Outcome<R>) {
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
