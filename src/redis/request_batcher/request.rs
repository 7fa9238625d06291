//! One queued request, its state, and the wait of its caller.
//!
//! Used by the queue and by the batch. Guarantees that a caller waits no longer than its deadline.
//!
//! No user code runs under its lock: it guards replies, which are bytes or failures of this crate.

use std::{mem, sync::Arc};

use crate::util::sync::{Condvar, Instant, Mutex};

/// The deadlines of a caller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    /// For sending its request.
    pub(crate) to_be_sent: Instant,
    /// For the arrival of the reply.
    pub(crate) to_be_answered: Instant,
}

/// A queued request whose caller waits.
#[derive(Debug)]
pub(super) struct QueuedRequest<Q, A> {
    pub(super) question: Q,
    pub(super) state: Mutex<RequestState<A>>,
    /// Notified, with no lock held, when the state becomes any other than taken.
    changed: Condvar,
}

#[derive(Debug)]
pub(super) enum RequestState<A> {
    /// In the queue.
    Waiting,
    /// A combiner has taken the request.
    Taken,
    /// The caller is the next combiner.
    Called,
    Answered(A),
    /// The combiner got no reply for the request.
    Lost,
    /// The connection broke off before the reply. The caller may send the request alone.
    BrokenOff,
    /// The caller has given up: no thread waits any more.
    Left,
}

impl<Q, A> QueuedRequest<Q, A> {
    pub(super) fn new(question: Q, state: RequestState<A>) -> Arc<QueuedRequest<Q, A>> {
        Arc::new(QueuedRequest {
            question,
            state: Mutex::new(state),
            changed: Condvar::new(),
        })
    }

    /// Waits until the state is final, or a deadline has passed.
    pub(super) fn wait(&self, deadlines: Deadlines) -> RequestState<A> {
        let mut state = self.state.lock();
        loop {
            let until = match &*state {
                RequestState::Waiting => deadlines.to_be_sent,
                RequestState::Taken => deadlines.to_be_answered,
                RequestState::Called => return RequestState::Called,
                // Every change of the state checks for `Left` first, under this lock.
                _ => return mem::replace(&mut *state, RequestState::Left),
            };
            if Instant::now() >= until {
                return mem::replace(&mut *state, RequestState::Left);
            }
            state = self.changed.wait_until(state, until);
        }
    }

    /// Changes the state. False: the caller no longer waits.
    pub(super) fn change(&self, to: RequestState<A>) -> bool {
        let must_wake = !matches!(to, RequestState::Taken);
        {
            let mut state = self.state.lock();
            if matches!(*state, RequestState::Left) {
                return false;
            }
            *state = to;
        }
        // No wake-up is lost: the caller reads the state under its lock, and its wait releases the
        // lock atomically. So a change after that read finds it waiting.
        if must_wake {
            self.changed.notify_all();
        }
        true
    }
}
