//! Callers that want a connection when none is free share the next one.
//!
//! The first of them becomes the *combiner*: it waits for a connection. Callers that arrive
//! meanwhile leave a request in the queue and sleep. The combiner takes the queue, sends all
//! requests, and hands out the replies as they arrive. From then on, the next caller that finds no
//! free connection is the combiner of the next queue.
//!
//! A caller that finds a free connection also takes the queue. Otherwise callers that share nothing
//! would take every free connection before a combiner gets one. (The idea is *flat combining*:
//! Hendler, Incze, Shavit and Tzafrir, SPAA 2010.)
//!
//! Guarantees that
//!
//! - while a request is queued, exactly one thread is the combiner, or has been called to become
//!   it. A combiner that gets no connection, or panics, calls the next one;
//! - a queued request is sent at most once, and never before its caller made it. If the connection
//!   breaks off, its caller decides whether to send it again;
//! - a caller waits until its own deadline and no longer, whatever happens to the combiner.
//!
//! Called by the store on one server. Knows nothing of connections, requests or replies.
//!
//! # Lock order
//!
//! First the queue, then one request. Neither is held while a request is sent.

mod batch;
mod request;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use self::{
    batch::BatchEntry,
    request::{QueuedRequest, RequestState},
};
pub(crate) use self::{
    batch::{Batch, BatchOutcome},
    request::Deadlines,
};
use crate::util::sync::Mutex;

/// A combiner takes at most this many requests of any kind.
const ALL: usize = 128;

/// The requests that wait for a connection to one store.
#[derive(Debug)]
pub(crate) struct CombiningQueue<Q, A> {
    /// Empty if there is no combiner. The combiner's own request is not in it.
    queue: Mutex<Queue<Q, A>>,
    /// Changed only under the lock of the queue. Threads that read it without the lock may see an
    /// old value. At worst they queue unnecessarily, or skip the queue once. So `Relaxed` is
    /// enough: the lock orders everything else.
    has_combiner: AtomicBool,
}

type Queue<Q, A> = VecDeque<Arc<QueuedRequest<Q, A>>>;

/// How the wait ended.
#[derive(Debug)]
pub(crate) enum JoinOutcome<'a, Q, A> {
    /// Another caller sent the request.
    Answered(A),
    /// The caller must send its own request, and those of all callers that arrive meanwhile.
    Combiner(Combiner<'a, Q, A>),
    /// No thread sent the request in time.
    Late,
    /// The request was sent or about to be sent, and no reply arrived in time.
    Unanswered,
    /// The request was sent, and the connection broke off before the reply.
    BrokenOff,
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
    /// Whether a caller waits for a connection.
    pub(crate) fn has_waiters(&self) -> bool {
        self.has_combiner.load(Relaxed)
    }

    /// Joins the queue. Returns at once if nobody waits yet.
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
            RequestState::BrokenOff => JoinOutcome::BrokenOff,
            RequestState::Waiting | RequestState::Left => JoinOutcome::Late,
        }
    }

    /// Takes the queue for a caller that has a connection, as [`Combiner::take`] does.
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
        // From here on the lock of the queue is not held, because arriving callers need it.
        let combiner = Arc::clone(&own);
        let mut asked = VecDeque::from([BatchEntry::new(own)]);
        let mut left = Vec::new();
        for request in waiting {
            let is_full = asked.len() >= most;
            let duplicate =
                |asked: &&mut BatchEntry<Q, A>| same(&asked.request.question, &request.question);
            match asked.iter_mut().find(duplicate) {
                // If the caller has left by now, its request is not sent.
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
            // The queue was empty in the meantime, so there may be no combiner any more.
            if !self.has_combiner.swap(true, Relaxed) {
                self.call_next(&mut queue);
            }
        }
        Batch { combiner, asked }
    }

    /// Calls the next combiner, if there is one: the last combiner has left with the requests that
    /// it took.
    fn call_next(&self, queue: &mut Queue<Q, A>) {
        while let Some(next) = queue.pop_front() {
            if next.change(RequestState::Called) {
                return;
            }
        }
        self.has_combiner.store(false, Relaxed);
    }
}

/// The right and the duty to take the queue. If it is dropped unused, it calls the next combiner.
#[derive(Debug)]
pub(crate) struct Combiner<'a, Q, A> {
    queue: &'a CombiningQueue<Q, A>,
    request: Arc<QueuedRequest<Q, A>>,
}

impl<Q, A> Combiner<'_, Q, A> {
    /// Takes up to `most` different requests: its own, then those at the front of the queue. Equal
    /// requests share one reply. Calls the next combiner if requests are left. Call it only with a
    /// connection at hand, because a request must be sent after it was made.
    pub(crate) fn take(self, most: usize, same: impl Fn(&Q, &Q) -> bool) -> Batch<Q, A> {
        self.queue.batch(Arc::clone(&self.request), most, same)
    }
}

impl<Q, A> Drop for Combiner<'_, Q, A> {
    fn drop(&mut self) {
        self.queue.call_next(&mut self.queue.queue.lock());
    }
}
