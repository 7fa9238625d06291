//! The driver for many ids: sends one request for all lookups in the same state, and calls the
//! loader once.
//!
//! Called by `get_many` for each slice of ids. Decides nothing: the transitions do that.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    BatchLoader, KeyedId,
    answers::{common_failure, keep_tags, refuse_shared_tokens},
    first_reads::first_reads,
    run_for,
};
use crate::{
    engine::{Engine, lookup_tags::LookupTags},
    error::Error,
    loaded::Loaded,
    outcome::Answer,
    read::{
        load_turn::LoadTurn, lookup::LookupConfig, machine::PendingLookup, nested::WithinLoad,
        state::LookupState,
    },
    store::{AcquireRequest, RefreshRequest},
    telemetry::recorder::Began,
    util::wakeup::Wakeup,
};

/// How many leases one request asks for. The number is small enough that the first leases are
/// renewed long before they lapse, even if the server and this machine are busy.
const LEASES: usize = 1_000;

/// Several lookups, each for a different record.
pub(super) struct BatchLookup<'a> {
    engine: &'a Engine,
    pub(super) lookups: Vec<PendingLookup<'a>>,
    /// Notified when an event happens for which a lookup waits. The numbers are positions in
    /// `lookups`.
    wakeup: Arc<Wakeup>,
    /// The right to call the loader once. Taken before any lease, and given back before any wait.
    pub(super) turn: LoadTurn<'a>,
}

