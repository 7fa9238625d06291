//! The listeners to changes in the embedded store.
//!
//! Guarantees that every listener of a record's prefix is called before the step that changed it
//! returns, and that no lock is held during the call. Called by the steps of the embedded store.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use parking_lot::RwLock;

use crate::store::{ChangeListener, keys::Keys, tracking::SharedListener};

#[derive(Default)]
pub(super) struct Listeners {
    /// Whether there is any listener. `Relaxed` is enough: a cache that has subscribed reads a
    /// record under the lock of that record. A later change of the record takes the same lock, and
    /// so sees the flag.
    any: AtomicBool,
    /// The listeners by prefix. The slice is replaced as a whole, so no listener is called under
    /// the lock.
    all: RwLock<Arc<[(String, SharedListener)]>>,
}

/// Which keys of a record have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Changed {
    Lease,
    RecordAndLease,
}

/// A registered listener. Dropping it ends the registration.
pub(super) struct ListenerHandle {
    listeners: Arc<Listeners>,
    listener: SharedListener,
}

impl Listeners {
    pub(super) fn add(
        self: &Arc<Listeners>,
        prefix: &str,
        listener: Arc<dyn ChangeListener>,
    ) -> ListenerHandle {
        let mut all = self.all.write();
        let place = (prefix.to_owned(), Arc::clone(&listener));
        *all = all.iter().cloned().chain([place]).collect();
        self.any.store(true, Ordering::Relaxed);
        ListenerHandle {
            listeners: Arc::clone(self),
            listener,
        }
    }

    /// Calls every listener, whatever its prefix. Call it with no lock held.
    pub(super) fn each(&self, tell: impl Fn(&dyn ChangeListener)) {
        let all = Arc::clone(&self.all.read());
        for (_, listener) in &*all {
            tell(&**listener);
        }
    }

    /// Calls the listeners of this record's prefix. Call it with no lock held.
    pub(super) fn tell(&self, keys: &Keys, changed: Changed) {
        if !self.any.load(Ordering::Relaxed) {
            return;
        }
        let all = Arc::clone(&self.all.read());
        for (prefix, listener) in &*all {
            if keys.data.starts_with(prefix) {
                if changed == Changed::RecordAndLease {
                    listener.on_change(&keys.data);
                }
                listener.on_lease_change(&keys.lease);
            }
        }
    }

    /// Calls the listeners of this tag's prefix. Call it with no lock held.
    pub(super) fn tell_tag(&self, key: &str) {
        if !self.any.load(Ordering::Relaxed) {
            return;
        }
        let all = Arc::clone(&self.all.read());
        for (_, listener) in all.iter().filter(|(prefix, _)| key.starts_with(prefix)) {
            listener.on_change(key);
        }
    }
}

impl Drop for ListenerHandle {
    fn drop(&mut self) {
        let mut all = self.listeners.all.write();
        let others = all
            .iter()
            .filter(|(_, listener)| !Arc::ptr_eq(listener, &self.listener));
        *all = others.cloned().collect();
        self.listeners.any.store(!all.is_empty(), Ordering::Relaxed);
    }
}
