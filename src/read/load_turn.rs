//! The turn of a lookup to load: its permits of `max_loads` and of the loader threads.
//!
//! Guarantees that a lookup has its permits *before* it asks for the lease or registers a load
//! without Redis, and that it holds no permit while it waits for others. So no lease and no call
//! waits for a permit. Called by both drivers. Without a limit, each step returns at once. How
//! single lookups of one record wait together is in [`load_queue`](super::load_queue).
//!
//! A load inside another load waits for no permit: two such loads could wait for each other. It
//! takes one that is free, or goes without.

use std::time::{Duration, Instant};

use super::{lookup::LookupContext, nested::is_nested};
use crate::{
    engine::{
        Engine, QueueLeader,
        load_limit::{LimitPermit, LoadLimit},
    },
    error::Error,
    telemetry::event::Event,
};

/// What a lookup, or a batch, has of the limits.
pub(super) struct LoadTurn<'a> {
    pub(super) engine: &'a Engine,
    /// That of the threads of a `LoadingCache`, and that of `max_loads`. Permits are always taken
    /// in this order, so no two lookups wait for each other's. A lookup that waits for a thread
    /// holds no permit of `max_loads`, which others can use.
    pub(super) limits: [Option<&'a LoadLimit>; 2],
    pub(super) permits: TurnPermits,
    /// How much longer the lookup may wait for the permit of each limit.
    left: [Duration; 2],
    /// For each limit: other lookups of the record follow this one while it waits.
    pub(super) queued: [Option<QueueLeader<'a>>; 2],
    /// How long the lookup has waited for its permits.
    pub(super) waited: Duration,
    /// When the caller began, and when it stops waiting for any load.
    hard_timeout: Option<(Instant, Instant)>,
    /// The lookup asks without a permit.
    pub(super) asks_without: bool,
    /// It has done so because this process loads the record. It does that once.
    pub(super) has_asked: bool,
}

/// The permits of one load. A drop gives them back.
pub(super) type TurnPermits = [Option<LimitPermit>; 2];

impl<'a> LoadTurn<'a> {
    /// `wait_timeout`: that of the lookup. It holds if the cache has no `load_queue_timeout`.
    pub(super) fn new(engine: &'a Engine, wait_timeout: Duration) -> LoadTurn<'a> {
        let queue_timeout = engine.settings.load_queue_timeout;
        LoadTurn {
            engine,
            limits: [None, engine.load_limit.as_ref()],
            permits: [None, None],
            left: [Duration::ZERO, queue_timeout.unwrap_or(wait_timeout)],
            queued: [None, None],
            waited: Duration::ZERO,
            hard_timeout: None,
            asks_without: false,
            has_asked: false,
        }
    }

    /// The turn of a lookup whose load runs on a loader thread. It waits for a thread until the
    /// hard timeout.
    pub(super) fn on_thread(
        context: &LookupContext<'a>,
        threads: &'a LoadLimit,
        hard_timeout: Duration,
    ) -> LoadTurn<'a> {
        let mut turn = LoadTurn::new(context.engine, context.config.wait_timeout);
        (turn.limits[0], turn.left[0]) = (Some(threads), hard_timeout);
        turn.hard_timeout = Some((context.began, context.began + hard_timeout));
        turn
    }

    /// The turn of a load that has its permits already, or needs none.
    pub(super) fn with(engine: &'a Engine, permits: TurnPermits) -> LoadTurn<'a> {
        LoadTurn {
            limits: [None, None],
            permits,
            ..LoadTurn::new(engine, Duration::ZERO)
        }
    }

    /// The first limit of which a permit is needed and not there yet.
    pub(super) fn missing(&self) -> Option<(usize, &'a LoadLimit)> {
        let mut limits = self.limits.iter().enumerate();
        limits.find_map(|(at, limit)| Some((at, (*limit)?)).filter(|_| self.permits[at].is_none()))
    }

    /// Whether a loader thread is free for this load.
    pub(super) fn has_thread(&self) -> bool {
        self.permits[0].is_some()
    }

    /// Whether the lookup may load if it gets the right to. If not, it may only share a load.
    pub(super) fn may_load(&self) -> bool {
        !self.asks_without
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
        if self.wait(record, || false) {
            Ok(())
        } else {
            Err(self.overloaded(id))
        }
    }

    /// Waits for the permits, unless that [is cancelled](LoadLimit::recheck_waits). Returns whether
    /// they are there in time.
    pub(super) fn wait(&mut self, record: Option<&str>, is_cancelled: impl Fn() -> bool) -> bool {
        if self.try_start(record) {
            return true;
        }
        while let Some((at, limit)) = self.missing() {
            let since = Instant::now();
            let (wait, end) = (limit.queue(record), self.end_of_wait(at, since));
            self.permits[at] = wait.wait_unless(end, &is_cancelled);
            self.count_wait(at, since.elapsed());
            if self.permits[at].is_none() {
                return false;
            }
        }
        true
    }

    /// When a wait for the permit of a limit ends that has begun at `since`.
    pub(super) fn end_of_wait(&self, at: usize, since: Instant) -> Instant {
        let end = since + self.left[at];
        self.hard_timeout.map_or(end, |(_, hard)| hard.min(end))
    }

    pub(super) fn count_wait(&mut self, at: usize, waited: Duration) {
        self.left[at] = self.left[at].saturating_sub(waited);
        self.waited += waited;
    }

    pub(super) fn overloaded(&mut self, id: &str) -> Error {
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
                let waited = self.waited;
                Error::Overloaded { waited }
            }
        }
    }

    /// Gives the permits back: the lookup has loaded, or waits for others.
    pub(super) fn end(&mut self) {
        drop(self.take_permits());
    }

    /// Takes the permits out, for a load on another thread.
    pub(super) fn take_permits(&mut self) -> TurnPermits {
        self.queued = [None, None];
        std::mem::take(&mut self.permits)
    }
}
