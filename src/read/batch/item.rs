//! One lookup of a batch: where it stands, and what it makes of what it is told.

use std::{
    cell::OnceCell,
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};

use super::state::{DegradedWait, ItemState, LoadPermit};
use crate::{
    engine::{Outcome, lease_renewal::RenewalGuard},
    error::Error,
    outcome::Source,
    read::{
        acquired::AcquireOutcome,
        load::LoadedEntry,
        lookup::{LeaseLeader, LookupContext, others},
    },
    store::{Acquire, Refresh, keys::Keys, token::Token},
};

/// One lookup of a batch.
pub(super) struct Item<'a, R> {
    pub(super) context: LookupContext<'a, R>,
    data: &'a str,
    /// Made when they are needed: most lookups are hits, and have no use for a lease.
    keys: OnceCell<Keys>,
    /// Under the token with which it asks for the lease. In the table before Redis can name it.
    leader: Option<LeaseLeader<'a, R>>,
    /// Under the token of a lease of another process, for which it polls.
    watch: Option<LeaseLeader<'a, R>>,
    pub(super) state: ItemState<'a, R>,
}

impl<'a, R: Serialize + DeserializeOwned> Item<'a, R> {
    pub(super) fn new(
        context: LookupContext<'a, R>,
        data: &'a str,
        state: ItemState<'a, R>,
    ) -> Item<'a, R> {
        Item {
            context,
            data,
            keys: OnceCell::new(),
            leader: None,
            watch: None,
            state,
        }
    }

    pub(super) fn keys(&self) -> &Keys {
        self.keys.get_or_init(|| Keys::of(self.data.to_owned()))
    }

    /// The token it asks with.
    pub(super) fn token(&mut self) -> Token {
        let calls = &self.context.engine.calls;
        *self
            .leader
            .get_or_insert_with(|| calls.start(Token::random()))
            .key()
    }

    fn deadline(&self) -> Instant {
        self.context.wait_deadline(self.context.began)
    }

    /// Takes the answer to its question for the lease.
    pub(super) fn on_acquire_answer(
        &mut self,
        answer: Result<Acquire, Error>,
    ) -> Result<(), Error> {
        let (engine, token) = (self.context.engine, self.token());
        let told = match answer {
            Ok(answer) => self.context.acquire_outcome(answer, token),
            Err(failure) => {
                // The lease may be ours: perhaps only the reply was lost.
                engine.lease_renewer.give_back(self.keys().clone(), token);
                self.degrade(failure);
                return Ok(());
            }
        };
        match told {
            AcquireOutcome::Acquired => {
                // Those who watched with us ask again, and are told our token.
                self.watch = None;
                let (leader, renewal) = self.take_lease();
                self.state = ItemState::Loading(LoadPermit::Lease(leader, renewal));
            }
            AcquireOutcome::Shared(outcome) => {
                if let Some(watch) = self.watch.take() {
                    watch.complete(outcome.clone());
                }
                self.complete_shared(outcome)?;
            }
            AcquireOutcome::Unreadable => self.state = ItemState::NeedsLease { recheck: false },
            AcquireOutcome::Guarded(guarded) => {
                self.watch = None;
                let leader = guarded.or_else(|| self.leader.take());
                let leader = leader.expect("it asked under its token");
                self.leader = None;
                self.state = ItemState::Loading(LoadPermit::Guard(leader));
            }
            AcquireOutcome::Follow(call) => {
                self.watch = None;
                self.state = ItemState::Following(others(call)?);
            }
            AcquireOutcome::Held { .. } if Instant::now() >= self.deadline() => self.time_out()?,
            AcquireOutcome::Held { by, left } => {
                if by != self.watched() {
                    // Its followers must hear of it.
                    self.watch = None;
                }
                // Found now and followed later, when it may have left the table: who is told its token may share it.
                let call = by.filter(|_| self.watch.is_none());
                self.state = match call.and_then(|token| engine.calls.find(&token)) {
                    Some(call) => ItemState::Following(others(call)?),
                    None => ItemState::Held { by, left },
                };
            }
        }
        Ok(())
    }

    /// The lease is ours.
    fn take_lease(&mut self) -> (LeaseLeader<'a, R>, RenewalGuard<'a>) {
        let engine = self.context.engine;
        let leader = self.leader.take().expect("it asked under its token");
        let renewal = engine.renew_lease(self.keys(), *leader.key());
        (leader, renewal)
    }

    /// How long the record lives on that it wants to load anew, if it does.
    pub(super) fn due(&self) -> Option<Duration> {
        match &self.state {
            ItemState::Due(cached) => Some(cached.left),
            _ => None,
        }
    }

    /// Takes the answer to its question for the lease of a record that is there.
    pub(super) fn may_refresh(&mut self, answer: Result<Refresh, Error>) {
        let token = self.token();
        let state = mem::replace(&mut self.state, ItemState::NeedsLease { recheck: true });
        let ItemState::Due(cached) = state else {
            unreachable!("only they ask");
        };
        let context = &self.context;
        self.state = match context.may_refresh(self.keys(), token, answer, cached) {
            Ok(cached) => {
                let (leader, renewal) = self.take_lease();
                ItemState::Loading(LoadPermit::Refresh(leader, renewal, cached))
            }
            Err(served) => {
                self.leader = None;
                ItemState::Done(served)
            }
        };
    }

    /// It gets what is there, which nobody could be asked to load anew.
    pub(super) fn serve_cached(&mut self) {
        self.leader = None;
        if let ItemState::Due(cached) =
            mem::replace(&mut self.state, ItemState::NeedsLease { recheck: true })
        {
            self.state = ItemState::Done(self.context.cached(cached));
        }
    }

    fn watched(&self) -> Option<Token> {
        self.watch.as_ref().map(|watch| *watch.key())
    }

    /// The lease is another process's: watch it for all of this one, unless somebody does, who is then followed.
    pub(super) fn start_watch(&mut self) -> Result<(), Error> {
        let ItemState::Held {
            by: Some(token), ..
        } = self.state
        else {
            // Without a token, that is under another program's lock, everyone is on their own.
            return Ok(());
        };
        if self.watch.is_none() {
            match self.context.engine.calls.start_or_find(&token) {
                Ok(watch) => self.watch = Some(watch),
                Err(call) => self.state = ItemState::Following(others(call)?),
            }
        }
        Ok(())
    }

    /// Those who follow its watch ask for themselves.
    pub(super) fn unwatch(&mut self) {
        self.watch = None;
    }

    /// How long the lease of another process lasts, where it polls for one.
    pub(super) fn left(&self) -> Option<Duration> {
        match self.state {
            ItemState::Held { left, .. } => Some(left),
            _ => None,
        }
    }

    /// How long to pause before it asks again.
    pub(super) fn pause(&mut self, polls: u32, left: Duration) -> Duration {
        let (token, deadline) = (self.token(), self.deadline());
        self.context.pause(token, polls, left, deadline)
    }

    /// It goes on without Redis.
    pub(super) fn degrade(&mut self, cause: Error) {
        (self.leader, self.watch) = (None, None);
        self.context.report_degraded(&cause);
        self.state = ItemState::Degraded(DegradedWait {
            cause,
            deadline: self.context.wait_deadline(Instant::now()),
            call: None,
        });
    }

    /// Without Redis: leads, or finds whom to follow.
    pub(super) fn start_degraded(&mut self) -> Result<(), Error> {
        let ItemState::Degraded(degraded) = &mut self.state else {
            return Ok(());
        };
        if degraded.call.is_some() {
            return Ok(());
        }
        match self.context.engine.degraded.start_or_find(self.data) {
            Ok(leader) => {
                let permit = LoadPermit::Degraded(Some(leader), degraded.cause.clone());
                self.state = ItemState::Loading(permit);
            }
            Err(call) => degraded.call = Some(others(call)?),
        }
        Ok(())
    }

    /// Somebody else's load answers it.
    pub(super) fn complete_shared(&mut self, outcome: Outcome<R>) -> Result<(), Error> {
        (self.leader, self.watch) = (None, None);
        self.state = ItemState::Done(self.context.waited(outcome)?);
        Ok(())
    }

    /// Its load has ended, and so has its lease, unless the fill failed.
    pub(super) fn loaded(
        &mut self,
        entry: Result<LoadedEntry<R>, Error>,
        fill_failed: bool,
    ) -> Result<(), Error> {
        let state = mem::replace(&mut self.state, ItemState::NeedsLease { recheck: true });
        let ItemState::Loading(permit) = state else {
            unreachable!("only they load");
        };
        let outcome = entry.map(|entry| entry.record);
        let ended = |renewal: RenewalGuard<'_>| {
            if fill_failed {
                renewal.fill_failed();
            } else {
                renewal.end();
            }
        };
        let (source, degraded_cause) = match permit {
            LoadPermit::Refresh(leader, renewal, cached) => {
                ended(renewal);
                drop(leader);
                self.state = ItemState::Done(self.context.refreshed(outcome, cached));
                return Ok(());
            }
            LoadPermit::Lease(leader, renewal) => {
                ended(renewal);
                drop(leader);
                (Source::Loaded, None)
            }
            LoadPermit::Guard(_) => (Source::Loaded, None),
            LoadPermit::Degraded(_, cause) => (Source::Degraded, Some(cause)),
        };
        self.answered(outcome?, source, degraded_cause);
        Ok(())
    }

    pub(super) fn answered(
        &mut self,
        record: Option<Arc<R>>,
        source: Source,
        degraded_cause: Option<Error>,
    ) {
        let found = self.context.found(record, source);
        self.state = ItemState::Done(match degraded_cause {
            Some(cause) => found.with_cause(cause),
            None => found,
        });
    }
}
