//! The rounds of a batch: look, ask, load, wait.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    BatchLoader, Item, KeyedId, context, run_for,
    state::{ItemState, LoadPermit},
};
use crate::{
    engine::Engine,
    error::{Cause, Error},
    loaded::Loaded,
    near::Placeholder,
    outcome::Lookup,
    read::{FirstRead, load::LoadedEntry, lookup::LookupConfig, near_hit},
    record::fields::Fields,
    store::{AcquireRequest, Completion, CompletionKind, RefreshRequest},
    telemetry::event::Event,
};

/// How many leases are asked for in one request: few enough that the first are being kept long before they lapse, however
/// busy the server and this machine are.
const LEASES: usize = 1_000;

/// Some lookups, each of another record.
pub(super) struct BatchLookup<'a, R> {
    engine: &'a Engine<R>,
    items: Vec<Item<'a, R>>,
    /// How often it has paused.
    pauses: u32,
}

/// Where the first look at a record goes.
enum ReadFrom<'a, R> {
    /// Nowhere: here it is.
    Near(Option<Arc<R>>),
    /// Nowhere: the store must not be asked.
    Pending(Cause),
    /// To the store.
    Store(Option<Placeholder<'a, R>>),
}

/// A lookup that has loaded, and what that came to.
struct LoadedItem<'i, 'a, R> {
    item: &'i mut Item<'a, R>,
    entry: Result<LoadedEntry<R>, Error>,
}

