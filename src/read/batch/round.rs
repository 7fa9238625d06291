//! The rounds of a batch: look, ask, load, wait.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Item, Load, Named, asking, run_for,
    state::{Right, Stand},
};
use crate::{
    engine::Inner,
    error::{Cause, Error},
    loaded::Loaded,
    near::Seat,
    outcome::Lookup,
    read::{Seen, load::Ran, lookup::Wishes, near_hit},
    record::fields::Fields,
    store::{Due, End, Finish, Question},
    telemetry::event::Event,
};

/// How many leases are asked for in one request: few enough that the first are being kept long before they lapse, however
/// busy the server and this machine are.
const LEASES: usize = 1_000;

/// Some lookups, each of another record.
pub(super) struct Batch<'a, R> {
    inner: &'a Inner<R>,
    items: Vec<Item<'a, R>>,
    /// How often it has paused.
    pauses: u32,
}

/// Where the first look at a record goes.
enum Place<'a, R> {
    /// Nowhere: here it is.
    Near(Option<Arc<R>>),
    /// Nowhere: the store must not be asked.
    Owed(Cause),
    /// To the store.
    Far(Option<Seat<'a, R>>),
}

/// A lookup that has loaded, and what that came to.
struct Led<'i, 'a, R> {
    item: &'i mut Item<'a, R>,
    ran: Result<Ran<R>, Error>,
}

