//! One lookup of a batch: where it stands, and what it makes of what it is told.

use std::{
    cell::OnceCell,
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};

use super::state::{Degraded, Right, Stand};
use crate::{
    engine::{Outcome, lease_renewal::Keeping},
    error::Error,
    outcome::Source,
    read::{
        acquired::Told,
        load::Ran,
        lookup::{Asking, Lead, others},
    },
    store::{Acquire, Refresh, keys::Keys, token::Token},
};

/// One lookup of a batch.
pub(super) struct Item<'a, R> {
    pub(super) asking: Asking<'a, R>,
    data: &'a str,
    /// Made when they are needed: most lookups are hits, and have no use for a lease.
    keys: OnceCell<Keys>,
    /// Under the token with which it asks for the lease. In the table before Redis can name it.
    leader: Option<Lead<'a, R>>,
    /// Under the token of a lease of another process, for which it polls.
    watch: Option<Lead<'a, R>>,
    pub(super) stand: Stand<'a, R>,
}

impl<'a, R: Serialize + DeserializeOwned> Item<'a, R> {
    pub(super) fn new(asking: Asking<'a, R>, data: &'a str, stand: Stand<'a, R>) -> Item<'a, R> {
        Item {
            asking,
            data,
            keys: OnceCell::new(),
            leader: None,
            watch: None,
            stand,
        }
    }

    pub(super) fn keys(&self) -> &Keys {
        self.keys.get_or_init(|| Keys::of(self.data.to_owned()))
    }

    /// The token it asks with.
    pub(super) fn token(&mut self) -> Token {
        let flights = &self.asking.inner.flights;
        *self
            .leader
            .get_or_insert_with(|| flights.announce(Token::random()))
            .key()
    }

    fn deadline(&self) -> Instant {
        self.asking.patience_from(self.asking.began)
    }

    /// Takes the answer to its question for the lease.
    pub(super) fn told(&mut self, answer: Result<Acquire, Error>) -> Result<(), Error> {
        let (inner, token) = (self.asking.inner, self.token());
        let told = match answer {
            Ok(answer) => self.asking.told(answer, token),
            Err(failure) => {
                // The lease may be ours: perhaps only the reply was lost.
                inner.keeper.give_back(self.keys().clone(), token);
                self.degrade(failure);
                return Ok(());
            }
        };
        match told {
            Told::Acquired => {
                // Those who watched with us ask again, and are told our token.
                self.watch = None;
                let (leader, keeping) = self.leads();
                self.stand = Stand::Leads(Right::Lease(leader, keeping));
            }
            Told::Shared(outcome) => {
                if let Some(watch) = self.watch.take() {
                    watch.land(outcome.clone());
                }
                self.shares(outcome)?;
            }
            Told::Unreadable => self.stand = Stand::Asks { look: false },
            Told::Alone(guarded) => {
                self.watch = None;
                let leader = guarded.or_else(|| self.leader.take());
                let leader = leader.expect("it asked under its token");
                self.leader = None;
                self.stand = Stand::Leads(Right::Guard(leader));
            }
            Told::Follow(flight) => {
                self.watch = None;
                self.stand = Stand::Follows(others(flight)?);
            }
            Told::Held { .. } if Instant::now() >= self.deadline() => self.times_out()?,
            Told::Held { by, left } => {
                if by != self.watched() {
                    // Its followers must hear of it.
                    self.watch = None;
                }
                // Found now and followed later, when it may have left the table: who is told its token may share it.
                let flight = by.filter(|_| self.watch.is_none());
                self.stand = match flight.and_then(|token| inner.flights.find(&token)) {
                    Some(flight) => Stand::Follows(others(flight)?),
                    None => Stand::Held { by, left },
                };
            }
        }
        Ok(())
    }

    /// The lease is ours.
    fn leads(&mut self) -> (Lead<'a, R>, Keeping<'a>) {
        let inner = self.asking.inner;
        let leader = self.leader.take().expect("it asked under its token");
        let keeping = inner.keep(self.keys(), *leader.key());
        (leader, keeping)
    }

    /// How long the record lives on that it wants to load anew, if it does.
    pub(super) fn due(&self) -> Option<Duration> {
        match &self.stand {
            Stand::Due(cached) => Some(cached.left),
            _ => None,
        }
    }

    /// Takes the answer to its question for the lease of a record that is there.
    pub(super) fn may_refresh(&mut self, answer: Result<Refresh, Error>) {
        let token = self.token();
        let stand = mem::replace(&mut self.stand, Stand::Asks { look: true });
        let Stand::Due(cached) = stand else {
            unreachable!("only they ask");
        };
        let asking = &self.asking;
        self.stand = match asking.may_refresh(self.keys(), token, answer, cached) {
            Ok(cached) => {
                let (leader, keeping) = self.leads();
                Stand::Leads(Right::Refresh(leader, keeping, cached))
            }
            Err(served) => {
                self.leader = None;
                Stand::Done(served)
            }
        };
    }

    /// It gets what is there, which nobody could be asked to load anew.
    pub(super) fn is_served(&mut self) {
        self.leader = None;
        if let Stand::Due(cached) = mem::replace(&mut self.stand, Stand::Asks { look: true }) {
            self.stand = Stand::Done(self.asking.cached(cached));
        }
    }

    fn watched(&self) -> Option<Token> {
        self.watch.as_ref().map(|watch| *watch.key())
    }

    /// The lease is another process's: watch it for all of this one, unless somebody does, who is then followed.
    pub(super) fn watches(&mut self) -> Result<(), Error> {
        let Stand::Held {
            by: Some(token), ..
        } = self.stand
        else {
            // Without a token, that is under another program's lock, everyone is on their own.
            return Ok(());
        };
        if self.watch.is_none() {
            match self.asking.inner.flights.announce_or_find(&token) {
                Ok(watch) => self.watch = Some(watch),
                Err(flight) => self.stand = Stand::Follows(others(flight)?),
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
        match self.stand {
            Stand::Held { left, .. } => Some(left),
            _ => None,
        }
    }

    /// How long to pause before it asks again.
    pub(super) fn pause(&mut self, polls: u32, left: Duration) -> Duration {
        let (token, deadline) = (self.token(), self.deadline());
        self.asking.pause(token, polls, left, deadline)
    }

    /// It goes on without Redis.
    pub(super) fn degrade(&mut self, cause: Error) {
        (self.leader, self.watch) = (None, None);
        self.asking.degrades(&cause);
        self.stand = Stand::Degraded(Degraded {
            cause,
            deadline: self.asking.patience_from(Instant::now()),
            flight: None,
        });
    }

    /// Without Redis: leads, or finds whom to follow.
    pub(super) fn goes_alone(&mut self) -> Result<(), Error> {
        let Stand::Degraded(degraded) = &mut self.stand else {
            return Ok(());
        };
        if degraded.flight.is_some() {
            return Ok(());
        }
        match self.asking.inner.degraded.announce_or_find(self.data) {
            Ok(leader) => {
                let right = Right::Without(Some(leader), degraded.cause.clone());
                self.stand = Stand::Leads(right);
            }
            Err(flight) => degraded.flight = Some(others(flight)?),
        }
        Ok(())
    }

    /// Somebody else's load answers it.
    pub(super) fn shares(&mut self, outcome: Outcome<R>) -> Result<(), Error> {
        (self.leader, self.watch) = (None, None);
        self.stand = Stand::Done(self.asking.waited(outcome)?);
        Ok(())
    }

    /// Its load has ended, and so has its lease, unless the fill failed.
    pub(super) fn loaded(
        &mut self,
        ran: Result<Ran<R>, Error>,
        fill_failed: bool,
    ) -> Result<(), Error> {
        let stand = mem::replace(&mut self.stand, Stand::Asks { look: true });
        let Stand::Leads(right) = stand else {
            unreachable!("only they load");
        };
        let outcome = ran.map(|ran| ran.record);
        let ended = |keeping: Keeping<'_>| {
            if fill_failed {
                keeping.fill_failed();
            } else {
                keeping.end();
            }
        };
        let (source, degraded_by) = match right {
            Right::Refresh(leader, keeping, cached) => {
                ended(keeping);
                drop(leader);
                self.stand = Stand::Done(self.asking.refreshed(outcome, cached));
                return Ok(());
            }
            Right::Lease(leader, keeping) => {
                ended(keeping);
                drop(leader);
                (Source::Loaded, None)
            }
            Right::Guard(_) => (Source::Loaded, None),
            Right::Without(_, cause) => (Source::Degraded, Some(cause)),
        };
        self.answered(outcome?, source, degraded_by);
        Ok(())
    }

    pub(super) fn answered(
        &mut self,
        record: Option<Arc<R>>,
        source: Source,
        degraded_by: Option<Error>,
    ) {
        let found = self.asking.found(record, source);
        self.stand = Stand::Done(match degraded_by {
            Some(cause) => found.because_of(cause),
            None => found,
        });
    }
}
