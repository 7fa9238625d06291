//! Who is told of changes in the store of this process.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use parking_lot::RwLock;

use crate::store::{ChangeListener, keys::Keys, tracking::SharedListener};

#[derive(Default)]
pub(super) struct Listeners {
    /// Whether there is any. `Relaxed` is enough: whoever has read a record since this was set did
    /// so under the lock of that record, and a change of the record takes the same lock later.
    any: AtomicBool,
    /// By prefix. Replaced as a whole, so that no listener is called under the lock.
    all: RwLock<Arc<[(String, SharedListener)]>>,
}

/// What of a record has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Changed {
    Lease,
    RecordAndLease,
}

/// One listener, until it is dropped.
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

    /// Tells the listeners of this record's prefix. Call it under no lock.
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
