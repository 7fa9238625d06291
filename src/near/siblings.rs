//! The caches on one client that have a near cache.
//!
//! Guarantees that a change by one cache reaches all of them before its call returns. Called by the
//! client. It does not know near caches, only the trait [`ChangeListener`].

use std::sync::{
    Weak,
    atomic::{AtomicBool, Ordering},
};

use crate::store::ChangeListener;
use crate::util::sync::Mutex;

#[derive(Default)]
pub(crate) struct SiblingCaches {
    /// Whether there is any sibling. Without one, a write takes no lock. `SeqCst`: a sibling sets
    /// this before it reads entries from the store. So a later writer of such an entry sees it set.
    any: AtomicBool,
    all: Mutex<Vec<Weak<dyn ChangeListener>>>,
}

impl SiblingCaches {
    pub(crate) fn add(&self, listener: Weak<dyn ChangeListener>) {
        let mut all = self.all.lock();
        // Removed here, so that dropped caches leave nothing behind.
        all.retain(|listener| listener.strong_count() > 0);
        all.push(listener);
        self.any.store(true, Ordering::SeqCst);
    }

    /// Reports a change of the entry with this data key.
    pub(crate) fn tell(&self, data: &str) {
        self.each(|listener| listener.on_change(data));
    }

    /// Reports that everything has changed.
    pub(crate) fn tell_all(&self) {
        self.each(|listener| listener.on_flush());
    }

    /// Calls each listener with no lock held.
    fn each(&self, tell: impl Fn(&dyn ChangeListener)) {
        if !self.any.load(Ordering::SeqCst) {
            return;
        }
        let all: Vec<_> = self.all.lock().iter().filter_map(Weak::upgrade).collect();
        for listener in all {
            tell(&*listener);
        }
    }
}
