//! The turn of a lookup to load, on a cache with `max_loads`.
//!
//! Guarantees that a lookup has a permit of the limit *before* it asks for the lease, and that it
//! holds none while it waits for others. So no lease waits for a permit, and followers need none.
//! Called by both drivers. Without the limit, each step returns at once.
//!
//! One lookup of each record waits for a permit; the others of its process follow it. It wakes them
//! when it has asked for the lease. They then ask too, and share its load under its token. No
//! lookup shares a load by the key alone.
//!
//! A lookup without a permit is still answered by a load of the same record:
//!
//! - If a load of this process has a permit for the record, the lookup asks for the lease without
//!   one. In nearly all cases it learns that load's token and follows it. If it gets the lease
//!   instead, it gives the lease back, and waits for a permit.
//! - While it waits, it reads the record again from time to time. Another process may have filled
//!   it.
//!
//! A load inside another load waits for no permit: the thread of the outer load has one, so two
//! loads could wait for each other. It takes one that is free, or goes without.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    lookup::{LookupContext, not_own},
    machine::PendingLookup,
    nested::{WithinLoad, is_nested},
    state::{LoadPermit, LookupState},
};
use crate::{
    engine::{
        Engine, Outcome,
        load_limit::{LimitPermit, LoadLimit, PermitWait},
        single_flight::Leader,
    },
    error::Error,
    record::fields::from_fields,
    store::{Entry, Recheck},
    telemetry::event::Event,
    util::random::shortened,
};

/// What a lookup, or a batch, has of the limits.
pub(super) struct LoadTurn<'a, R> {
    engine: &'a Engine<R>,
    /// That of `max_loads`, and that of the threads of a `LoadingCache`. Permits are always taken
    /// in this order, so no two lookups wait for each other's.
    limits: [Option<&'a LoadLimit>; 2],
    permits: TurnPermits,
    /// The place in the queue for the first permit that is missing.
    wait: Option<PermitWait>,
    /// Other lookups of the record follow this one while it waits.
    queued: Option<Leader<'a, String, Outcome<R>>>,
    /// When the lookup first found no permit.
    since: Option<Instant>,
    /// How long it waits from then on.
    queue_timeout: Duration,
    /// When the caller began, and when it stops waiting for any load.
    hard_timeout: Option<(Instant, Instant)>,
    /// The lookup asks for the lease without a permit. It does so once.
    asks_without: bool,
    has_asked: bool,
}

/// The permits of one load. A drop gives them back.
pub(super) type TurnPermits = [Option<LimitPermit>; 2];

impl<'a, R> LoadTurn<'a, R> {
    /// `wait_timeout`: that of the lookup. It holds if the cache has no `load_queue_timeout`.
    pub(super) fn new(engine: &'a Engine<R>, wait_timeout: Duration) -> LoadTurn<'a, R> {
        let queue_timeout = engine.settings.load_queue_timeout;
        LoadTurn {
            engine,
            limits: [engine.load_limit.as_ref(), None],
            permits: [None, None],
            wait: None,
            queued: None,
            since: None,
            queue_timeout: queue_timeout.unwrap_or(wait_timeout),
            hard_timeout: None,
            asks_without: false,
            has_asked: false,
        }
    }

    /// The turn of a lookup whose load runs on a loader thread.
    pub(super) fn on_thread(
        context: &LookupContext<'a, R>,
        threads: &'a LoadLimit,
    ) -> LoadTurn<'a, R> {
        let mut turn = LoadTurn::new(context.engine, context.config.wait_timeout);
        turn.limits[1] = Some(threads);
        turn.hard_timeout = context.hard_deadline().map(|hard| (context.began, hard));
        turn
    }

