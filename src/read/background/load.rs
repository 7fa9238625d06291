//! A load on a loader thread, for a caller that waits no longer than the hard timeout.
//!
//! Guarantees that the right to load is used or given back: by the thread, or by the drop of a task
//! that never ran.

use std::{
    mem,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    time::{Duration, Instant},
};

use super::{
    super::{
        first_read::FirstRead,
        load_turn::{LoadTurn, TurnPermits},
        loader::SharedLoader,
        lookup::{LookupConfig, LookupContext},
        machine::PendingLookup,
        single::{LoadStep, drive},
        state::{LoadPermit, LookupState},
    },
    Background, InBackground, panicked,
};
use crate::{
    engine::{
        Engine, Outcome,
        lookup_tags::LookupTags,
        single_flight::{DetachedCall, Leader},
    },
    error::Error,
    outcome::Answer,
    store::{Floor, Recheck, token::Token},
    telemetry::trace,
    util::per_process::PerProcess,
};

/// A lookup that has the right to load, on its way to a loader thread.
pub(super) struct LoadTask {
    engine: PerProcess<Engine>,
    loader: SharedLoader,
    id: String,
    data: String,
    config: LookupConfig,
    tags: Option<Box<LookupTags>>,
    floor: Floor,
    /// `None` once it runs.
    permit: Option<DetachedPermit>,
    turn: TurnPermits,
    reply: SyncSender<Reply>,
}

/// The right to load, without a leader.
enum DetachedPermit {
    Lease(DetachedCall<Token, Outcome>),
    Guard(DetachedCall<Token, Outcome>),
    Degraded(Option<DetachedCall<String, Outcome>>, Error),
}

/// What the caller gets from the thread.
enum Reply {
    Ended(Result<Answer, Error>),
    /// The threads are stopped: the task was dropped.
    NeverRan,
}

/// Loads on a thread of the pool if the lookup has reserved one, and otherwise here.
pub(super) struct OnThread<'b>(pub(super) &'b Background);

impl LoadStep for OnThread<'_> {
    fn load<'a>(
        &mut self,
        lookup: &mut PendingLookup<'a>,
        turn: &mut LoadTurn<'a>,
    ) -> Result<(), Error> {
        let OnThread(background) = self;
        let permit = if turn.has_thread() {
            detach(lookup)
        } else {
            None
        };
        let Some(permit) = permit else {
            return background.loader.for_lookup(None).load(lookup, turn);
        };
        let degraded_cause = match &permit {
            DetachedPermit::Degraded(_, cause) => Some(cause.clone()),
            DetachedPermit::Lease(_) | DetachedPermit::Guard(_) => None,
        };
        // One reply, so the thread never waits for the caller.
        let (reply, replied) = sync_channel(1);
        let task = Box::new(LoadTask {
            engine: background.engine.clone(),
            loader: background.loader.clone(),
            id: lookup.context.id.to_owned(),
            data: lookup.data.to_owned(),
            config: lookup.context.config,
            tags: lookup.context.tags.clone(),
            floor: lookup.floor,
            permit: Some(permit),
            turn: turn.take_permits(),
            reply,
        });
        if let Err(task) = background.pool.submit_load(task) {
            task.run();
        }
        wait_for_reply(lookup, degraded_cause, &replied)
    }
}

/// Takes the right to load out of the lookup. `None` if it is a refresh: its caller has a record.
fn detach(lookup: &mut PendingLookup<'_>) -> Option<DetachedPermit> {
    if let LookupState::Loading(LoadPermit::Refresh(..)) = lookup.state {
        return None;
    }
    let LookupState::Loading(permit) = lookup.take_state() else {
        unreachable!("only a lookup with a permit loads");
    };
    Some(match permit {
        LoadPermit::Lease(leader, renewal) => {
            renewal.detach();
            DetachedPermit::Lease(leader.detach())
        }
        LoadPermit::Guard(leader) => DetachedPermit::Guard(leader.detach()),
        LoadPermit::Degraded(leader, cause) => {
            DetachedPermit::Degraded(leader.map(Leader::detach), cause)
        }
        LoadPermit::Refresh(..) => unreachable!("it was ruled out"),
    })
}

/// Waits for the thread, until the hard timeout. `degraded_cause`: why the lookup goes on without
/// Redis, if it does.
fn wait_for_reply(
    lookup: &mut PendingLookup<'_>,
    degraded_cause: Option<Error>,
    replied: &Receiver<Reply>,
) -> Result<(), Error> {
    let now = Instant::now();
    let hard = lookup.context.hard_deadline().unwrap_or(now);
    match replied.recv_timeout(hard.saturating_duration_since(now)) {
        Ok(Reply::Ended(found)) => {
            let found = lookup.context.relayed(&found?);
            lookup.state = LookupState::Done(found);
            Ok(())
        }
        Ok(Reply::NeverRan) => {
            match degraded_cause {
                // What Redis has may be what a pending invalidation should have ended.
                Some(cause) => lookup.stay_degraded(cause),
                None => lookup.ask_again(),
            }
            Ok(())
        }
        Err(RecvTimeoutError::Disconnected) => Err(panicked()),
        Err(RecvTimeoutError::Timeout) => {
            let waited = lookup.context.began.elapsed();
            Err(lookup
                .context
                .timed_out()
                .unwrap_or(Error::LoadTimeout { waited }))
        }
    }
}

impl LoadTask {
    /// Loads on this thread, fills, and tells the caller, if it still waits.
    pub(super) fn run(mut self) {
        let Some(permit) = self.permit.take() else {
            return;
        };
        let engine = self.engine.get();
        let permit = permit.attach(engine);
        let _span = trace::background(&engine.reporter.cache, &self.id);
        let context = LookupContext {
            engine,
            config: LookupConfig {
                hard_timeout: None,
                ..self.config
            },
            id: &self.id,
            span: trace::LookupSpan::one_of_many(),
            began: Instant::now(),
            redis_latency: Duration::ZERO,
            tags: self.tags.take(),
            is_background: true,
        };
        let missed = FirstRead::Missed {
            recheck: Recheck::Always,
        };
        let mut lookup = PendingLookup::new(context, &self.data, missed);
        lookup.floor = self.floor;
        lookup.state = LookupState::Loading(permit);
        let mut permits = mem::take(&mut self.turn);
        // This thread is not free before it has filled. A load that was handed to it earlier would
        // wait, with its lease.
        let thread = permits[0].take();
        let turn = LoadTurn::with(engine, permits);
        let driven = drive(&mut lookup, turn, &mut InBackground(&self.loader));
        let found = driven.map(|()| lookup.into_answer().expect("it is done"));
        drop(thread);
        let _ = self.reply.send(Reply::Ended(found));
    }
}

impl DetachedPermit {
    fn attach(self, engine: &Engine) -> LoadPermit<'_> {
        match self {
            DetachedPermit::Lease(call) => {
                let leader = engine.calls.attach(call);
                let renewal = engine.lease_renewer.attach(*leader.key());
                LoadPermit::Lease(leader, renewal)
            }
            DetachedPermit::Guard(call) => LoadPermit::Guard(engine.calls.attach(call)),
            DetachedPermit::Degraded(call, cause) => {
                let leader = call.map(|call| engine.degraded.attach(call));
                LoadPermit::Degraded(leader, cause)
            }
        }
    }
}

/// A task that never ran gives the lease back, wakes the followers, and tells its caller.
impl Drop for LoadTask {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            drop(permit.attach(self.engine.get()));
            let _ = self.reply.send(Reply::NeverRan);
        }
    }
}
