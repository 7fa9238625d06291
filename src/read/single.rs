//! The driver for one id: sends the request that the state asks for, and waits on the caller's
//! thread.
//!
//! Called by the read path after the first read. Decides nothing: the transitions do that.

use std::thread;

use super::{
    first_read::FirstRead,
    load_turn::LoadTurn,
    loader::{DynLoader, Loader},
    lookup::LookupContext,
    machine::PendingLookup,
    nested::WithinLoad,
    state::LookupState,
    wait_for_lease::LeaseWait,
};
use crate::{
    engine::Engine,
    error::Error,
    loaded::{LoadContext, Loaded},
    outcome::Answer,
    record::any::AnyRecord,
    store::{Completion, CompletionKind, Floor},
    telemetry::recorder::Began,
};

/// Answers a lookup after its first read, and reports its error.
pub(super) fn answer(
    context: LookupContext<'_>,
    data: &str,
    read: FirstRead,
    loader: &mut DynLoader<'_>,
) -> Result<Answer, Error> {
    match read {
        FirstRead::Hit(found) => Ok(found),
        read => {
            let turn = LoadTurn::new(context.engine, context.config.wait_timeout);
            let mut lookup = PendingLookup::new(context, data, read);
            drive_and_report(&mut lookup, turn, loader)?;
            Ok(lookup.into_answer().expect("it is done"))
        }
    }
}

/// Drives the lookup until it has its answer, and reports its error.
pub(super) fn drive_and_report<'a>(
    lookup: &mut PendingLookup<'a>,
    turn: LoadTurn<'a>,
    load: &mut (impl LoadStep + ?Sized),
) -> Result<(), Error> {
    let driven = drive(lookup, turn, load);
    if let Err(error) = &driven {
        lookup.context.failed(error);
    }
    driven
}

/// How a lookup that has the right to load does it.
pub(super) trait LoadStep {
    /// Loads, or lets another thread load. The lookup has its answer then, or another state.
    fn load<'a>(
        &mut self,
        lookup: &mut PendingLookup<'a>,
        turn: &mut LoadTurn<'a>,
    ) -> Result<(), Error>;
}

/// On this thread.
impl<F> LoadStep for Loader<F>
where
    F: ?Sized + FnMut(&LoadContext<'_>) -> Result<Loaded<AnyRecord>, Error>,
{
    fn load<'a>(
        &mut self,
        lookup: &mut PendingLookup<'a>,
        turn: &mut LoadTurn<'a>,
    ) -> Result<(), Error> {
        load_here(lookup, turn, None, |engine, id, floor| {
            self.run(engine, id, floor)
        })
    }
}

/// Runs a loader, ends the lease, and answers the lookup. `cached`: the record that the loader
/// sees.
pub(super) fn load_here<'a>(
    lookup: &mut PendingLookup<'a>,
    turn: &mut LoadTurn<'a>,
    cached: Option<AnyRecord>,
    load: impl FnOnce(&Engine, &str, Floor) -> Result<Loaded<AnyRecord>, Error>,
) -> Result<(), Error> {
    let engine = lookup.context.engine;
    let (within, began) = (WithinLoad::new(), Began::now());
    let loaded = load(engine, lookup.context.id, lookup.floor());
    drop(within);
    turn.end();
    let fills = lookup.fills();
    let loaded =
        loaded.and_then(|loaded| lookup.context.loaded_entry(loaded, fills, cached, began));
    let ended = lookup.on_loaded(&loaded).map(|it| complete(engine, &it));
    if let (Some(Ok(true)), Ok(loaded)) = (&ended, &loaded) {
        loaded.keep_tags(&lookup.context);
    }
    lookup.on_completed(loaded, ended)
}

/// Drives the lookup until it has its answer.
pub(super) fn drive<'a>(
    lookup: &mut PendingLookup<'a>,
    mut turn: LoadTurn<'a>,
    load: &mut (impl LoadStep + ?Sized),
) -> Result<(), Error> {
    let engine = lookup.context.engine;
    let lease_ttl = engine.settings.lease_ttl;
    loop {
        match &lookup.state {
            LookupState::Done(_) => return Ok(()),
            &LookupState::NeedsLease { recheck } => {
                if !turn.before_load(lookup)? {
                    continue;
                }
                lookup.arm();
                let token = lookup.token();
                let answer = engine.ask("acquire", |store| {
                    store.acquire(lookup.keys(), token, lease_ttl, recheck)
                });
                lookup.on_acquire(answer)?;
                turn.after_asking(lookup);
            }
            LookupState::Due(_) if !turn.try_start(Some(lookup.data)) => lookup.serve_cached(),
            LookupState::Due(cached) => {
                let left = cached.left;
                let token = lookup.token();
                let answer = engine.ask("refresh", |store| {
                    store.refresh(lookup.keys(), token, lease_ttl, left)
                });
                lookup.on_refresh(answer);
            }
            LookupState::Held { .. } => {
                turn.end();
                lookup.start_watch()?;
                wait_for_lease(lookup);
            }
            LookupState::Following(_) => {
                turn.end();
                lookup.wait_for_call(None)?;
            }
            LookupState::Degraded(_) => {
                if turn.before_load(lookup)? {
                    lookup.start_degraded(turn.may_load())?;
                    turn.after_asking(lookup);
                }
                if lookup.followed().is_some() {
                    turn.end();
                }
                lookup.wait_for_call(None)?;
            }
            LookupState::Loading(_) => {
                // Only a load without a call may still need its turn: nobody waits for it.
                turn.start(lookup.context.id, Some(lookup.data))?;
                load.load(lookup, &mut turn)?;
            }
        }
    }
}

/// Waits until the lease has changed. If changes are not pushed, pauses instead.
fn wait_for_lease(lookup: &mut PendingLookup<'_>) {
    let LookupState::Held { lapses_at, .. } = lookup.state else {
        return;
    };
    let end = lapses_at.min(lookup.deadline());
    let was_pushed = |lease_wait: &LeaseWait<'_>| lease_wait.wait(end);
    if !lookup.lease_wait.as_ref().is_some_and(was_pushed) {
        thread::sleep(lookup.pause(lapses_at));
    }
    lookup.ask_again();
}

/// Ends a lease in one request.
fn complete(engine: &Engine, completion: &Completion<'_>) -> Result<bool, Error> {
    match completion.end {
        CompletionKind::Fill(total_ttl, _) | CompletionKind::FillAt(total_ttl, ..) => {
            engine.record_max_ttl(total_ttl);
            engine.ask("fill", |store| completion.finish(store))
        }
        CompletionKind::Keep(total_ttl) => {
            engine.record_max_ttl(total_ttl);
            engine.ask("keep", |store| completion.finish(store))
        }
        CompletionKind::Release => engine.ask("release", |store| completion.finish(store)),
        CompletionKind::BackOff(_) => engine.ask("back_off", |store| completion.finish(store)),
    }
}
