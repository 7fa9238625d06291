//! Callers who want a connection when none is free, and share the next one.
//!
//! The first of them becomes the *combiner*: it waits for a connection, and whoever comes meanwhile leaves a question in
//! the queue and sleeps. The combiner takes the queue along, asks for all, and hands out the answers as they come. From
//! that moment on the next who finds no free connection is the combiner of the next queue. And whoever comes in the very moment in
//! which a connection is free takes the queue along as well: else those who share nothing, and come as often, would have
//! all connections before an combiner, who is one of many that wait, has one. (The idea is *flat combining*: Hendler, Incze,
//! Shavit and Tzafrir, SPAA 2010.)
//!
//! Guarantees that
//!
//! - where a question is in queue, exactly one thread is the combiner, or has been called to be: one that gets no connection, or
//!   panics, calls the next;
//! - what is asked for somebody is asked after it came, and once;
//! - whoever waits does so until its own deadline and no longer, whatever becomes of the combiner.
//!
//! Knows nothing of connections, questions and answers.
//!
//! # Lock order
//!
//! The queue, then one request. Neither is held while anything is sent.

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
pub(crate) struct CombiningQueue<Q, A> {
    /// Empty where there is no combiner, who isn't in it.
    queue: Mutex<Queue<Q, A>>,
    /// Changed by who has locked the queue only. Others may look: who is told the wrong thing stands in queue for nothing, or
    /// jumps it. So it is `Relaxed` everywhere; the lock orders the rest.
    has_combiner: AtomicBool,
}

type Queue<Q, A> = VecDeque<Arc<QueuedRequest<Q, A>>>;

/// One who waits.
#[derive(Debug)]
struct QueuedRequest<Q, A> {
    question: Q,
    state: Mutex<RequestState<A>>,
    /// Notified, under no lock, when it is called, answered or lost.
    changed: Condvar,
}

#[derive(Debug)]
enum RequestState<A> {
    /// In the queue.
    Waiting,
    /// An combiner has taken the question along.
    Taken,
    /// It is the next combiner.
    Called,
    Answered(A),
    /// Its combiner came to nothing.
    Lost,
    /// Its time was over. Nobody is there any more.
    Left,
}

/// Until when one waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    /// To be taken along.
    pub(crate) to_be_sent: Instant,
    /// To be answered.
    pub(crate) to_be_answered: Instant,
}

/// What the wait came to.
#[derive(Debug)]
pub(crate) enum JoinOutcome<'a, Q, A> {
    /// Somebody asked.
    Answered(A),
    /// The caller is to ask, for itself and for all who come meanwhile.
    Combiner(Combiner<'a, Q, A>),
    /// Nobody did in time.
    Late,
    /// Somebody did, or was about to, and there was no answer in time.
    Unanswered,
}

impl<Q, A> Default for CombiningQueue<Q, A> {
    fn default() -> CombiningQueue<Q, A> {
        CombiningQueue {
            queue: Mutex::new(VecDeque::new()),
            has_combiner: AtomicBool::new(false),
        }
    }
}

impl<Q, A> CombiningQueue<Q, A> {
    /// Whether somebody waits.
    pub(crate) fn has_waiters(&self) -> bool {
        self.has_combiner.load(Relaxed)
    }

    /// Gets in queue. Returns at once where nobody waits yet.
    pub(crate) fn join(&self, question: Q, deadlines: Deadlines) -> JoinOutcome<'_, Q, A> {
        let request = QueuedRequest::new(question, RequestState::Waiting);
        {
            let mut queue = self.queue.lock();
            if self.has_combiner.swap(true, Relaxed) {
                queue.push_back(Arc::clone(&request));
            } else {
                *request.state.lock() = RequestState::Called;
            }
        }
        match request.wait(deadlines) {
            RequestState::Answered(answer) => JoinOutcome::Answered(answer),
            RequestState::Called => JoinOutcome::Combiner(Combiner {
                queue: self,
                request,
            }),
            RequestState::Taken | RequestState::Lost => JoinOutcome::Unanswered,
            RequestState::Waiting | RequestState::Left => JoinOutcome::Late,
        }
    }

    /// Who has a connection takes along those who wait, as [`Combiner::take`] does.
    pub(crate) fn take(
        &self,
        question: Q,
        most: usize,
        same: impl Fn(&Q, &Q) -> bool,
    ) -> Batch<Q, A> {
        self.batch(
            QueuedRequest::new(question, RequestState::Taken),
            most,
            same,
        )
    }

    fn batch(
        &self,
        own: Arc<QueuedRequest<Q, A>>,
        most: usize,
        same: impl Fn(&Q, &Q) -> bool,
    ) -> Batch<Q, A> {
        let waiting: Vec<_> = {
            let mut queue = self.queue.lock();
            let count = queue.len().min(ALL);
            queue.drain(..count).collect()
        };
        // Without that lock, which those who come wait for.
        let combiner = Arc::clone(&own);
        let mut asked = VecDeque::from([BatchEntry::new(own)]);
        let mut left = Vec::new();
        for request in waiting {
            let is_full = asked.len() >= most;
            let duplicate =
                |asked: &&mut BatchEntry<Q, A>| same(&asked.request.question, &request.question);
            match asked.iter_mut().find(duplicate) {
                // Who leaves at this moment is not asked for.
                Some(asked) if request.change(RequestState::Taken) => {
                    asked.duplicates.push(request);
                }
                None if is_full => left.push(request),
                None if request.change(RequestState::Taken) => {
                    asked.push_back(BatchEntry::new(request));
                }
                _ => {}
            }
        }
        if !left.is_empty() {
            let mut queue = self.queue.lock();
            for request in left.into_iter().rev() {
                queue.push_front(request);
            }
            // The combiner may have been here meanwhile, and seen nobody.
            if !self.has_combiner.swap(true, Relaxed) {
                self.call_next(&mut queue);
            }
        }
        Batch { combiner, asked }
    }

    /// The combiner has gone, with whom it took: calls the next one, if there is one.
    fn call_next(&self, queue: &mut Queue<Q, A>) {
        while let Some(next) = queue.pop_front() {
            if next.change(RequestState::Called) {
                return;
            }
        }
        self.has_combiner.store(false, Relaxed);
    }
}

