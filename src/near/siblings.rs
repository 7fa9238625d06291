//! The caches on one client that keep something near: what one of them changes, all of them hear, before the call that
//! changed it returns.

use std::sync::{
    Weak,
    atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;

use crate::store::ChangeListener;

#[derive(Default)]
pub(crate) struct SiblingCaches {
    /// Whether there is any: all that a write has to look at where nothing is kept near. `SeqCst`: what a sibling keeps, it
    /// asked the store for after this was set; so who changed that in the store afterwards, sees it set.
    any: AtomicBool,
    all: Mutex<Vec<Weak<dyn ChangeListener>>>,
}

impl SiblingCaches {
    pub(crate) fn add(&self, listener: Weak<dyn ChangeListener>) {
        let mut all = self.all.lock();
        // Here, so that caches that come and go leave nothing behind.
        all.retain(|listener| listener.strong_count() > 0);
        all.push(listener);
        self.any.store(true, Ordering::SeqCst);
    }

    /// Tells them that the entry at this data key has changed.
    pub(crate) fn tell(&self, data: &str) {
        self.each(|listener| listener.on_change(data));
    }

    /// Tells them that everything has.
    pub(crate) fn tell_all(&self) {
        self.each(|listener| listener.on_flush());
    }

    /// With no lock held.
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