impl<'a, R: Serialize + DeserializeOwned> Batch<'a, R> {
    /// The first look at all of them, in one request.
    pub(super) fn look(inner: &'a Inner<R>, wishes: Wishes, ids: &'a [Named<'a>]) -> Batch<'a, R> {
        let began = Instant::now();
        let places: Vec<_> = ids
            .iter()
            .map(|(id, data)| match near_hit::look(inner, id, began) {
                Ok(record) => Place::Near(record),
                Err(seat) => match inner.link.bypass(data) {
                    Some(cause) => Place::Owed(cause),
                    None => Place::Far(seat),
                },
            })
            .collect();
        let far = ids.iter().zip(&places);
        let far = far.filter(|(_, place)| matches!(place, Place::Far(_)));
        let asked: Vec<_> = far.map(|((_, data), _)| data.as_str()).collect();
        let with_ttl = places
            .iter()
            .any(|place| matches!(place, Place::Far(Some(_))));
        let mut looks = inner.first_looks(&asked, with_ttl).into_iter();
        let latency = began.elapsed();
        let items = ids.iter().zip(places).map(|((id, data), place)| {
            let asking = asking(inner, wishes, id, began, latency);
            let (look, seat) = match place {
                Place::Near(record) => {
                    let found = near_hit::found(inner, &asking.span, id, record);
                    return Item::new(asking, data, Stand::Done(found));
                }
                Place::Owed(cause) => {
                    let request = "read";
                    (Err(Error::Redis { request, cause }), None)
                }
                Place::Far(seat) => (looks.next().expect("an answer to each question"), seat),
            };
            let (stand, failure) = match asking.seen(look, seat) {
                Seen::Hit(found) => (Stand::Done(found), None),
                Seen::Due(cached) => (Stand::Due(cached), None),
                Seen::Missed { look } => (Stand::Asks { look }, None),
                Seen::Unanswered(failure) => (Stand::Asks { look: true }, Some(failure)),
            };
            let mut item = Item::new(asking, data, stand);
            if let Some(failure) = failure {
                item.degrade(failure);
            }
            item
        });
        Batch {
            inner,
            items: items.collect(),
            pauses: 0,
        }
    }

    /// Goes on until each has its answer, or one an error.
    pub(super) fn answers(mut self, load: &mut Load<'_, R>) -> Result<Vec<Lookup<R>>, Error> {
        while !self.is_done() {
            if let Err(error) = self.round(load) {
                for item in &self.items {
                    if !matches!(item.stand, Stand::Done(_)) {
                        item.asking.failed(&error);
                    }
                }
                return Err(error);
            }
        }
        let answers = self.items.into_iter().filter_map(|item| match item.stand {
            Stand::Done(found) => Some(found),
            _ => None,
        });
        Ok(answers.collect())
    }

    fn is_done(&self) -> bool {
        let mut items = self.items.iter();
        items.all(|item| matches!(item.stand, Stand::Done(_)))
    }

    fn round(&mut self, load: &mut Load<'_, R>) -> Result<(), Error> {
        self.refresh();
        self.ask()?;
        self.items.iter_mut().try_for_each(Item::goes_alone)?;
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
        let lease_ttl = self.inner.settings.lease_ttl;
        let mut failure = None;
        for some in due.chunks_mut(LEASES) {
            if failure.is_some() {
                // They would wait as long for the same answer.
                for (.., item) in some {
                    item.is_served();
                }
                continue;
            }
            let questions = some.iter().map(|(token, left, item)| Due {
                keys: item.keys(),
                token: *token,
                left: *left,
            });
            let questions: Vec<_> = questions.collect();
            let answers = self.inner.ask_all("refresh", questions.len(), |store| {
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
        let asking = self.items.iter_mut().filter_map(|item| match item.stand {
            Stand::Asks { look } => Some((item.token(), look, item)),
            _ => None,
        });
        let mut asking: Vec<_> = asking.collect();
        let lease_ttl = self.inner.settings.lease_ttl;
        let mut failure = None;
        for some in asking.chunks_mut(LEASES) {
            if let Some(failure) = &failure {
                // They would wait as long for the same answer.
                for (.., item) in some {
                    item.degrade(Error::clone(failure));
                }
                continue;
            }
            let questions = some.iter().map(|(token, look, item)| Question {
                keys: item.keys(),
                token: *token,
                look: *look,
            });
            let questions: Vec<_> = questions.collect();
            let answers = self.inner.ask_all("acquire", questions.len(), |store| {
                store.acquire_all(&questions, lease_ttl)
            });
            failure = common_failure(&answers);
            let told = some.iter_mut().zip(answers);
            // All of them, also where one is told of an error: what is ours by now must be given back.
            let told: Vec<_> = told.map(|((.., item), answer)| item.told(answer)).collect();
            told.into_iter().collect::<Result<(), _>>()?;
        }
        Ok(())
    }

    /// Loads all that is to be loaded, in one call; tells the followers, then fills or releases.
    fn load(&mut self, load: &mut Load<'_, R>) -> Result<(), Error> {
        let leads = |item: &Item<'_, R>| matches!(item.stand, Stand::Leads(_));
        if !self.items.iter().any(leads) {
            return Ok(());
        }
        // Others of this process would wait for our loader, and not for the lease we watch.
        self.items.iter_mut().for_each(Item::unwatch);
        let ids = self.items.iter().filter(|item| leads(item));
        let ids: Vec<_> = ids.map(|item| item.asking.id).collect();
        let mut loaded = run_for(self.inner, &ids, load);

        let mut led = Vec::with_capacity(ids.len());
        for item in &mut self.items {
            if let Stand::Leads(right) = &item.stand {
                right.leave();
                let ran = match &mut loaded {
                    Ok(found) => {
                        let loaded = Loaded::new(found.remove(item.asking.id));
                        Ok(if right.is_to_fill() {
                            item.asking.ran(loaded)
                        } else {
                            Ran::uncached(loaded)
                        })
                    }
                    Err(error) => Err(error.clone()),
                };
                let outcome = ran.as_ref().map(|ran| ran.record.clone());
                right.land(outcome.map_err(Clone::clone));
                led.push(Led { item, ran });
            }
        }
        let fill_failed = Self::finish(self.inner, &led);
        let mut error = None;
        for (Led { item, ran }, fill_failed) in led.into_iter().zip(fill_failed) {
            error = item.loaded(ran, fill_failed).err().or(error);
        }
        error.map_or(Ok(()), Err)
    }

    /// Fills what was loaded under a lease, and gives the others back. Says of each whether its
    /// fill failed.
    fn finish(inner: &Inner<R>, led: &[Led<'_, '_, R>]) -> Vec<bool> {
        let nothing = Fields::new();
        let leases = led
            .iter()
            .enumerate()
            .filter_map(|(at, Led { item, ran })| {
                let (leader, back_off) = match &item.stand {
                    Stand::Leads(Right::Lease(leader, _)) => (leader, None),
                    Stand::Leads(Right::Refresh(leader, ..)) => {
                        (leader, Some(inner.settings.lease_ttl))
                    }
                    _ => return None,
                };
                let finish = Finish {
                    keys: item.keys(),
                    token: *leader.key(),
                    end: match (ran, back_off) {
                        (Ok(ran), _) => {
                            let (stay, fields) = ran.stored(&nothing);
                            End::Fill(stay, fields)
                        }
                        (Err(_), None) => End::Release,
                        (Err(_), Some(pause)) => End::BackOff(pause),
                    },
                };
                Some((at, finish))
            });
        let (places, loads): (Vec<_>, Vec<_>) = leases.unzip();
        let mut fills = false;
        for load in &loads {
            if let End::Fill(stay, _) = load.end {
                inner.will_stay(stay);
                fills = true;
            }
        }
        let request = if fills { "fill" } else { "release" };
        let finished = inner.ask_all(request, loads.len(), |store| store.finish_all(&loads));
        // A failure here costs the next caller a load and this one nothing. Where a release fails,
        // the lease lapses.
        let mut fill_failed = vec![false; led.len()];
        for ((place, load), finished) in places.into_iter().zip(&loads).zip(finished) {
            let End::Fill(_, record) = load.end else {
                continue;
            };
            match finished {
                Ok(false) if !record.is_empty() => {
                    let asking = &led[place].item.asking;
                    asking.report(&Event::FillRefused { id: asking.id });
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
        self.items.iter_mut().try_for_each(Item::watches)?;
        let polls = self.pauses + 1;
        let poll_at = self.pause(polls).map(|pause| Instant::now() + pause);
        // Of those that it follows, none must wait for another's end to be looked at.
        let follows = self.items.iter().filter(|item| item.is_following()).count();
        let in_turn = Instant::now() + self.inner.settings.poll;
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
                if let Stand::Held { .. } = item.stand {
                    // What the holder fills is worth a look again.
                    item.stand = Stand::Asks { look: true };
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