impl<Q, A> QueuedRequest<Q, A> {
    fn new(question: Q, state: RequestState<A>) -> Arc<QueuedRequest<Q, A>> {
        Arc::new(QueuedRequest {
            question,
            state: Mutex::new(state),
            changed: Condvar::new(),
        })
    }

    /// Waits until somebody says something, or its time is over.
    fn wait(&self, deadlines: Deadlines) -> RequestState<A> {
        let mut state = self.state.lock();
        loop {
            let until = match &*state {
                RequestState::Waiting => deadlines.to_be_sent,
                RequestState::Taken => deadlines.to_be_answered,
                RequestState::Called => return RequestState::Called,
                // Whoever would take it along, call or answer it looks here first, under the lock.
                _ => return mem::replace(&mut *state, RequestState::Left),
            };
            if Instant::now() >= until {
                return mem::replace(&mut *state, RequestState::Left);
            }
            state = self.changed.wait_until(state, until);
        }
    }

    /// False: there is nobody any more.
    fn change(&self, to: RequestState<A>) -> bool {
        let is_news = !matches!(to, RequestState::Taken);
        {
            let mut state = self.state.lock();
            if matches!(*state, RequestState::Left) {
                return false;
            }
            *state = to;
        }
        // Who sleeps looked at the state under its lock, and fell asleep in the step that freed it.
        if is_news {
            self.changed.notify_all();
        }
        true
    }
}

/// The right and the duty to take the queue along. Dropped before, it calls the next.
#[derive(Debug)]
pub(crate) struct Combiner<'a, Q, A> {
    queue: &'a CombiningQueue<Q, A>,
    request: Arc<QueuedRequest<Q, A>>,
}

impl<Q, A> Combiner<'_, Q, A> {
    /// Takes along those who are first in queue, with `most` different questions, its own the first of them; who asks the same is
    /// answered the same. And calls the next of those who are left. To be called with a connection in hand, since what is asked
    /// must be asked after they came.
    pub(crate) fn take(self, most: usize, same: impl Fn(&Q, &Q) -> bool) -> Batch<Q, A> {
        self.queue.batch(Arc::clone(&self.request), most, same)
    }
}

impl<Q, A> Drop for Combiner<'_, Q, A> {
    fn drop(&mut self) {
        self.queue.call_next(&mut self.queue.queue.lock());
    }
}

/// Those whom an combiner asks for, the combiner first, and who have no answer yet. Those who are left when it is dropped are told that
/// they are late.
#[derive(Debug)]
pub(crate) struct Batch<Q, A> {
    combiner: Arc<QueuedRequest<Q, A>>,
    asked: VecDeque<BatchEntry<Q, A>>,
}

/// One whose question is asked, and those who ask the same.
#[derive(Debug)]
struct BatchEntry<Q, A> {
    request: Arc<QueuedRequest<Q, A>>,
    duplicates: Vec<Arc<QueuedRequest<Q, A>>>,
}

impl<Q, A> BatchEntry<Q, A> {
    fn new(request: Arc<QueuedRequest<Q, A>>) -> BatchEntry<Q, A> {
        let duplicates = Vec::new();
        BatchEntry {
            request,
            duplicates,
        }
    }

    fn requests(self) -> impl Iterator<Item = Arc<QueuedRequest<Q, A>>> {
        [self.request].into_iter().chain(self.duplicates)
    }
}

impl<Q, A: Clone> Batch<Q, A> {
    /// What is to be asked, in order.
    pub(crate) fn questions(&self) -> impl Iterator<Item = &Q> {
        self.asked.iter().map(|asked| &asked.request.question)
    }

    /// The first of them.
    pub(crate) fn first(&self) -> Option<&Q> {
        self.questions().next()
    }

    /// Answers it.
    pub(crate) fn answer(&mut self, answer: A) {
        if let Some(BatchEntry {
            request,
            duplicates,
        }) = self.asked.pop_front()
        {
            for duplicate in duplicates {
                duplicate.change(RequestState::Answered(answer.clone()));
            }
            request.change(RequestState::Answered(answer));
        }
    }

    /// Answers all who are left, the first of them with this one.
    pub(crate) fn answer_all(&mut self, first: A, others: impl Fn() -> A) {
        let mut first = Some(first);
        for request in mem::take(&mut self.asked)
            .into_iter()
            .flat_map(BatchEntry::requests)
        {
            request.change(RequestState::Answered(first.take().unwrap_or_else(&others)));
        }
    }

    /// The combiner's own answer.
    pub(crate) fn end(self) -> Option<A> {
        match mem::replace(&mut *self.combiner.state.lock(), RequestState::Left) {
            RequestState::Answered(answer) => Some(answer),
            _ => None,
        }
    }
}

impl<Q, A> Drop for Batch<Q, A> {
    fn drop(&mut self) {
        for request in self.asked.drain(..).flat_map(BatchEntry::requests) {
            request.change(RequestState::Lost);
        }
    }
}