impl<'a> BatchLookup<'a> {
    /// Starts lookups of these ids, with one first read of all of them.
    pub(super) fn read(
        engine: &'a Engine,
        config: LookupConfig,
        tags: Option<&LookupTags>,
        ids: &'a [KeyedId<'a>],
    ) -> BatchLookup<'a> {
        BatchLookup {
            engine,
            lookups: first_reads(engine, config, tags, ids),
            wakeup: Arc::new(Wakeup::new()),
            turn: LoadTurn::new(engine, config.wait_timeout),
        }
    }

    /// Drives the lookups until each has its answer, or one fails. The error is reported for all
    /// lookups without an answer.
    pub(super) fn answers(mut self, load: &mut BatchLoader<'_>) -> Result<Vec<Answer>, Error> {
        while self.lookups.iter().any(|lookup| !lookup.is_done()) {
            if let Err(error) = self.round(load) {
                for lookup in self.lookups.iter().filter(|lookup| !lookup.is_done()) {
                    lookup.context.failed(&error);
                }
                return Err(error);
            }
        }
        let answers = self.lookups.into_iter();
        Ok(answers.filter_map(PendingLookup::into_answer).collect())
    }

    /// Advances all lookups by one round. A batch loads and fills all records that it leads before
    /// it waits for others, so no two batches wait for each other.
    fn round(&mut self, load: &mut BatchLoader<'_>) -> Result<(), Error> {
        self.refresh();
        self.acquire()?;
        self.start_degraded()?;
        self.load(load)?;
        // None of the records that needed a lease are loaded here.
        self.turn.end();
        self.wait()
    }

    /// Asks for the leases of all lookups whose record should be refreshed.
    fn refresh(&mut self) {
        let is_due = |lookup: &PendingLookup<'_>| matches!(lookup.state, LookupState::Due(_));
        if self.lookups.iter().any(is_due) && !self.turn.try_start(None) {
            let due = self.lookups.iter_mut().filter(|lookup| is_due(lookup));
            due.for_each(PendingLookup::serve_cached);
        }
        let due = self.lookups.iter_mut().filter_map(|lookup| {
            let LookupState::Due(cached) = &lookup.state else {
                return None;
            };
            let left = cached.left;
            Some((lookup.token(), left, lookup))
        });
        let mut due: Vec<_> = due.collect();
        let lease_ttl = self.engine.settings.lease_ttl;
        let mut failure = None;
        for some in due.chunks_mut(LEASES) {
            if failure.is_some() {
                // Each further request would wait as long, and fail for the same reason.
                for (.., lookup) in some {
                    lookup.serve_cached();
                }
                continue;
            }
            let requests = some.iter().map(|(token, left, lookup)| RefreshRequest {
                keys: lookup.keys(),
                token: *token,
                left: *left,
            });
            let requests: Vec<_> = requests.collect();
            let answers = self.engine.ask_all("refresh", requests.len(), |store| {
                store.refresh_all(&requests, lease_ttl)
            });
            failure = common_failure(&answers);
            for ((.., lookup), answer) in some.iter_mut().zip(answers) {
                lookup.on_refresh(answer);
            }
        }
    }

    /// Asks for the leases of all lookups that need one.
    fn acquire(&mut self) -> Result<(), Error> {
        self.start_turn(|state| matches!(state, LookupState::NeedsLease { .. }))?;
        let asking = self.lookups.iter_mut().filter_map(|lookup| {
            let LookupState::NeedsLease { recheck } = lookup.state else {
                return None;
            };
            lookup.arm();
            Some((lookup.token(), recheck, lookup))
        });
        let mut asking: Vec<_> = asking.collect();
        let lease_ttl = self.engine.settings.lease_ttl;
        let mut failure = None;
        for some in asking.chunks_mut(LEASES) {
            if let Some(failure) = &failure {
                // Each further request would wait as long, and fail for the same reason.
                for (.., lookup) in some {
                    lookup.degrade(Error::clone(failure));
                }
                continue;
            }
            let requests = some.iter().map(|(token, recheck, lookup)| AcquireRequest {
                keys: lookup.keys(),
                token: *token,
                recheck: *recheck,
            });
            let requests: Vec<_> = requests.collect();
            let mut answers = self.engine.ask_all("acquire", requests.len(), |store| {
                store.acquire_all(&requests, lease_ttl)
            });
            refuse_shared_tokens(&mut answers);
            failure = common_failure(&answers);
            let answers = some.iter_mut().zip(answers);
            // Handles every answer, even if one is an error: leases that are already held must be
            // released.
            let done: Vec<_> = answers
                .map(|((.., lookup), answer)| lookup.on_acquire(answer))
                .collect();
            done.into_iter().collect::<Result<(), _>>()?;
        }
        Ok(())
    }

    /// Loads all records of lookups that lead, in one loader call. Then gives the followers their
    /// outcomes, and ends the leases.
    fn load(&mut self, load: &mut BatchLoader<'_>) -> Result<(), Error> {
        let loads = |lookup: &PendingLookup<'_>| matches!(lookup.state, LookupState::Loading(_));
        if !self.lookups.iter().any(loads) {
            return Ok(());
        }
        // As in `start_turn`: they must not wait for our loader.
        self.end_watches();
        let ids = self.lookups.iter().filter(|lookup| loads(lookup));
        let ids: Vec<_> = ids.map(|lookup| lookup.context.id).collect();
        let (within, began) = (WithinLoad::new(), Began::now());
        let mut records = run_for(self.engine, &ids, load);
        drop(within);
        self.turn.end();

        let loaded = self.lookups.iter_mut().filter_map(|lookup| {
            let LookupState::Loading(permit) = &lookup.state else {
                return None;
            };
            let loaded = match &mut records {
                Ok(found) => {
                    let loaded = Loaded::new(found.remove(lookup.context.id));
                    lookup
                        .context
                        .loaded_entry(loaded, permit.fills(), None, began)
                }
                Err(error) => Err(error.clone()),
            };
            Some((lookup, loaded))
        });
        let loaded: Vec<_> = loaded.collect();
        let completions = loaded
            .iter()
            .map(|(lookup, loaded)| lookup.on_loaded(loaded));
        let completions: Vec<_> = completions.collect();
        let leased: Vec<_> = completions.iter().flatten().copied().collect();
        let filled = leased.iter().filter_map(|it| it.end.total_ttl());
        let longest = filled.max();
        if let Some(total_ttl) = longest {
            self.engine.record_max_ttl(total_ttl);
        }
        let request = longest.map_or("release", |_| "fill");
        let mut ended = self
            .engine
            .ask_all(request, leased.len(), |store| store.finish_all(&leased))
            .into_iter();
        let ended: Vec<_> = completions
            .iter()
            .map(|completion| completion.and_then(|_| ended.next()))
            .collect();
        keep_tags(&loaded, &ended);
        let mut error = None;
        for ((lookup, loaded), ended) in loaded.into_iter().zip(ended) {
            error = lookup.on_completed(loaded, ended).err().or(error);
        }
        error.map_or(Ok(()), Err)
    }

    /// Waits until a lookup has something to do. At this point no lookup loads.
    fn wait(&mut self) -> Result<(), Error> {
        self.lookups
            .iter_mut()
            .try_for_each(PendingLookup::start_watch)?;
        if self.lookups.iter().all(PendingLookup::is_done) {
            return Ok(());
        }
        let poll_at = self.pause().map(|pause| Instant::now() + pause);
        for (number, lookup) in self.lookups.iter().enumerate() {
            lookup.subscribe(&self.wakeup, number);
        }
        // First checks all lookups, later only the notified ones. After a timeout, checks all
        // again.
        let mut notified: Option<HashSet<usize>> = None;
        loop {
            let mut is_ready = false;
            for (number, lookup) in self.lookups.iter_mut().enumerate() {
                if notified.as_ref().is_none_or(|all| all.contains(&number)) {
                    is_ready |= lookup.check(poll_at)?;
                }
            }
            if is_ready {
                return Ok(());
            }
            let ends = self.lookups.iter().filter_map(|it| it.waits_until(poll_at));
            let Some(end) = ends.min() else {
                return Ok(());
            };
            let numbers = self.wakeup.wait_until(end);
            notified = (!numbers.is_empty()).then_some(numbers);
        }
    }

    /// The pause before the next request for leases whose changes are not pushed. `None`: there are
    /// no such leases.
    fn pause(&mut self) -> Option<Duration> {
        let polled = self
            .lookups
            .iter_mut()
            .filter_map(|lookup| match lookup.state {
                LookupState::Held { lapses_at, .. } if !lookup.is_pushed() => {
                    Some((lookup, lapses_at))
                }
                _ => None,
            });
        let polled: Vec<_> = polled.collect();
        let lapses_at = polled.iter().map(|(_, lapses_at)| *lapses_at).min()?;
        let (first, _) = polled.into_iter().next()?;
        Some(first.pause(lapses_at))
    }
}
