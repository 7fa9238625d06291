//! The transitions of a lookup: they depend on its state and on the answer of the store.
//!
//! This file has the transitions that lead to a lease. [`refreshing`](super::refreshing) has those
//! of lookups that refresh a cached record, [`waiting`](super::waiting) those of lookups that wait,
//! and [`loading`](mod@super::loading) those of lookups that load. Transitions send no requests.
//! The drivers do that: [`single`](super::single) for one id, [`batch`](super::batch) for many.
//!
//! Called by both drivers.

use std::{
    cell::OnceCell,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    first_read::FirstRead,
    lookup::{LeaseLeader, LookupContext, impossible, not_own},
    state::{LoadPermit, LookupState},
    wait_for_lease::LeaseWait,
};
use crate::{
    engine::{Outcome, lease_renewal::RenewalGuard, single_flight::Call},
    error::Error,
    outcome::Answer,
    store::{Acquire, Floor, Recheck, keys::Keys, token::Token},
};

/// A lookup that may need more than its first read.
pub(super) struct PendingLookup<'a> {
    pub(super) context: LookupContext<'a>,
    pub(super) data: &'a str,
    /// Created when they are needed: most lookups of a batch are hits, and need no lease.
    keys: OnceCell<Keys>,
    /// Registered under the token with which the lookup asks for the lease, before the request is
    /// sent: another lookup may get the token from Redis earlier than this one.
    pub(super) leader: Option<LeaseLeader<'a>>,
    /// Registered under the token of another process's lease. This lookup waits for that lease on
    /// behalf of its process.
    pub(super) watch: Option<LeaseLeader<'a>>,
    /// Gets the changes of the lease. `None` before the first acquire, and if tracking is off.
    pub(super) lease_wait: Option<LeaseWait<'a>>,
    /// How long the lookup has waited for its turn to load.
    pub(super) queued_for: Duration,
    /// How often the lookup has found the lease held.
    pub(super) polls: u32,
    /// What its load must respect. Set with the permit to load.
    pub(super) floor: Floor,
    /// Which records answer the lookup when it asks again after a wait.
    pub(super) recheck: Recheck,
    /// Whether the store had no record for this lookup when the lease was last found held. Only
    /// then may the followers of the watch have what this lookup finds later: that record is
    /// younger than their requests. Any other may be too old for one of them.
    was_absent: bool,
    pub(super) state: LookupState<'a>,
}

