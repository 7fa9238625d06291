//! The turn of a batch to load: one permit for the one call of its loader.
//!
//! Guarantees that a batch that waits for its turn holds no lease and no call for which others
//! wait. Called by the driver of batches.

use super::driver::BatchLookup;
use crate::{error::Error, read::state::LookupState};

impl BatchLookup<'_> {
    /// Waits for the turn to load, if a lookup needs it.
    pub(super) fn start_turn(
        &mut self,
        needs: impl Fn(&LookupState<'_>) -> bool,
    ) -> Result<(), Error> {
        let mut lookups = self.lookups.iter();
        let Some(lookup) = lookups.find(|lookup| needs(&lookup.state)) else {
            return Ok(());
        };
        let id = lookup.context.id;
        if self.turn.try_start(None) {
            return Ok(());
        }
        // Followers of a watch wait only for the end of the watched lease. They must not wait for
        // our turn.
        self.end_watches();
        let started = self.turn.start(id, None);
        for lookup in &mut self.lookups {
            lookup.count_queue(self.turn.waited);
        }
        started
    }

    /// Wakes the followers of all watches. They then ask the store.
    pub(super) fn end_watches(&mut self) {
        for lookup in &mut self.lookups {
            lookup.watch = None;
        }
    }

    /// Starts or finds the loads without Redis. A load that is found needs no turn. A batch that
    /// has a lease has its turn already, so no lease waits here.
    pub(super) fn start_degraded(&mut self) -> Result<(), Error> {
        let mut lookups = self.lookups.iter_mut();
        lookups.try_for_each(|lookup| lookup.start_degraded(false))?;
        self.start_turn(|state| match state {
            LookupState::Degraded(degraded) => degraded.call.is_none(),
            LookupState::Loading(_) => true,
            _ => false,
        })?;
        let mut lookups = self.lookups.iter_mut();
        lookups.try_for_each(|lookup| lookup.start_degraded(true))
    }
}
