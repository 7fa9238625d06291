//! The rounds of a batch: look, ask, load, wait.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Item, Load, Named, asking, run_for,
    stand::{Right, Stand},
};
use crate::{
    answer::{Lookup, Source},
    error::Error,
    event::Event,
    inner::Inner,
    loaded::Loaded,
    lookup::{Seen, asking::Wishes, load::Ran},
    store::{Finish, Question},
};

/// Some lookups, each of another record.
pub(super) struct Batch<'a, R> {
    inner: &'a Inner<R>,
    items: Vec<Item<'a, R>>,
    /// How often it has paused.
    pauses: u32,
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
        let causes: Vec<_> = ids
            .iter()
            .map(|(_, data)| inner.link.bypass(data))
            .collect();
        let unless_owed = ids.iter().zip(&causes).filter(|(_, cause)| cause.is_none());
        let asked: Vec<_> = unless_owed.map(|((_, data), _)| data.as_str()).collect();
        let read = inner.ask_all("read", asked.len(), |store| store.read_all(&asked));
        let mut read = read.into_iter();
        let latency = began.elapsed();
        let items = ids.iter().zip(causes).map(|((id, data), cause)| {
            let asking = asking(inner, wishes, id, began, latency);
            let entry = match cause {
                Some(cause) => {
                    let request = "read";
                    Err(Error::Redis { request, cause })
                }
                None => read.next().expect("an answer to each question"),
            };
            let (stand, failure) = match asking.seen(entry) {
                Seen::Hit(found) => (Stand::Done(found), None),
                Seen::Missed { look } => (Stand::Asks { look }, None),
                Seen::Unanswered(failure) => (Stand::Asks { look: true }, Some(failure)),
            };
            let mut item = Item::new(asking, data.clone(), stand);
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
        self.ask()?;
        self.items.iter_mut().try_for_each(Item::goes_alone)?;
        self.load(load)?;
        self.wait()
    }

    /// Asks for the leases of those that want one.
    fn ask(&mut self) -> Result<(), Error> {
        let asking = self.items.iter_mut().filter_map(|item| match item.stand {
            Stand::Asks { look } => Some((item.token(), look, item)),
            _ => None,
        });
        let mut asking: Vec<_> = asking.collect();
        let questions = asking.iter().map(|(token, look, item)| Question {
            keys: &item.keys,
            token: *token,
            look: *look,
        });
        let questions: Vec<_> = questions.collect();
        let lease_ttl = self.inner.settings.lease_ttl;
        let answers = self.inner.ask_all("acquire", questions.len(), |store| {
            store.acquire_all(&questions, lease_ttl)
        });
        let told = asking.iter_mut().zip(answers);
        // All of them, also where one is told of an error: what is ours by now must be given back.
        let told: Vec<_> = told.map(|((.., item), answer)| item.told(answer)).collect();
        told.into_iter().collect()
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
                    Ok(found) => item.asking.ran(Loaded::new(found.remove(item.asking.id))),
                    Err(error) => Err(error.clone()),
                };
                let outcome = ran.as_ref().map(|ran| ran.record.clone());
                right.land(outcome.map_err(Clone::clone));
                led.push(Led { item, ran });
            }
        }
        Self::finish(self.inner, &led);
        let mut error = None;
        let mut answers = Vec::with_capacity(led.len());
        for Led { item, ran } in led {
            let stand = std::mem::replace(&mut item.stand, Stand::Asks { look: true });
            let degraded_by = match stand {
                Stand::Leads(Right::Lease(leader, keeping)) => {
                    keeping.end();
                    drop(leader);
                    None
                }
                Stand::Leads(Right::Without(_, cause)) => Some(cause),
                _ => None,
            };
            match ran {
                Ok(ran) => answers.push((item, ran.record, degraded_by)),
                Err(why) => error = error.or(Some(why)),
            }
        }
        if let Some(error) = error {
            return Err(error);
        }
        for (item, record, degraded_by) in answers {
            let source = match degraded_by {
                Some(_) => Source::Degraded,
                None => Source::Loaded,
            };
            item.answered(record, source, degraded_by);
        }
        Ok(())
    }

    /// Fills what was loaded under a lease, and gives the others back.
    fn finish(inner: &Inner<R>, led: &[Led<'_, '_, R>]) {
        let leases = led.iter().filter_map(|Led { item, ran }| {
            let Stand::Leads(Right::Lease(leader, _)) = &item.stand else {
                return None;
            };
            let entry = ran.as_ref().ok().and_then(|ran| ran.entry.as_ref());
            let finish = Finish {
                keys: &item.keys,
                token: *leader.key(),
                entry: entry.map(|(ttl, fields)| (*ttl, fields)),
            };
            Some((item, finish))
        });
        let (items, loads): (Vec<_>, Vec<_>) = leases.unzip();
        for (ttl, _) in loads.iter().filter_map(|load| load.entry) {
            inner.will_live(ttl);
        }
        let fills = loads.iter().any(|load| load.entry.is_some());
        let request = if fills { "fill" } else { "release" };
        let finished = inner.ask_all(request, loads.len(), |store| store.finish_all(&loads));
        // A failure here costs the next caller a load and this one nothing: the lease lapses.
        for ((item, load), finished) in items.iter().zip(&loads).zip(finished) {
            if let Ok(false) = finished
                && load.entry.is_some()
            {
                let id = item.asking.id;
                item.asking.report(&Event::FillRefused { id });
            }
        }
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
        let mut until = poll_at;
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
