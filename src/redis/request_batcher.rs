//! Callers who want a connection when none is free, and share the next one.
//!
//! The first of them becomes the *envoy*: it waits for a connection, and whoever comes meanwhile leaves a question in
//! the line and sleeps. The envoy takes the line along, asks for all, and hands out the answers as they come. From
//! that moment on the next who finds no free connection is the envoy of the next line. And whoever comes in the very moment in
//! which a connection is free takes the line along as well: else those who share nothing, and come as often, would have
//! all connections before an envoy, who is one of many that wait, has one. (The idea is *flat combining*: Hendler, Incze,
//! Shavit and Tzafrir, SPAA 2010.)
//!
//! Guarantees that
//!
//! - where a question is in line, exactly one thread is the envoy, or has been called to be: one that gets no connection, or
//!   panics, calls the next;
//! - what is asked for somebody is asked after it came, and once;
//! - whoever waits does so until its own deadline and no longer, whatever becomes of the envoy.
//!
//! Knows nothing of connections, questions and answers.
//!
//! # Lock order
//!
//! The line, then one place. Neither is held while anything is sent.

use std::{
    collections::VecDeque,
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use crate::util::sync::{Condvar, Instant, Mutex};

/// How many are taken along, at most, whatever they ask.
const ALL: usize = 128;

/// Those who wait for a connection to one store.
#[derive(Debug)]
pub(crate) struct Crowd<Q, A> {
    /// Empty where there is no envoy, who isn't in it.
    line: Mutex<Line<Q, A>>,
    /// Changed by who has locked the line only. Others may look: who is told the wrong thing stands in line for nothing, or
    /// jumps it. So it is `Relaxed` everywhere; the lock orders the rest.
    has_envoy: AtomicBool,
}

type Line<Q, A> = VecDeque<Arc<Place<Q, A>>>;

/// One who waits.
#[derive(Debug)]
struct Place<Q, A> {
    question: Q,
    stand: Mutex<Stand<A>>,
    /// Notified, under no lock, when it is called, answered or lost.
    turn: Condvar,
}

#[derive(Debug)]
enum Stand<A> {
    /// In the line.
    Waiting,
    /// An envoy has taken the question along.
    Taken,
    /// It is the next envoy.
    Called,
    Answered(A),
    /// Its envoy came to nothing.
    Lost,
    /// Its time was over. Nobody is there any more.
    Left,
}

/// Until when one waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// To be taken along.
    pub(crate) in_line: Instant,
    /// To be answered.
    pub(crate) in_all: Instant,
}

/// What the wait came to.
#[derive(Debug)]
pub(crate) enum Turn<'a, Q, A> {
    /// Somebody asked.
    Answered(A),
    /// The caller is to ask, for itself and for all who come meanwhile.
    Envoy(Envoy<'a, Q, A>),
    /// Nobody did in time.
    Late,
    /// Somebody did, or was about to, and there was no answer in time.
    Unanswered,
}

impl<Q, A> Default for Crowd<Q, A> {
    fn default() -> Crowd<Q, A> {
        Crowd {
            line: Mutex::new(VecDeque::new()),
            has_envoy: AtomicBool::new(false),
        }
    }
}

impl<Q, A> Crowd<Q, A> {
    /// Whether somebody waits.
    pub(crate) fn is_there(&self) -> bool {
        self.has_envoy.load(Relaxed)
    }

    /// Gets in line. Returns at once where nobody waits yet.
    pub(crate) fn join(&self, question: Q, patience: Patience) -> Turn<'_, Q, A> {
        let place = Place::new(question, Stand::Waiting);
        {
            let mut line = self.line.lock();
            if self.has_envoy.swap(true, Relaxed) {
                line.push_back(Arc::clone(&place));
            } else {
                *place.stand.lock() = Stand::Called;
            }
        }
        match place.wait(patience) {
            Stand::Answered(answer) => Turn::Answered(answer),
            Stand::Called => Turn::Envoy(Envoy { crowd: self, place }),
            Stand::Taken | Stand::Lost => Turn::Unanswered,
            Stand::Waiting | Stand::Left => Turn::Late,
        }
    }

    /// Who has a connection takes along those who wait, as [`Envoy::take`] does.
    pub(crate) fn take(
        &self,
        question: Q,
        most: usize,
        same: impl Fn(&Q, &Q) -> bool,
    ) -> Party<Q, A> {
        self.party(Place::new(question, Stand::Taken), most, same)
    }

    fn party(
        &self,
        own: Arc<Place<Q, A>>,
        most: usize,
        same: impl Fn(&Q, &Q) -> bool,
    ) -> Party<Q, A> {
        let waiting: Vec<_> = {
            let mut line = self.line.lock();
            let count = line.len().min(ALL);
            line.drain(..count).collect()
        };
        // Without that lock, which those who come wait for.
        let envoy = Arc::clone(&own);
        let mut asked = VecDeque::from([Asked::new(own)]);
        let mut left = Vec::new();
        for place in waiting {
            let is_full = asked.len() >= most;
            let twin = |asked: &&mut Asked<Q, A>| same(&asked.place.question, &place.question);
            match asked.iter_mut().find(twin) {
                // Who leaves at this moment is not asked for.
                Some(asked) if place.change(Stand::Taken) => asked.twins.push(place),
                None if is_full => left.push(place),
                None if place.change(Stand::Taken) => asked.push_back(Asked::new(place)),
                _ => {}
            }
        }
        if !left.is_empty() {
            let mut line = self.line.lock();
            for place in left.into_iter().rev() {
                line.push_front(place);
            }
            // The envoy may have been here meanwhile, and seen nobody.
            if !self.has_envoy.swap(true, Relaxed) {
                self.call_next(&mut line);
            }
        }
        Party { envoy, asked }
    }

    /// The envoy has gone, with whom it took: calls the next one, if there is one.
    fn call_next(&self, line: &mut Line<Q, A>) {
        while let Some(next) = line.pop_front() {
            if next.change(Stand::Called) {
                return;
            }
        }
        self.has_envoy.store(false, Relaxed);
    }
}

