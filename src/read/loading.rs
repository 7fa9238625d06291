//! The transitions of a lookup that has run the loader.
//!
//! Called by both drivers. Like all transitions, they send nothing; see
//! [`machine`](super::machine).

use super::{
    load::LoadedEntry,
    machine::PendingLookup,
    state::{LoadPermit, LookupState},
};
use crate::{
    engine::lease_renewal::RenewalGuard,
    error::Error,
    outcome::Source,
    record::any::AnyRecord,
    store::{Completion, CompletionKind, Entry, Floor},
    telemetry::event::Event,
};

impl PendingLookup<'_> {
    /// What the load must respect. Without Redis, the floor is not known.
    pub(super) fn floor(&self) -> Floor {
        match &self.state {
            LookupState::Loading(LoadPermit::Degraded(..)) => Floor::Unknown,
            // What a tag has ended may be missing in a replica, whatever the record's own floor.
            _ if self.context.tags.as_ref().is_some_and(|it| it.has_floor()) => Floor::Unknown,
            _ => self.floor,
        }
    }

    /// What the store has now of the record that the lookup refreshes. `None`: it loads because
    /// there is no record.
    pub(super) fn read_cached(&self) -> Option<AnyRecord> {
        let LookupState::Loading(LoadPermit::Refresh(..)) = &self.state else {
            return None;
        };
        let engine = self.context.engine;
        match engine.read_entry(self.data, false) {
            Ok((Entry::Record(fields), _)) => self.context.record_of(fields).ok()?,
            _ => None,
        }
    }

    /// Whether the loaded record is filled.
    pub(super) fn fills(&self) -> bool {
        matches!(&self.state, LookupState::Loading(permit) if permit.fills())
    }

    /// The loader returned. The followers get the outcome before any request is sent. Returns how
    /// the lease ends, if the lookup has one.
    pub(super) fn on_loaded<'s>(
        &'s self,
        loaded: &'s Result<LoadedEntry, Error>,
    ) -> Option<Completion<'s>> {
        let LookupState::Loading(permit) = &self.state else {
            unreachable!("only a lookup with a permit loads");
        };
        if let Ok(entry) = loaded {
            entry.add_to_log(&self.context, permit.token(), self.floor());
        }
        let outcome = loaded.as_ref().map(|entry| entry.record.clone());
        permit.complete(outcome.map_err(Clone::clone));
        let (leader, back_off) = match permit {
            LoadPermit::Lease(leader, _) => (leader, None),
            // After a failed refresh, no caller retries at once: callers get the cached record
            // meanwhile.
            LoadPermit::Refresh(leader, ..) => {
                (leader, Some(self.context.engine.settings.lease_ttl))
            }
            LoadPermit::Guard(_) | LoadPermit::Degraded(..) => return None,
        };
        Some(Completion {
            keys: self.keys(),
            token: *leader.key(),
            end: match (loaded, back_off) {
                (Ok(entry), _) => entry.fill(),
                (Err(_), None) => CompletionKind::Release,
                (Err(_), Some(pause)) => CompletionKind::BackOff(pause),
            },
        })
    }

    /// The lease has ended, if there was one. The lookup has its answer.
    pub(super) fn on_completed(
        &mut self,
        loaded: Result<LoadedEntry, Error>,
        ended: Option<Result<bool, Error>>,
    ) -> Result<(), Error> {
        let LookupState::Loading(permit) = self.take_state() else {
            unreachable!("only a lookup with a permit loads");
        };
        // If the fill fails, the next lookup must load. This lookup is not affected.
        let fill_failed = loaded.is_ok() && matches!(ended, Some(Err(_)));
        let end = |renewal: RenewalGuard<'_>| {
            if fill_failed {
                renewal.fill_failed();
            } else {
                // If a release failed, the lease lapses.
                renewal.end();
            }
        };
        if let (Some(token), Some(ended)) = (permit.token(), &ended) {
            let recorder = &self.context.engine.reporter.recorder;
            recorder.fill(self.context.id, token, outcome_of(&loaded, ended));
        }
        if let (Some(Ok(false)), true) = (ended, loaded.as_ref().is_ok_and(LoadedEntry::is_cached))
        {
            let id = self.context.id;
            self.context.report(&Event::FillRefused { id });
        }
        let outcome = loaded.map(|entry| entry.record);
        self.state = LookupState::Done(match permit {
            LoadPermit::Refresh(_leader, renewal, cached) => {
                end(renewal);
                self.context.refreshed(outcome, cached)
            }
            LoadPermit::Lease(_leader, renewal) => {
                end(renewal);
                self.context.found(outcome?, Source::Loaded)
            }
            LoadPermit::Guard(_) => self.context.found(outcome?, Source::Loaded),
            LoadPermit::Degraded(_, cause) => {
                let found = self.context.found(outcome?, Source::Degraded);
                found.with_cause(cause)
            }
        });
        Ok(())
    }
}

/// How a lease ended, for the event log.
fn outcome_of(loaded: &Result<LoadedEntry, Error>, ended: &Result<bool, Error>) -> &'static str {
    match ended {
        Err(_) => "failed",
        Ok(false) => "refused",
        Ok(true) if loaded.as_ref().is_ok_and(LoadedEntry::is_cached) => "stored",
        Ok(true) => "released",
    }
}