    /// The turn of a load that has its permits already.
    pub(super) fn with(engine: &'a Engine<R>, permits: TurnPermits) -> LoadTurn<'a, R> {
        LoadTurn {
            permits,
            ..LoadTurn::new(engine, engine.settings.wait_timeout)
        }
    }

    /// The first limit of which a permit is needed and not there yet.
    fn missing(&self) -> Option<(usize, &'a LoadLimit)> {
        let mut limits = self.limits.iter().enumerate();
        limits.find_map(|(at, limit)| Some((at, (*limit)?)).filter(|_| self.permits[at].is_none()))
    }

    /// Whether a loader thread is free for this load.
    pub(super) fn has_thread(&self) -> bool {
        self.permits[1].is_some()
    }

    /// Takes the permits if that needs no wait. Returns whether the lookup may go on.
    pub(super) fn try_start(&mut self, record: Option<&str>) -> bool {
        while let Some((at, limit)) = self.missing() {
            self.permits[at] = limit.try_take(record);
            if self.permits[at].is_none() {
                return is_nested();
            }
        }
        true
    }

    /// Waits for the permits. An error if they are not free in time.
    pub(super) fn start(&mut self, id: &str, record: Option<&str>) -> Result<(), Error> {
        if self.wait(record) {
            Ok(())
        } else {
            Err(self.overloaded(id))
        }
    }

    /// Waits for the permits. Returns whether they are there in time.
    pub(super) fn wait(&mut self, record: Option<&str>) -> bool {
        if self.try_start(record) {
            return true;
        }
        let end = self.end_of_wait();
        while self.missing().is_some() {
            if !self.wait_until(record, end) {
                return false;
            }
        }
        true
    }

    /// When the lookup gives up waiting for its permits.
    fn end_of_wait(&mut self) -> Instant {
        let since = *self.since.get_or_insert_with(Instant::now);
        let end = since + self.queue_timeout;
        self.hard_timeout.map_or(end, |(_, hard)| hard.min(end))
    }

    /// Waits for the first permit that is missing. Returns whether it is there.
    fn wait_until(&mut self, record: Option<&str>, end: Instant) -> bool {
        let Some((at, limit)) = self.missing() else {
            return true;
        };
        let wait = self.wait.get_or_insert_with(|| limit.queue(record));
        self.permits[at] = wait.wait_until(end);
        if self.permits[at].is_none() {
            return false;
        }
        self.wait = None;
        true
    }

    fn overloaded(&mut self, id: &str) -> Error {
        let waited = self.since.map_or(Duration::ZERO, |since| since.elapsed());
        self.end();
        let reporter = &self.engine.reporter;
        match self.hard_timeout {
            Some((began, hard)) if Instant::now() >= hard => {
                reporter.report(&Event::LoadTimedOut { id });
                let waited = began.elapsed();
                Error::LoadTimeout { waited }
            }
            _ => {
                reporter.report(&Event::Overloaded { id });
                Error::Overloaded { waited }
            }
        }
    }

    /// Gives the permits back, or leaves the queue: the lookup has loaded, or waits for others.
    pub(super) fn end(&mut self) {
        drop(self.take_permits());
    }

    /// Takes the permits out, for a load on another thread.
    pub(super) fn take_permits(&mut self) -> TurnPermits {
        (self.wait, self.queued) = (None, None);
        std::mem::take(&mut self.permits)
    }

    /// Marks this thread as loading until the guard is dropped.
    pub(super) fn enter(&self) -> Option<WithinLoad> {
        let has_permit = self.permits.iter().any(Option::is_some);
        has_permit.then(WithinLoad::new)
    }
}

impl<R: Serialize + DeserializeOwned> LoadTurn<'_, R> {
    /// Whether the lookup may ask for the lease now. If not, its state has changed, or it has to
    /// try again. An error if no permit was free in time.
    pub(super) fn before_acquire(
        &mut self,
        lookup: &mut PendingLookup<'_, R>,
    ) -> Result<bool, Error> {
        let data = lookup.data;
        if self.wait.is_none() && self.try_start(Some(data)) {
            return Ok(true);
        }
        let Some((_, limit)) = self.missing() else {
            return Ok(true);
        };
        if !self.has_asked && limit.is_loading(data) {
            (self.has_asked, self.asks_without) = (true, true);
            return Ok(true);
        }
        let end = self.end_of_wait();
        if self.queued.is_none() {
            match self.engine.queued.start_or_find(data, data) {
                Ok(leader) => self.queued = Some(leader),
                Err(call) if Instant::now() < end => {
                    lookup.state = LookupState::Following(not_own(call)?);
                    return Ok(false);
                }
                // It has waited long enough, and has no permit to wait for.
                Err(_) => return Err(self.overloaded(lookup.context.id)),
            }
        }
        let pause = Instant::now() + shortened(self.engine.settings.poll);
        if self.wait_until(Some(data), end.min(pause)) {
            // Time has passed since the first read.
            lookup.ask_again();
        } else if Instant::now() >= end {
            return Err(self.overloaded(lookup.context.id));
        } else {
            self.read_again(lookup)?;
        }
        Ok(false)
    }

    /// Answers the lookup if a record that it accepts is in the store by now.
    fn read_again(&self, lookup: &mut PendingLookup<'_, R>) -> Result<(), Error> {
        let seen = match lookup.recheck {
            Recheck::IfOver(left) => Some(left),
            Recheck::Always | Recheck::Never => None,
        };
        let Ok((Entry::Record(fields), left)) = self.engine.first_read(lookup.data, seen.is_some())
        else {
            return Ok(());
        };
        // As in `acquire`: one with no more time left is the one that was too old.
        if seen.is_some_and(|seen| left.is_some_and(|left| left <= seen)) {
            return Ok(());
        }
        match from_fields(fields, &self.engine.settings.schema) {
            Ok(record) => lookup.on_shared(Ok(record.map(Arc::new))),
            Err(_) => Ok(()),
        }
    }

    /// The store has answered the request for the lease.
    pub(super) fn after_acquire(&mut self, lookup: &mut PendingLookup<'_, R>) {
        // Its followers now ask, and learn the token of this lookup, or of the lease's holder.
        self.queued = None;
        if std::mem::take(&mut self.asks_without) {
            lookup.give_up_permit();
        }
    }
}

impl<R: Serialize + DeserializeOwned> PendingLookup<'_, R> {
    /// Gives the right to load back, if the lookup has got it. A drop gives the lease back on
    /// another thread, and wakes the followers.
    fn give_up_permit(&mut self) {
        if let LookupState::Loading(LoadPermit::Lease(..) | LoadPermit::Guard(_)) = self.state {
            self.ask_again();
        }
    }
}