impl<'a> PendingLookup<'a> {
    pub(super) fn new(
        context: LookupContext<'a>,
        data: &'a str,
        read: FirstRead,
    ) -> PendingLookup<'a> {
        let recheck = match read {
            // A record that was too old at the first read never answers the lookup.
            FirstRead::Missed { recheck } if recheck != Recheck::Never => recheck,
            _ => Recheck::Always,
        };
        let (state, failure) = match read {
            FirstRead::Hit(found) => (LookupState::Done(found), None),
            FirstRead::Due(cached) => (LookupState::Due(cached), None),
            FirstRead::Missed { recheck } => (LookupState::NeedsLease { recheck }, None),
            FirstRead::Unanswered(failure) => (LookupState::NeedsLease { recheck }, Some(failure)),
        };
        let mut lookup = PendingLookup {
            context,
            data,
            keys: OnceCell::new(),
            leader: None,
            watch: None,
            lease_wait: None,
            queued_for: Duration::ZERO,
            polls: 0,
            floor: Floor::None,
            recheck,
            was_absent: false,
            state,
        };
        if let Some(failure) = failure {
            lookup.degrade(failure);
        }
        lookup
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.state, LookupState::Done(_))
    }

    pub(super) fn into_answer(self) -> Option<Answer> {
        match self.state {
            LookupState::Done(found) => Some(found),
            _ => None,
        }
    }

    pub(super) fn keys(&self) -> &Keys {
        self.keys.get_or_init(|| {
            let keys = self.context.engine.keys_of(self.data.to_owned());
            match self.context.tag_bounds() {
                Some(bounds) => keys.under_tags(bounds),
                None => keys,
            }
        })
    }

    /// The token with which the lookup asks for the lease.
    pub(super) fn token(&mut self) -> Token {
        let calls = &self.context.engine.calls;
        *self
            .leader
            .get_or_insert_with(|| calls.start(Token::random(), self.data))
            .key()
    }

    /// When the lookup stops waiting for the loads of others.
    pub(super) fn deadline(&self) -> Instant {
        let began = self.context.began + self.queued_for;
        self.context.wait_deadline(began)
    }

    /// Prepares to get the changes of the lease. Call it before the request for the lease. So each
    /// change is either visible in the answer, or notifies the lookup.
    pub(super) fn arm(&mut self) {
        if self.lease_wait.is_none() {
            self.lease_wait = LeaseWait::register(self.context.engine, self.keys());
        }
        if let Some(lease_wait) = &mut self.lease_wait {
            lease_wait.arm();
        }
    }

    /// The store answered the request for the lease.
    pub(super) fn on_acquire(&mut self, answer: Result<Acquire, Error>) -> Result<(), Error> {
        let token = self.token();
        match answer {
            Ok(Acquire::Acquired(floor)) => {
                let (leader, renewal) = self.take_lease(floor);
                self.state = LookupState::Loading(LoadPermit::Lease(leader, renewal));
            }
            Ok(Acquire::Record(fields)) => match self.context.record_of(fields) {
                Ok(record) => {
                    let outcome = Ok(record);
                    if let Some(watch) = self.watch.take().filter(|_| self.was_absent) {
                        watch.complete(outcome.clone());
                    }
                    self.on_shared(outcome)?;
                }
                // Not counted as a miss: in most cases, the first read found the same entry and
                // counted it.
                Err(_) if !self.asks_for(Recheck::Never) => {
                    let recheck = Recheck::Never;
                    self.state = LookupState::NeedsLease { recheck };
                }
                // It was told not to look at the entry. Asked again, it would answer the same.
                Err(_) => self.fail_acquire(impossible()),
            },
            // The place of a dead writer has lapsed. This lookup is the first to load after that.
            Ok(Acquire::Guarded { nonce, floor }) if nonce == token => {
                self.floor = floor;
                let leader = self.take_leader();
                self.state = LookupState::Loading(LoadPermit::Guard(leader));
            }
            Ok(Acquire::Guarded { nonce, floor }) => {
                self.floor = floor;
                self.stop_waiting();
                let calls = &self.context.engine.calls;
                // An invalidation of a tag gives a guard no other nonce, and leaves a lease. So
                // under tags, the load is shared with lookups that have read the same clock.
                let shared = self.context.tag_bounds();
                let shared = shared.map_or(nonce, |it| nonce.with_number(it.clock.number()));
                match calls.start_or_find(&shared, self.data) {
                    Ok(leader) => {
                        self.leader = None;
                        self.state = LookupState::Loading(LoadPermit::Guard(leader));
                    }
                    Err(call) => self.follow(call)?,
                }
            }
            // The token was drawn for this lookup, and has not got the lease yet.
            Ok(Acquire::Held { by, .. }) if by == Some(token) => self.fail_acquire(impossible()),
            Ok(Acquire::Held { by, left }) => self.on_held(by, left)?,
            Err(failure) => self.fail_acquire(failure),
        }
        Ok(())
    }

    /// The lease may be held under our token: perhaps only the reply was lost.
    fn fail_acquire(&mut self, failure: Error) {
        let token = self.token();
        let renewer = &self.context.engine.lease_renewer;
        renewer.give_back(self.keys().clone(), token);
        self.degrade(failure);
    }

    fn on_held(&mut self, by: Option<Token>, left: Duration) -> Result<(), Error> {
        self.was_absent = !self.asks_for(Recheck::Never);
        let deadline = self.deadline();
        if Instant::now() >= deadline {
            return self.time_out();
        }
        if by.is_none() || by != self.watch.as_ref().map(|watch| *watch.key()) {
            // The holder is not the watched one. Dropping the watch wakes its followers.
            self.watch = None;
        }
        self.polls += 1;
        // The call is found now and followed later. It may have left the table by then. That is
        // correct: a lookup that got the token of the call from Redis may share the call.
        let other = by.filter(|_| self.watch.is_none());
        let call = other.and_then(|token| self.context.engine.calls.find(&token));
        if let Some(call) = call {
            return self.follow(call);
        }
        // Redis ends a lease within a millisecond after its TTL.
        let lapse = left.saturating_add(Duration::from_millis(1));
        let lapses_at = Instant::now().checked_add(lapse).unwrap_or(deadline);
        self.state = LookupState::Held { by, lapses_at };
        Ok(())
    }

    /// Follows the call that the store named by its token, if it loads this record. A token names
    /// one fill, so a store that names it for another record has given an impossible answer.
    pub(super) fn follow(&mut self, call: Arc<Call<Outcome>>) -> Result<(), Error> {
        if self.context.engine.calls.loads(&call, self.data) {
            self.state = LookupState::Following(not_own(call)?);
        } else {
            self.fail_acquire(impossible());
        }
        Ok(())
    }

    /// Continues the lookup without Redis, because Redis failed or the wait was too long.
    pub(super) fn degrade(&mut self, cause: Error) {
        self.leader = None;
        self.stop_waiting();
        self.context.report_degraded(&cause);
        self.stay_degraded(cause);
    }

    /// Asks again after a wait: the awaited caller may have filled the record, or have failed.
    pub(super) fn ask_again(&mut self) {
        let recheck = self.recheck;
        self.state = LookupState::NeedsLease { recheck };
    }

    fn asks_for(&self, records: Recheck) -> bool {
        matches!(self.state, LookupState::NeedsLease { recheck } if recheck == records)
    }

    /// Answers the lookup with the load of another caller.
    pub(super) fn on_shared(&mut self, outcome: Outcome) -> Result<(), Error> {
        self.leader = None;
        self.stop_waiting();
        self.state = LookupState::Done(self.context.waited(outcome)?);
        Ok(())
    }

    /// Takes the acquired lease, and ends the watch. The followers of the watch then ask Redis
    /// again. Redis answers with our token, and they follow our load.
    pub(super) fn take_lease(&mut self, floor: Floor) -> (LeaseLeader<'a>, RenewalGuard<'a>) {
        self.floor = floor;
        let leader = self.take_leader();
        let renewal = self.context.engine.renew_lease(self.keys(), *leader.key());
        (leader, renewal)
    }

    fn take_leader(&mut self) -> LeaseLeader<'a> {
        self.stop_waiting();
        let leader = self.leader.take();
        leader.expect("it asked under its token")
    }

    fn stop_waiting(&mut self) {
        (self.watch, self.lease_wait) = (None, None);
    }

    /// Moves the state out, for a transition that needs it by value.
    pub(super) fn take_state(&mut self) -> LookupState<'a> {
        let recheck = Recheck::Always;
        std::mem::replace(&mut self.state, LookupState::NeedsLease { recheck })
    }
}
