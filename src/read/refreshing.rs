//! The transitions of a lookup that asks for a lease in order to refresh the cached record.
//!
//! Called by both drivers. Like all transitions, they send nothing; see
//! [`machine`](super::machine).

use super::{
    machine::PendingLookup,
    state::{LoadPermit, LookupState},
};
use crate::{error::Error, store::Refresh};

impl PendingLookup<'_> {
    /// The store answered the request to refresh the cached record.
    pub(super) fn on_refresh(&mut self, answer: Result<Refresh, Error>) {
        let token = self.token();
        let LookupState::Due(cached) = self.take_state() else {
            unreachable!("only a lookup that is due asks");
        };
        let engine = self.context.engine;
        let served = match answer {
            Ok(Refresh::Acquired(floor)) => {
                let (leader, renewal) = self.take_lease(floor);
                let permit = LoadPermit::Refresh(leader, renewal, cached);
                self.state = LookupState::Loading(permit);
                return;
            }
            Ok(Refresh::Record(fields)) => match self.context.record_of(fields) {
                Ok(record) => self.context.hit(record),
                Err(why) => {
                    engine.report_undecodable(self.context.id, why);
                    self.context.cached(cached)
                }
            },
            Ok(Refresh::Taken) => self.context.cached(cached),
            Err(_) => {
                // The lease may be held under our token: perhaps only the reply was lost.
                engine.lease_renewer.give_back(self.keys().clone(), token);
                self.context.cached(cached)
            }
        };
        self.leader = None;
        self.state = LookupState::Done(served);
    }

    /// Answers with the cached record, although it should be refreshed: the store could not be
    /// asked for the lease.
    pub(super) fn serve_cached(&mut self) {
        self.leader = None;
        if let LookupState::Due(cached) = self.take_state() {
            self.state = LookupState::Done(self.context.cached(cached));
        }
    }
}
