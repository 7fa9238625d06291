//! Whom a store tells what changes in it, and how long that can be relied on.

use std::{fmt, sync::Arc, time::Instant};

/// Hears what changes in a store, from [`Store::track`](super::Store::track) on.
///
/// Each call is made by a thread of the store's, or by the one whose step changed something, with no lock of the
/// store's held. It should be quick, and must not ask the store anything. The calls of one tracking come one after the
/// other where the store tells what *others* changed; a store in this process may make several at once.
pub trait ChangeListener: Send + Sync {
    /// Every change that had been acknowledged to whoever made it, `bound` or more before `until`, has been told. Said again
    /// and again while the store can be heard; where it isn't, what is cached near stops being used at `until`.
    ///
    /// The first after [`on_disconnect`](ChangeListener::on_disconnect), or the first at all, begins anew: what was read from the store before it may have
    /// changed unheard.
    fn on_confirmed(&self, until: Instant);

    /// The entry at this data key has changed or gone.
    fn on_change(&self, data: &str);

    /// What stands at this lease key has.
    fn on_lease_change(&self, lease: &str);

    /// Everything has: the store was emptied.
    fn on_flush(&self);

    /// Changes are heard no longer, or still not. What changed since the latest [`on_confirmed`](ChangeListener::on_confirmed) may never be told.
    fn on_disconnect(&self);
}

/// Keeps an [`ChangeListener`] told. Dropped, it ends that, and waits until the listener is called no more.
pub struct Subscription {
    /// Held, and nothing else.
    _end: Box<dyn Send + Sync>,
}

impl Subscription {
    /// What ends with `end`: its `Drop` must see to it that the listener is called no more.
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

/// An listener that whoever tells it shares with whoever hears.
pub(crate) type SharedListener = Arc<dyn ChangeListener>;
