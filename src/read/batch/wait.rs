//! How a lookup of a batch waits for another's load, and what it does when that takes too long.

use std::time::Instant;

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Item,
    state::{DegradedWait, ItemState, LoadPermit},
};
use crate::{
    engine::single_flight::WaitOutcome, error::Error, outcome::Source, telemetry::event::Event,
};

impl<R: Serialize + DeserializeOwned> Item<'_, R> {
    /// Whether it waits for a call of this process.
    pub(super) fn is_following(&self) -> bool {
        match &self.state {
            ItemState::Following(_) => true,
            ItemState::Degraded(degraded) => degraded.call.is_some(),
            _ => false,
        }
    }

    /// Waits for the call that it follows, if it does, until then. True: it has something to do now.
    pub(super) fn follows(&mut self, until: Option<Instant>) -> Result<bool, Error> {
        let limit = |deadline: Instant| until.map_or(deadline, |until| until.min(deadline));
        match &mut self.state {
            ItemState::Following(call) => {
                let deadline = self.context.wait_deadline(self.context.began);
                match call.wait_until(limit(deadline)) {
                    WaitOutcome::Done(outcome) => {
                        self.complete_shared(outcome)?;
                        return Ok(false);
                    }
                    WaitOutcome::Abandoned => self.state = ItemState::NeedsLease { recheck: true },
                    WaitOutcome::TimedOut if Instant::now() < deadline => return Ok(false),
                    WaitOutcome::TimedOut => self.time_out()?,
                }
                Ok(true)
            }
            ItemState::Degraded(DegradedWait {
                cause,
                deadline,
                call: following,
            }) => {
                let Some(call) = following else {
                    return Ok(true);
                };
                // One that has been under way for so long has hung, for all we know.
                let deadline = self.context.wait_deadline(call.started()).min(*deadline);
                match call.wait_until(limit(deadline)) {
                    WaitOutcome::Done(outcome) if call.started() >= self.context.began => {
                        let cause = cause.clone();
                        let id = self.context.id;
                        self.context.report(&Event::Shared { id });
                        self.answered(outcome?, Source::Degraded, Some(cause));
                        return Ok(false);
                    }
                    WaitOutcome::TimedOut if Instant::now() < deadline => return Ok(false),
                    _ if Instant::now() < deadline => *following = None,
                    _ if self.context.engine.settings.fail_on_wait_timeout => {
                        return Err(self.waited());
                    }
                    // Ours may not hang.
                    _ => self.state = ItemState::Loading(LoadPermit::Degraded(None, cause.clone())),
                }
                Ok(true)
            }
            ItemState::NeedsLease { .. } | ItemState::Due(_) | ItemState::Loading(_) => Ok(true),
            ItemState::Held { .. } | ItemState::Done(_) => Ok(false),
        }
    }

    pub(super) fn waited(&self) -> Error {
        Error::WaitTimeout {
            waited: self.context.began.elapsed(),
        }
    }

    /// It has waited long enough for others.
    pub(super) fn time_out(&mut self) -> Result<(), Error> {
        if self.context.engine.settings.fail_on_wait_timeout {
            return Err(self.waited());
        }
        self.degrade(self.waited());
        Ok(())
    }
}
