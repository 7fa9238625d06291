//! The requests that one combiner sends, and the replies to them.
//!
//! Called by the code that sends the requests. Knows no connections.

use std::{collections::VecDeque, mem, sync::Arc};

use super::request::{QueuedRequest, RequestState};

/// The requests that a combiner sends and that have no reply yet; its own comes first. If this is
/// dropped, the callers of the remaining requests learn that no reply will come.
#[derive(Debug)]
pub(crate) struct Batch<Q, A> {
    pub(super) combiner: Arc<QueuedRequest<Q, A>>,
    pub(super) asked: VecDeque<BatchEntry<Q, A>>,
}

/// The outcome of the combiner's own request.
#[derive(Debug)]
pub(crate) enum BatchOutcome<A> {
    Answered(A),
    /// The connection broke off. The request may be sent alone.
    BrokenOff,
    Unanswered,
}

/// A request that is sent, and the requests equal to it.
#[derive(Debug)]
pub(super) struct BatchEntry<Q, A> {
    pub(super) request: Arc<QueuedRequest<Q, A>>,
    pub(super) duplicates: Vec<Arc<QueuedRequest<Q, A>>>,
}

impl<Q, A> BatchEntry<Q, A> {
    pub(super) fn new(request: Arc<QueuedRequest<Q, A>>) -> BatchEntry<Q, A> {
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
    /// The requests to send, in order.
    pub(crate) fn questions(&self) -> impl Iterator<Item = &Q> {
        self.asked.iter().map(|asked| &asked.request.question)
    }

    /// The first request. The next reply belongs to it.
    pub(crate) fn first(&self) -> Option<&Q> {
        self.questions().next()
    }

    /// Answers the first request.
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

    /// Answers all remaining requests: the first with `first`, the others with `others`.
    pub(crate) fn answer_all(&mut self, first: A, others: impl Fn() -> A) {
        let mut first = Some(first);
        for request in mem::take(&mut self.asked)
            .into_iter()
            .flat_map(BatchEntry::requests)
        {
            request.change(RequestState::Answered(first.take().unwrap_or_else(&others)));
        }
    }

    /// Lets the callers of all remaining requests send them alone: the connection broke off, and
    /// the reason may be the reply to any of them.
    pub(crate) fn break_off(&mut self) {
        for request in mem::take(&mut self.asked)
            .into_iter()
            .flat_map(BatchEntry::requests)
        {
            request.change(RequestState::BrokenOff);
        }
    }

    /// The outcome of the combiner's own request.
    pub(crate) fn end(self) -> BatchOutcome<A> {
        match mem::replace(&mut *self.combiner.state.lock(), RequestState::Left) {
            RequestState::Answered(answer) => BatchOutcome::Answered(answer),
            RequestState::BrokenOff => BatchOutcome::BrokenOff,
            _ => BatchOutcome::Unanswered,
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