impl<Q, A> Place<Q, A> {
    fn new(question: Q, stand: Stand<A>) -> Arc<Place<Q, A>> {
        Arc::new(Place {
            question,
            stand: Mutex::new(stand),
            turn: Condvar::new(),
        })
    }

    /// Waits until somebody says something, or its time is over.
    fn wait(&self, patience: Patience) -> Stand<A> {
        let mut stand = self.stand.lock();
        loop {
            let until = match &*stand {
                Stand::Waiting => patience.in_line,
                Stand::Taken => patience.in_all,
                Stand::Called => return Stand::Called,
                // Whoever would take it along, call or answer it looks here first, under the lock.
                _ => return mem::replace(&mut *stand, Stand::Left),
            };
            if Instant::now() >= until {
                return mem::replace(&mut *stand, Stand::Left);
            }
            stand = self.turn.wait_until(stand, until);
        }
    }

    /// False: there is nobody any more.
    fn change(&self, to: Stand<A>) -> bool {
        let is_news = !matches!(to, Stand::Taken);
        {
            let mut stand = self.stand.lock();
            if matches!(*stand, Stand::Left) {
                return false;
            }
            *stand = to;
        }
        // Who sleeps looked at the stand under its lock, and fell asleep in the step that freed it.
        if is_news {
            self.turn.notify_all();
        }
        true
    }
}

/// The right and the duty to take the line along. Dropped before, it calls the next.
#[derive(Debug)]
pub(crate) struct Envoy<'a, Q, A> {
    crowd: &'a Crowd<Q, A>,
    place: Arc<Place<Q, A>>,
}

impl<Q, A> Envoy<'_, Q, A> {
    /// Takes along those who are first in line, with `most` different questions, its own the first of them; who asks the same is
    /// answered the same. And calls the next of those who are left. To be called with a connection in hand, since what is asked
    /// must be asked after they came.
    pub(crate) fn take(self, most: usize, same: impl Fn(&Q, &Q) -> bool) -> Party<Q, A> {
        self.crowd.party(Arc::clone(&self.place), most, same)
    }
}

impl<Q, A> Drop for Envoy<'_, Q, A> {
    fn drop(&mut self) {
        self.crowd.call_next(&mut self.crowd.line.lock());
    }
}

/// Those whom an envoy asks for, the envoy first, and who have no answer yet. Those who are left when it is dropped are told that
/// they are late.
#[derive(Debug)]
pub(crate) struct Party<Q, A> {
    envoy: Arc<Place<Q, A>>,
    asked: VecDeque<Asked<Q, A>>,
}

/// One whose question is asked, and those who ask the same.
#[derive(Debug)]
struct Asked<Q, A> {
    place: Arc<Place<Q, A>>,
    twins: Vec<Arc<Place<Q, A>>>,
}

impl<Q, A> Asked<Q, A> {
    fn new(place: Arc<Place<Q, A>>) -> Asked<Q, A> {
        let twins = Vec::new();
        Asked { place, twins }
    }

    fn places(self) -> impl Iterator<Item = Arc<Place<Q, A>>> {
        [self.place].into_iter().chain(self.twins)
    }
}

impl<Q, A: Clone> Party<Q, A> {
    /// What is to be asked, in order.
    pub(crate) fn questions(&self) -> impl Iterator<Item = &Q> {
        self.asked.iter().map(|asked| &asked.place.question)
    }

    /// The first of them.
    pub(crate) fn first(&self) -> Option<&Q> {
        self.questions().next()
    }

    /// Answers it.
    pub(crate) fn answer(&mut self, answer: A) {
        if let Some(Asked { place, twins }) = self.asked.pop_front() {
            for twin in twins {
                twin.change(Stand::Answered(answer.clone()));
            }
            place.change(Stand::Answered(answer));
        }
    }

    /// Answers all who are left, the first of them with this one.
    pub(crate) fn answer_all(&mut self, first: A, others: impl Fn() -> A) {
        let mut first = Some(first);
        for place in mem::take(&mut self.asked)
            .into_iter()
            .flat_map(Asked::places)
        {
            place.change(Stand::Answered(first.take().unwrap_or_else(&others)));
        }
    }

    /// The envoy's own answer.
    pub(crate) fn end(self) -> Option<A> {
        match mem::replace(&mut *self.envoy.stand.lock(), Stand::Left) {
            Stand::Answered(answer) => Some(answer),
            _ => None,
        }
    }
}

impl<Q, A> Drop for Party<Q, A> {
    fn drop(&mut self) {
        for place in self.asked.drain(..).flat_map(Asked::places) {
            place.change(Stand::Lost);
        }
    }
}
