//! Subscriptions to the changes in a store that begin later: the store has not passed the check of
//! the start, or no thread could be started for the listener.
//!
//! Guarantees that the store gets no request of a listener before the check has passed. The cache
//! gets its subscription at once. The recovery starts the listener as soon as that is possible.
//!
//! No user code runs under its lock: subscriptions start and end outside it.

use std::{io, sync::Arc, time::Duration};

use parking_lot::Mutex;

use super::StoreClient;
use crate::store::{Store, Subscription, tracking::SharedListener};

/// The purpose of the thread of a subscription.
pub(super) const RECEIVE: &str = "receive changes";

/// A subscription that waits for the check, or for a thread.
pub(super) struct DeferredSubscription {
    prefix: String,
    bound: Duration,
    listener: SharedListener,
    state: Mutex<SubscriptionState>,
}

#[derive(Default)]
struct SubscriptionState {
    /// `None`: the listener has not started.
    subscription: Option<Subscription>,
    has_ended: bool,
}

/// Held by the cache. Its drop ends the subscription.
struct Handle(Arc<DeferredSubscription>);

impl StoreClient {
    /// Subscribes a listener to the changes in the store: see [`Store::track`]. If the store has
    /// not passed the check of the start, or no thread can be started, the listener starts later.
    /// Only stores that push their changes have such a check.
    pub(crate) fn track(
        &self,
        prefix: &str,
        bound: Duration,
        listener: SharedListener,
    ) -> Option<Subscription> {
        let deferred = Arc::new(DeferredSubscription {
            prefix: prefix.to_owned(),
            bound,
            listener,
            state: Mutex::default(),
        });
        if self.state.startup.defer_until_checked(&deferred) {
            return Some(Subscription::new(Handle(deferred)));
        }
        let listener = Arc::clone(&deferred.listener);
        let subscription = self.state.store.track(prefix, bound, listener)?;
        let Some(error) = subscription.no_thread() else {
            return Some(subscription);
        };
        self.state.startup.defer(&deferred);
        self.state.startup.log_no_thread(RECEIVE, error);
        self.start_recovery();
        Some(Subscription::new(Handle(deferred)))
    }
}

impl DeferredSubscription {
    /// Starts the listener. No lock is held meanwhile: a logger may drop the cache. Fails if no
    /// thread could be started.
    pub(super) fn start(&self, store: &dyn Store) -> io::Result<()> {
        let started = store.track(&self.prefix, self.bound, Arc::clone(&self.listener));
        let started = started.map(Subscription::started).transpose()?;
        let unneeded = {
            let mut state = self.state.lock();
            if state.has_ended {
                started
            } else {
                std::mem::replace(&mut state.subscription, started)
            }
        };
        // Dropped with no lock held: it may be the last handle of a listener, whose records' `Drop`
        // is user code.
        drop(unneeded);
        Ok(())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let started = {
            let mut state = self.0.state.lock();
            state.has_ended = true;
            state.subscription.take()
        };
        drop(started);
    }
}