impl<'a, R: Serialize + DeserializeOwned> BatchLookup<'a, R> {
    /// The first look at all of them, in one request.
    pub(super) fn look(
        engine: &'a Engine<R>,
        config: LookupConfig,
        ids: &'a [KeyedId<'a>],
    ) -> BatchLookup<'a, R> {
        let began = Instant::now();
        let sources: Vec<_> = ids
            .iter()
            .map(|(id, data)| match near_hit::look(engine, id, began) {
                Ok(record) => ReadFrom::Near(record),
                Err(placeholder) => match engine.client.bypass(data) {
                    Some(cause) => ReadFrom::Pending(cause),
                    None => ReadFrom::Store(placeholder),
                },
            })
            .collect();
        let far = ids.iter().zip(&sources);
        let far = far.filter(|(_, place)| matches!(place, ReadFrom::Store(_)));
        let asked: Vec<_> = far.map(|((_, data), _)| data.as_str()).collect();
        let with_ttl = sources
            .iter()
            .any(|place| matches!(place, ReadFrom::Store(Some(_))));
        let mut looks = engine.first_reads(&asked, with_ttl).into_iter();
        let latency = began.elapsed();
        let items = ids.iter().zip(sources).map(|((id, data), place)| {
            let context = context(engine, config, id, began, latency);
            let (recheck, placeholder) = match place {
                ReadFrom::Near(record) => {
                    let found = near_hit::found(engine, &context.span, id, record);
                    return Item::new(context, data, ItemState::Done(found));
                }
                ReadFrom::Pending(cause) => {
                    let request = "read";
                    (Err(Error::Redis { request, cause }), None)
                }
                ReadFrom::Store(placeholder) => (
                    looks.next().expect("an answer to each question"),
                    placeholder,
                ),
            };
            let (state, failure) = match context.first_read(recheck, placeholder) {
                FirstRead::Hit(found) => (ItemState::Done(found), None),
                FirstRead::Due(cached) => (ItemState::Due(cached), None),
                FirstRead::Missed { recheck } => (ItemState::NeedsLease { recheck }, None),
                FirstRead::Unanswered(failure) => {
                    (ItemState::NeedsLease { recheck: true }, Some(failure))
                }
            };
            let mut item = Item::new(context, data, state);
            if let Some(failure) = failure {
                item.degrade(failure);
            }
            item
        });
        BatchLookup {
            engine,
            items: items.collect(),
            pauses: 0,
        }
    }

    /// Goes on until each has its answer, or one an error.
    pub(super) fn answers(
        mut self,
        load: &mut BatchLoader<'_, R>,
    ) -> Result<Vec<Lookup<R>>, Error> {
        while !self.is_done() {
            if let Err(error) = self.round(load) {
                for item in &self.items {
                    if !matches!(item.state, ItemState::Done(_)) {
                        item.context.failed(&error);
                    }
                }
                return Err(error);
            }
        }
        let answers = self.items.into_iter().filter_map(|item| match item.state {
            ItemState::Done(found) => Some(found),
            _ => None,
        });
        Ok(answers.collect())
    }

    fn is_done(&self) -> bool {
        let mut items = self.items.iter();
        items.all(|item| matches!(item.state, ItemState::Done(_)))
    }

    fn round(&mut self, load: &mut BatchLoader<'_, R>) -> Result<(), Error> {
        self.refresh();
        self.ask()?;
        self.items.iter_mut().try_for_each(Item::start_degraded)?;
        self.load(load)?;
        self.wait()
    }

    /// Asks for the leases of those whose record is there and should be loaded anew.
    fn refresh(&mut self) {
        let due = self.items.iter_mut().filter_map(|item| {
            let left = item.due()?;
            Some((item.token(), left, item))
        });
        let mut due: Vec<_> = due.collect();
        let lease_ttl = self.engine.settings.lease_ttl;
        let mut failure = None;
        for some in due.chunks_mut(LEASES) {
            if failure.is_some() {
                // They would wait as long for the same answer.
                for (.., item) in some {
                    item.serve_cached();
                }
                continue;
            }
            let questions = some.iter().map(|(token, left, item)| RefreshRequest {
                keys: item.keys(),
                token: *token,
                left: *left,
            });
            let questions: Vec<_> = questions.collect();
            let answers = self.engine.ask_all("refresh", questions.len(), |store| {
                store.refresh_all(&questions, lease_ttl)
            });
            failure = common_failure(&answers);
            for ((.., item), answer) in some.iter_mut().zip(answers) {
                item.may_refresh(answer);
            }
        }
    }

    /// Asks for the leases of those that want one.
    fn ask(&mut self) -> Result<(), Error> {
        let context = self.items.iter_mut().filter_map(|item| match item.state {
            ItemState::NeedsLease { recheck } => Some((item.token(), recheck, item)),
            _ => None,
        });
        let mut context: Vec<_> = context.collect();
        let lease_ttl = self.engine.settings.lease_ttl;
        let mut failure = None;
        for some in context.chunks_mut(LEASES) {
            if let Some(failure) = &failure {
                // They would wait as long for the same answer.
                for (.., item) in some {
                    item.degrade(Error::clone(failure));
                }
                continue;
            }
            let questions = some.iter().map(|(token, recheck, item)| AcquireRequest {
                keys: item.keys(),
                token: *token,
                recheck: *recheck,
            });
            let questions: Vec<_> = questions.collect();
            let answers = self.engine.ask_all("acquire", questions.len(), |store| {
                store.acquire_all(&questions, lease_ttl)
            });
            failure = common_failure(&answers);
            let told = some.iter_mut().zip(answers);
            // All of them, also where one is told of an error: what is ours by now must be given back.
            let told: Vec<_> = told
                .map(|((.., item), answer)| item.on_acquire_answer(answer))
                .collect();
            told.into_iter().collect::<Result<(), _>>()?;
        }
        Ok(())
    }

    /// Loads all that is to be loaded, in one call; tells the followers, then fills or releases.
    fn load(&mut self, load: &mut BatchLoader<'_, R>) -> Result<(), Error> {
        let leads = |item: &Item<'_, R>| matches!(item.state, ItemState::Loading(_));
        if !self.items.iter().any(leads) {
            return Ok(());
        }
        // Others of this process would wait for our loader, and not for the lease we watch.
        self.items.iter_mut().for_each(Item::unwatch);
        let ids = self.items.iter().filter(|item| leads(item));
        let ids: Vec<_> = ids.map(|item| item.context.id).collect();
        let mut loaded = run_for(self.engine, &ids, load);

        let mut led = Vec::with_capacity(ids.len());
        for item in &mut self.items {
            if let ItemState::Loading(permit) = &item.state {
                permit.unregister();
                let entry = match &mut loaded {
                    Ok(found) => {
                        let loaded = Loaded::new(found.remove(item.context.id));
                        Ok(if permit.is_to_fill() {
                            item.context.loaded_entry(loaded)
                        } else {
                            LoadedEntry::uncached(loaded)
                        })
                    }
                    Err(error) => Err(error.clone()),
                };
                let outcome = entry.as_ref().map(|entry| entry.record.clone());
                permit.complete(outcome.map_err(Clone::clone));
                led.push(LoadedItem { item, entry });
            }
        }
        let fill_failed = Self::finish(self.engine, &led);
        let mut error = None;
        for (LoadedItem { item, entry }, fill_failed) in led.into_iter().zip(fill_failed) {
            error = item.loaded(entry, fill_failed).err().or(error);
        }
        error.map_or(Ok(()), Err)
    }

    /// Fills what was loaded under a lease, and gives the others back. Says of each whether its
    /// fill failed.
    fn finish(engine: &Engine<R>, led: &[LoadedItem<'_, '_, R>]) -> Vec<bool> {
        let nothing = Fields::new();
        let leases = led
            .iter()
            .enumerate()
            .filter_map(|(at, LoadedItem { item, entry })| {
                let (leader, back_off) = match &item.state {
                    ItemState::Loading(LoadPermit::Lease(leader, _)) => (leader, None),
                    ItemState::Loading(LoadPermit::Refresh(leader, ..)) => {
                        (leader, Some(engine.settings.lease_ttl))
                    }
                    _ => return None,
                };
                let finish = Completion {
                    keys: item.keys(),
                    token: *leader.key(),
                    end: match (entry, back_off) {
                        (Ok(entry), _) => {
                            let (total_ttl, fields) = entry.stored(&nothing);
                            CompletionKind::Fill(total_ttl, fields)
                        }
                        (Err(_), None) => CompletionKind::Release,
                        (Err(_), Some(pause)) => CompletionKind::BackOff(pause),
                    },
                };
                Some((at, finish))
            });
        let (sources, loads): (Vec<_>, Vec<_>) = leases.unzip();
        let mut fills = false;
        for load in &loads {
            if let CompletionKind::Fill(total_ttl, _) = load.end {
                engine.record_max_ttl(total_ttl);
                fills = true;
            }
        }
        let request = if fills { "fill" } else { "release" };
        let finished = engine.ask_all(request, loads.len(), |store| store.finish_all(&loads));
        // A failure here costs the next caller a load and this one nothing. Where a release fails,
        // the lease lapses.
        let mut fill_failed = vec![false; led.len()];
        for ((place, load), finished) in sources.into_iter().zip(&loads).zip(finished) {
            let CompletionKind::Fill(_, record) = load.end else {
                continue;
            };
            match finished {
                Ok(false) if !record.is_empty() => {
                    let context = &led[place].item.context;
                    context.report(&Event::FillRefused { id: context.id });
                }
                Ok(_) => {}
                Err(_) => fill_failed[place] = true,
            }
        }
        fill_failed
    }

    /// How long to pause before it asks again for leases of other processes: until the first of them may have lapsed,
    /// at most. `None`: there are none.
    fn pause(&mut self, polls: u32) -> Option<Duration> {
        let left = self.items.iter().filter_map(Item::left).min()?;
        let mut held = self.items.iter_mut().filter(|item| item.left().is_some());
        held.next().map(|item| item.pause(polls, left))
    }

    /// Waits for others, until it has something to do again. By now it leads nothing.
    fn wait(&mut self) -> Result<(), Error> {
        self.items.iter_mut().try_for_each(Item::start_watch)?;
        let polls = self.pauses + 1;
        let poll_at = self.pause(polls).map(|pause| Instant::now() + pause);
        // Of those that it follows, none must wait for another's end to be looked at.
        let follows = self.items.iter().filter(|item| item.is_following()).count();
        let in_turn = Instant::now() + self.engine.settings.poll;
        let mut until = poll_at.or((follows > 1).then_some(in_turn));
        let mut is_free = true;
        for item in &mut self.items {
            if item.follows(until)? {
                // A look at the others, and no more: what is free now must not wait for them.
                until = Some(Instant::now());
                is_free = false;
            }
        }
        if let Some(poll_at) = poll_at {
            if is_free {
                thread::sleep(poll_at.saturating_duration_since(Instant::now()));
            }
            self.pauses = polls;
            for item in &mut self.items {
                if let ItemState::Held { .. } = item.state {
                    // What the holder fills is worth a look again.
                    item.state = ItemState::NeedsLease { recheck: true };
                }
            }
        }
        Ok(())
    }
}

/// What all answers are, if they are one failure: the store does not answer, or refuses whatever is asked.
fn common_failure<T>(answers: &[Result<T, Error>]) -> Option<Error> {
    let mut failures = answers.iter().map_while(|answer| answer.as_ref().err());
    failures.nth(answers.len().saturating_sub(1)).cloned()
}
