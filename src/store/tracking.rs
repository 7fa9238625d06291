//! The listener that a store tells of its changes, and how long a cache can rely on that.

use std::{fmt, sync::Arc, time::Instant};

/// Receives the changes in a store, from [`Store::track`](super::Store::track) on.
///
/// Each call comes from a thread of the store, or from the thread whose step changed something,
/// with no lock of the store held. It should be quick, and must not call the store. A store that
/// tells of changes by *others* makes the calls of one subscription one after the other. A store
/// in this process may make several at once.
pub trait ChangeListener: Send + Sync {
    /// Each change that was acknowledged `bound` or more before `until` has been told. Repeated
    /// while the change stream is live. Without it, near entries are no longer used from `until`
    /// on.
    ///
    /// The first one, and the first after [`on_disconnect`](ChangeListener::on_disconnect), starts
    /// over: what was read from the store before it may have changed unnoticed.
    fn on_confirmed(&self, until: Instant);

    /// The entry at this data key was changed or removed.
    fn on_change(&self, data: &str);

    /// The lease or guard at this lease key was.
    fn on_lease_change(&self, lease: &str);

    /// Every entry was: the store was flushed.
    fn on_flush(&self);

    /// The change stream is down. Changes since the latest
    /// [`on_confirmed`](ChangeListener::on_confirmed) may never be told.
    fn on_disconnect(&self);
}

/// Keeps a [`ChangeListener`] subscribed. Its drop ends that, and waits until the listener is no
/// longer called.
pub struct Subscription {
    /// Held, and nothing else.
    _end: Box<dyn Send + Sync>,
}

impl Subscription {
    /// A subscription that ends with `end`, whose `Drop` must ensure that the listener is no longer
    /// called.
    pub fn new(end: impl Send + Sync + 'static) -> Subscription {
        Subscription {
            _end: Box::new(end),
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

/// A listener that the store shares with the cache.
pub(crate) type SharedListener = Arc<dyn ChangeListener>;
