//! A record is there, and should be loaded anew: because its time is over (grace), or nearly (early refresh).
//!
//! Guarantees that nobody waits for that but the one who loads: of all who try, in all processes, one gets the lease, and
//! the others are served what is there. So is the one, should its load fail; and for a while after that nobody tries.
//! What is served was read after the lookup began, so an invalidation before it has ended that record as any other.

use std::{sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use super::lookup::LookupContext;
use crate::{
    engine::{Outcome, freshness::State},
    error::Error,
    loaded::Loaded,
    outcome::{Lookup, Source},
    store::{Refresh, keys::Keys, token::Token},
    telemetry::{event::Event, trace},
};

/// What is there.
pub(super) struct Cached<R> {
    record: Arc<R>,
    source: Source,
    /// How long it lives on.
    pub(super) left: Duration,
}

impl<R> Cached<R> {
    pub(super) fn new(record: Arc<R>, state: State, left: Duration) -> Cached<R> {
        let source = match state {
            State::Fresh | State::Due => Source::Hit,
            State::Stale => Source::Stale,
        };
        Cached {
            record,
            source,
            left,
        }
    }
}

impl<R: Serialize + DeserializeOwned> LookupContext<'_, R> {
    /// Loads it anew, or returns it.
    pub(super) fn refresh(
        &self,
        keys: &Keys,
        cached: Cached<R>,
        load: impl FnOnce() -> Result<Loaded<R>, Error>,
    ) -> Lookup<R> {
        let engine = self.engine;
        let lease_ttl = engine.settings.lease_ttl;
        // Others may follow: those who come when the record has gone meanwhile.
        let leader = engine.calls.start(Token::random());
        let token = *leader.key();
        let answer = engine.ask("refresh", |store| {
            store.refresh(keys, token, lease_ttl, cached.left)
        });
        let cached = match self.may_refresh(keys, token, answer, cached) {
            Ok(cached) => cached,
            Err(served) => return served,
        };
        let outcome = self.load_and_fill(keys, &leader, Some(lease_ttl), load);
        self.refreshed(outcome, cached)
    }

    /// What follows from the answer to a question under this token: the lease is ours, or here is what the lookup gets.
    pub(super) fn may_refresh(
        &self,
        keys: &Keys,
        token: Token,
        answer: Result<Refresh, Error>,
        cached: Cached<R>,
    ) -> Result<Cached<R>, Lookup<R>> {
        match answer {
            Ok(Refresh::Acquired) => Ok(cached),
            Ok(Refresh::Record(fields)) => match self.engine.decode(self.id, fields) {
                Ok(record) => Err(self.hit(record.map(Arc::new))),
                Err(_) => Err(self.cached(cached)),
            },
            Ok(Refresh::Taken) => Err(self.cached(cached)),
            Err(_) => {
                // The lease may be ours: perhaps only the reply was lost.
                self.engine.lease_renewer.give_back(keys.clone(), token);
                Err(self.cached(cached))
            }
        }
    }

    /// What the lookup gets that has loaded.
    pub(super) fn refreshed(&self, outcome: Outcome<R>, cached: Cached<R>) -> Lookup<R> {
        let id = self.id;
        match outcome {
            Ok(record) => {
                self.report(&Event::Refreshed { id });
                self.found(record, Source::Refreshed)
            }
            Err(error) => {
                trace::warn!(
                    "a record of the cache `{}` could not be loaded anew and is served as it is: {error}",
                    self.engine.settings.prefix
                );
                self.report(&Event::RefreshFailed { id, error: &error });
                self.cached(cached).with_cause(error)
            }
        }
    }

    pub(super) fn cached(&self, cached: Cached<R>) -> Lookup<R> {
        self.answer_from_cache(Some(cached.record), cached.source)
    }
}
