//! The transitions of a lookup: a pure function of its state and of what the store answered.
//!
//! This file has the transitions for answers of the store. Those of lookups that wait are in
//! [`waiting`](super::waiting), those of lookups that load in [`loading`](super::loading). They
//! send nothing. The drivers do that: [`single`](super::single) and [`batch`](super::batch).

use std::{
    cell::OnceCell,
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    first_read::FirstRead,
    lookup::{LeaseLeader, LookupContext, not_own},
    state::{DegradedWait, LoadPermit, LookupState},
    wait_for_lease::LeaseWait,
};
use crate::{
    engine::{Outcome, lease_renewal::RenewalGuard},
    error::Error,
    outcome::Lookup,
    record::fields::from_fields,
    store::{Acquire, Refresh, keys::Keys, token::Token},
};

/// A lookup that is not answered by the first read.
pub(super) struct PendingLookup<'a, R> {
    pub(super) context: LookupContext<'a, R>,
    pub(super) data: &'a str,
    /// Made when they are needed: most lookups of a batch are hits and need no lease.
    keys: OnceCell<Keys>,
    /// Registered under the token with which it asks for the lease, before Redis can name that
    /// token: a follower may learn the token earlier than this lookup.
    leader: Option<LeaseLeader<'a, R>>,
    /// Registered under the token of another process's lease. This lookup waits for that lease on
    /// behalf of its process.
    pub(super) watch: Option<LeaseLeader<'a, R>>,
    /// Where changes are pushed: how it learns that the lease has changed.
    pub(super) lease_wait: Option<LeaseWait<'a, R>>,
    /// How often it found the lease held.
    pub(super) polls: u32,
    pub(super) state: LookupState<'a, R>,
}

