//! The listener that gets the changes of a store, and the subscription that keeps it registered.

use std::{fmt, io, sync::Arc, time::Instant};

/// Receives the changes in a store, once it is passed to [`Store::track`](super::Store::track).
///
/// Each call comes from a thread of the store, or from the thread whose step changed something. A
/// call should be quick. It must neither call the store nor wait for a thread that does: the store
/// on a cluster holds a lock while it confirms or disconnects. A store that reports changes by
/// *other processes* makes the calls of one subscription one after the other. A store in this
/// process may make several calls at once.
pub trait ChangeListener: Send + Sync {
    /// Every change that was acknowledged `bound` or more before `until` has been reported.
    /// Repeated while the change stream is live. Without a further confirmation, near entries are
    /// not used from `until` on.
    ///
    /// The first confirmation starts a new epoch. So does the first one after
    /// [`on_disconnect`](ChangeListener::on_disconnect). Anything read from the store before it may
    /// have changed unnoticed.
    fn on_confirmed(&self, until: Instant);

    /// The entry at this data key was changed or removed, or the tag at this key was invalidated.
    fn on_change(&self, data: &str);

    /// The lease or guard at this lease key was changed or removed.
    fn on_lease_change(&self, lease: &str);

    /// Every entry was removed: the store was flushed.
    fn on_flush(&self);

    /// The change stream is down. Changes since the latest
    /// [`on_confirmed`](ChangeListener::on_confirmed) may never be reported.
    fn on_disconnect(&self);
}

/// Keeps a [`ChangeListener`] subscribed. Dropping it ends the subscription: no further call of the
/// listener begins. A call that is under way may end later.
pub struct Subscription(Started);

/// Held only for its `Drop`; or the reason why no thread could be started for the listener.
type Started = io::Result<Box<dyn Send + Sync>>;

impl Subscription {
    /// Creates a subscription that ends when `end` is dropped. The `Drop` of `end` must ensure that
    /// no further call of the listener begins. It should not wait for a call that is under way: the
    /// call may drop a record, whose `Drop` may wait for the thread that ends the subscription.
    pub fn new(end: impl Send + Sync + 'static) -> Subscription {
        Subscription(Ok(Box::new(end)))
    }

    /// A subscription whose listener is never called. The client subscribes again later.
    pub(crate) fn without_thread(error: io::Error) -> Subscription {
        Subscription(Err(error))
    }

    /// Why no thread could be started for the listener. `None`: one was started.
    pub(crate) fn no_thread(&self) -> Option<&io::Error> {
        self.0.as_ref().err()
    }

    /// Fails if no thread could be started for the listener.
    pub(crate) fn started(self) -> io::Result<Subscription> {
        self.0.map(|end| Subscription(Ok(end)))
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

/// A listener that the store shares with the cache.
pub(crate) type SharedListener = Arc<dyn ChangeListener>;
