//! Callers who want a connection when none is free, and share the next one.
//!
//! The first of them becomes the *envoy*: it waits for a connection, and whoever comes meanwhile leaves a question in
//! the line and sleeps. The envoy takes the line along, asks for all, and hands out the answers as they come. From
//! that moment on the next who finds no free connection is the envoy of the next line. (The idea is *flat combining*: Hendler,
//! Incze, Shavit and Tzafrir, SPAA 2010.)
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

use crate::sync::{Condvar, Instant, Mutex};

/// Those who wait for a connection to one store.
#[derive(Debug)]
pub(crate) struct Crowd<Q, A> {
    line: Mutex<Line<Q, A>>,
    /// What the line says, for those who would rather not lock it. Who is told the wrong thing stands in line for nothing,
    /// or jumps it.
    has_envoy: AtomicBool,
}

#[derive(Debug)]
struct Line<Q, A> {
    has_envoy: bool,
    /// Empty where there is no envoy, who isn't in it.
    queue: VecDeque<Arc<Place<Q, A>>>,
}

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
    /// Nobody did in time. What was to be asked may be under way.
    Late,
}

impl<Q, A> Default for Crowd<Q, A> {
    fn default() -> Crowd<Q, A> {
        let (has_envoy, queue) = (false, VecDeque::new());
        Crowd {
            line: Mutex::new(Line { has_envoy, queue }),
            has_envoy: AtomicBool::new(has_envoy),
        }
    }
}

impl<Q, A> Crowd<Q, A> {
    /// Whether somebody waits.
    pub(crate) fn is_there(&self) -> bool {
        // Relaxed: nothing is read that the writer wrote.
        self.has_envoy.load(Relaxed)
    }

    /// Gets in line. Returns at once where nobody waits yet.
    pub(crate) fn join(&self, question: Q, patience: Patience) -> Turn<'_, Q, A> {
        let place = Arc::new(Place {
            question,
            stand: Mutex::new(Stand::Waiting),
            turn: Condvar::new(),
        });
        {
            let mut line = self.line.lock();
            if line.has_envoy {
                line.queue.push_back(Arc::clone(&place));
            } else {
                self.set_envoy(&mut line, true);
                *place.stand.lock() = Stand::Called;
            }
        }
        match place.wait(patience) {
            Stand::Answered(answer) => Turn::Answered(answer),
            Stand::Called => Turn::Envoy(Envoy { crowd: self, place }),
            _ => Turn::Late,
        }
    }

    fn set_envoy(&self, line: &mut Line<Q, A>, has_envoy: bool) {
        line.has_envoy = has_envoy;
        self.has_envoy.store(has_envoy, Relaxed);
    }

    /// The envoy has gone, with whom it took: calls the next one, if there is one.
    fn call_next(&self, line: &mut Line<Q, A>) {
        while let Some(next) = line.queue.pop_front() {
            if next.change(Stand::Called) {
                return;
            }
        }
        self.set_envoy(line, false);
    }
}

impl<Q, A> Place<Q, A> {
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
    /// Takes along those who are first in line, so many with the envoy itself, who is the first of them; and calls the next of those
    /// who are left. To be called with a connection in hand, since nobody else's will be theirs.
    pub(crate) fn take(self, most: usize) -> Party<Q, A> {
        let others: Vec<_> = {
            let queue = &mut self.crowd.line.lock().queue;
            let count = queue.len().min(most - 1);
            queue.drain(..count).collect()
        };
        // Without that lock, which those who come wait for. Who leaves at this moment is not asked for.
        let mut places = VecDeque::with_capacity(1 + others.len());
        places.push_back(Arc::clone(&self.place));
        places.extend(
            others
                .into_iter()
                .filter(|place| place.change(Stand::Taken)),
        );
        Party {
            envoy: Arc::clone(&self.place),
            places,
        }
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
    places: VecDeque<Arc<Place<Q, A>>>,
}

impl<Q, A> Party<Q, A> {
    /// What is to be asked, in order.
    pub(crate) fn questions(&self) -> impl Iterator<Item = &Q> {
        self.places.iter().map(|place| &place.question)
    }

    /// The first of them.
    pub(crate) fn first(&self) -> Option<&Q> {
        self.questions().next()
    }

    /// Answers it.
    pub(crate) fn answer(&mut self, answer: A) {
        if let Some(place) = self.places.pop_front() {
            place.change(Stand::Answered(answer));
        }
    }

    /// Answers all who are left.
    pub(crate) fn answer_all(&mut self, answer: impl Fn() -> A) {
        while !self.places.is_empty() {
            self.answer(answer());
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
        for place in self.places.drain(..) {
            place.change(Stand::Lost);
        }
    }
}