impl<'a, R: Serialize + DeserializeOwned> PendingLookup<'a, R> {
    pub(super) fn new(
        context: LookupContext<'a, R>,
        data: &'a str,
        read: FirstRead<R>,
    ) -> PendingLookup<'a, R> {
        let (state, failure) = match read {
            FirstRead::Hit(found) => (LookupState::Done(found), None),
            FirstRead::Due(cached) => (LookupState::Due(cached), None),
            FirstRead::Missed { recheck } => (LookupState::NeedsLease { recheck }, None),
            FirstRead::Unanswered(failure) => {
                (LookupState::NeedsLease { recheck: true }, Some(failure))
            }
        };
        let mut lookup = PendingLookup {
            context,
            data,
            keys: OnceCell::new(),
            leader: None,
            watch: None,
            lease_wait: None,
            polls: 0,
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

    pub(super) fn into_answer(self) -> Option<Lookup<R>> {
        match self.state {
            LookupState::Done(found) => Some(found),
            _ => None,
        }
    }

    pub(super) fn keys(&self) -> &Keys {
        self.keys.get_or_init(|| Keys::of(self.data.to_owned()))
    }

    /// The token with which it asks for the lease.
    pub(super) fn token(&mut self) -> Token {
        let calls = &self.context.engine.calls;
        *self
            .leader
            .get_or_insert_with(|| calls.start(Token::random()))
            .key()
    }

    /// When it stops waiting for others.
    pub(super) fn deadline(&self) -> Instant {
        self.context.wait_deadline(self.context.began)
    }

    /// Prepares for changes of the lease. Call it before it asks for the lease: any change that the
    /// answer does not show comes later.
    pub(super) fn arm(&mut self) {
        if self.lease_wait.is_none() {
            self.lease_wait = LeaseWait::register(self.context.engine, self.keys());
        }
        if let Some(lease_wait) = &mut self.lease_wait {
            lease_wait.arm();
        }
    }

    /// The store answered its request for the lease.
    pub(super) fn on_acquire(&mut self, answer: Result<Acquire, Error>) -> Result<(), Error> {
        let token = self.token();
        match answer {
            Ok(Acquire::Acquired) => {
                let (leader, renewal) = self.take_lease();
                self.state = LookupState::Loading(LoadPermit::Lease(leader, renewal));
            }
            Ok(Acquire::Record(fields)) => match from_fields(fields) {
                Ok(record) => {
                    let outcome = Ok(record.map(Arc::new));
                    if let Some(watch) = self.watch.take() {
                        watch.complete(outcome.clone());
                    }
                    self.on_shared(outcome)?;
                }
                // Not counted: most often it is what the first read found.
                Err(_) => self.state = LookupState::NeedsLease { recheck: false },
            },
            // A dead writer's place has lapsed, and this is the first load after that.
            Ok(Acquire::Guarded { nonce }) if nonce == token => {
                let leader = self.take_leader();
                self.state = LookupState::Loading(LoadPermit::Guard(leader));
            }
            Ok(Acquire::Guarded { nonce }) => {
                self.stop_waiting();
                self.state = match self.context.engine.calls.start_or_find(&nonce) {
                    Ok(leader) => {
                        self.leader = None;
                        LookupState::Loading(LoadPermit::Guard(leader))
                    }
                    Err(call) => LookupState::Following(not_own(call)?),
                };
            }
            Ok(Acquire::Held { by, left }) => self.on_held(by, left)?,
            Err(failure) => {
                // The lease may be ours: perhaps only the reply was lost.
                let renewer = &self.context.engine.lease_renewer;
                renewer.give_back(self.keys().clone(), token);
                self.degrade(failure);
            }
        }
        Ok(())
    }

    fn on_held(&mut self, by: Option<Token>, left: Duration) -> Result<(), Error> {
        let deadline = self.deadline();
        if Instant::now() >= deadline {
            return self.time_out();
        }
        if by.is_none() || by != self.watch.as_ref().map(|watch| *watch.key()) {
            // Another holder than the watched one. Dropping the watch tells its followers.
            self.watch = None;
        }
        self.polls += 1;
        // Found now and followed later, when it may have left the table. This is right: a lookup
        // that was told the call's token may share it.
        let other = by.filter(|_| self.watch.is_none());
        let call = other.and_then(|token| self.context.engine.calls.find(&token));
        self.state = if let Some(call) = call {
            LookupState::Following(not_own(call)?)
        } else {
            // Redis lets a lease go within a millisecond of its end.
            let lapse = left.saturating_add(Duration::from_millis(1));
            let lapses_at = Instant::now().checked_add(lapse).unwrap_or(deadline);
            LookupState::Held { by, lapses_at }
        };
        Ok(())
    }

    /// The store answered its request to refresh what is cached.
    pub(super) fn on_refresh(&mut self, answer: Result<Refresh, Error>) {
        let token = self.token();
        let LookupState::Due(cached) = self.take_state() else {
            unreachable!("only a lookup that is due asks");
        };
        let engine = self.context.engine;
        let served = match answer {
            Ok(Refresh::Acquired) => {
                let (leader, renewal) = self.take_lease();
                let permit = LoadPermit::Refresh(leader, renewal, cached);
                self.state = LookupState::Loading(permit);
                return;
            }
            Ok(Refresh::Record(fields)) => match engine.decode(self.context.id, fields) {
                Ok(record) => self.context.hit(record.map(Arc::new)),
                Err(_) => self.context.cached(cached),
            },
            Ok(Refresh::Taken) => self.context.cached(cached),
            Err(_) => {
                // The lease may be ours: perhaps only the reply was lost.
                engine.lease_renewer.give_back(self.keys().clone(), token);
                self.context.cached(cached)
            }
        };
        self.leader = None;
        self.state = LookupState::Done(served);
    }

    /// It is due, and gets what is cached: the store could not be asked for the lease.
    pub(super) fn serve_cached(&mut self) {
        self.leader = None;
        if let LookupState::Due(cached) = self.take_state() {
            self.state = LookupState::Done(self.context.cached(cached));
        }
    }

    /// Redis does not help: the lookup goes on without it.
    pub(super) fn degrade(&mut self, cause: Error) {
        self.leader = None;
        self.stop_waiting();
        self.context.report_degraded(&cause);
        self.state = LookupState::Degraded(DegradedWait {
            cause,
            deadline: self.context.wait_deadline(Instant::now()),
            call: None,
        });
    }

    /// The load of another caller answers it.
    pub(super) fn on_shared(&mut self, outcome: Outcome<R>) -> Result<(), Error> {
        self.leader = None;
        self.stop_waiting();
        self.state = LookupState::Done(self.context.waited(outcome)?);
        Ok(())
    }

    /// The lease is ours. The followers of its watch ask again and are told our token.
    fn take_lease(&mut self) -> (LeaseLeader<'a, R>, RenewalGuard<'a>) {
        let leader = self.take_leader();
        let renewal = self.context.engine.renew_lease(self.keys(), *leader.key());
        (leader, renewal)
    }

    fn take_leader(&mut self) -> LeaseLeader<'a, R> {
        self.stop_waiting();
        let leader = self.leader.take();
        leader.expect("it asked under its token")
    }

    fn stop_waiting(&mut self) {
        (self.watch, self.lease_wait) = (None, None);
    }

    /// For a transition that must own the state.
    pub(super) fn take_state(&mut self) -> LookupState<'a, R> {
        mem::replace(&mut self.state, LookupState::NeedsLease { recheck: true })
    }
}
