//! Subscriptions to the changes in a store that has not passed the check of the start.
//!
//! Guarantees that the store gets no request of a listener before the check has passed. The cache
//! gets its subscription at once. The recovery starts the listener as soon as the store has passed.

use std::{sync::Arc, time::Duration};

use super::StoreClient;
use crate::store::{Store, Subscription, tracking::SharedListener};
use crate::util::sync::Mutex;

/// A subscription that waits for the check.
pub(super) struct Deferred {
    prefix: String,
    bound: Duration,
    listener: SharedListener,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// `None`: the check has not passed.
    subscription: Option<Subscription>,
    has_ended: bool,
}

/// Held by the cache. Its drop ends the subscription.
struct Handle(Arc<Deferred>);

impl StoreClient {
    /// Subscribes a listener to the changes in the store: see [`Store::track`]. If the store has
    /// not passed the check of the start, the listener starts when it has. Only stores that push
    /// their changes have such a check.
    pub(crate) fn track(
        &self,
        prefix: &str,
        bound: Duration,
        listener: SharedListener,
    ) -> Option<Subscription> {
        let deferred = Arc::new(Deferred {
            prefix: prefix.to_owned(),
            bound,
            listener,
            state: Mutex::default(),
        });
        if self.state.startup.defer(&deferred) {
            return Some(Subscription::new(Handle(deferred)));
        }
        let listener = Arc::clone(&deferred.listener);
        self.state.store.track(prefix, bound, listener)
    }
}

impl Deferred {
    /// Starts the listener. No lock is held meanwhile: a logger may drop the cache.
    pub(super) fn start(&self, store: &dyn Store) {
        let started = store.track(&self.prefix, self.bound, Arc::clone(&self.listener));
        let unneeded = {
            let mut state = self.state.lock();
            if state.has_ended {
                started
            } else {
                std::mem::replace(&mut state.subscription, started)
            }
        };
        // Dropped with no lock held, because the drop waits until the listener has ended. If the
        // cache was dropped meanwhile, its listener was called for a moment longer. It keeps
        // nothing by then.
        drop(unneeded);
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
