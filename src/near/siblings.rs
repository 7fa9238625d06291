//! The caches on one link that keep something near: what one of them changes, all of them hear, before the call that
//! changed it returns.

use std::sync::{
    Weak,
    atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;

use crate::store::Ear;

#[derive(Default)]
pub(crate) struct Neighbours {
    /// Whether there is any: all that a write has to look at where nothing is kept near. `SeqCst`: what a neighbour keeps, it
    /// asked the store for after this was set; so who changed that in the store afterwards, sees it set.
    any: AtomicBool,
    all: Mutex<Vec<Weak<dyn Ear>>>,
}

impl Neighbours {
    pub(crate) fn add(&self, ear: Weak<dyn Ear>) {
        let mut all = self.all.lock();
        // Here, so that caches that come and go leave nothing behind.
        all.retain(|ear| ear.strong_count() > 0);
        all.push(ear);
        self.any.store(true, Ordering::SeqCst);
    }

    /// Tells them that the entry at this data key has changed.
    pub(crate) fn tell(&self, data: &str) {
        self.each(|ear| ear.changed(data));
    }

    /// Tells them that everything has.
    pub(crate) fn tell_all(&self) {
        self.each(|ear| ear.everything_changed());
    }

    /// With no lock held.
    fn each(&self, tell: impl Fn(&dyn Ear)) {
        if !self.any.load(Ordering::SeqCst) {
            return;
        }
        let all: Vec<_> = self.all.lock().iter().filter_map(Weak::upgrade).collect();
        for ear in all {
            tell(&*ear);
        }
    }
}
