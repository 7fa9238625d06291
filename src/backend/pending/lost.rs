//! What is still pending when the client to a store is dropped.

use std::{mem, sync::Arc};

use super::PendingInvalidations;
use crate::telemetry::reporter::Reporter;

#[derive(Debug)]
pub(crate) struct Lost {
    /// How many invalidations, for each cache that has any.
    pub(crate) by_cache: Vec<(Arc<Reporter>, u64)>,
    /// The prefixes that are bypassed.
    pub(crate) prefixes: Vec<String>,
}

impl PendingInvalidations {
    /// Removes all that is pending.
    pub(crate) fn take(&self) -> Lost {
        let (entries, prefixes) = {
            let mut state = self.state.lock();
            self.forget_what_is_over(&mut state);
            state.bytes = 0;
            state.tags.clear();
            (mem::take(&mut state.entries), state.bypasses.take())
        };
        // No lock is held from here on: the drop of a reporter may drop a user's observer.
        let mut by_cache: Vec<(Arc<Reporter>, u64)> = Vec::new();
        for entry in entries.into_values() {
            let mut known = by_cache.iter_mut();
            match known.find(|(reporter, _)| Arc::ptr_eq(reporter, &entry.reporter)) {
                Some((_, count)) => *count += 1,
                None => by_cache.push((entry.reporter, 1)),
            }
        }
        Lost { by_cache, prefixes }
    }
}
