//! The requests that one combiner sends, and the replies to them.

use std::{collections::VecDeque, mem, sync::Arc};

use super::request::{QueuedRequest, RequestState};

/// The requests that a combiner sends and that have no reply yet, its own first. When it is
/// dropped, the callers of the rest learn that there will be no reply.
#[derive(Debug)]
pub(crate) struct Batch<Q, A> {
    pub(super) combiner: Arc<QueuedRequest<Q, A>>,
    pub(super) asked: VecDeque<BatchEntry<Q, A>>,
}

/// A request that is sent, and the requests that are equal to it.
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

    /// The first of them: the next reply is its.
    pub(crate) fn first(&self) -> Option<&Q> {
        self.questions().next()
    }

    /// Answers the first.
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

    /// Answers all that are left: the first with `first`, the rest with `others`.
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
