//! How a lookup of a batch waits for another's load, and what it does when that takes too long.

use std::time::Instant;

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Item,
    state::{Degraded, Right, Stand},
};
use crate::{
    engine::single_flight::Arrival, error::Error, outcome::Source, telemetry::event::Event,
};

impl<R: Serialize + DeserializeOwned> Item<'_, R> {
    /// Whether it waits for a flight of this process.
    pub(super) fn is_following(&self) -> bool {
        match &self.stand {
            Stand::Follows(_) => true,
            Stand::Degraded(degraded) => degraded.flight.is_some(),
            _ => false,
        }
    }

    /// Waits for the flight that it follows, if it does, until then. True: it has something to do now.
    pub(super) fn follows(&mut self, until: Option<Instant>) -> Result<bool, Error> {
        let limit = |deadline: Instant| until.map_or(deadline, |until| until.min(deadline));
        match &mut self.stand {
            Stand::Follows(flight) => {
                let deadline = self.asking.patience_from(self.asking.began);
                match flight.wait_until(limit(deadline)) {
                    Arrival::Landed(outcome) => {
                        self.shares(outcome)?;
                        return Ok(false);
                    }
                    Arrival::Abandoned => self.stand = Stand::Asks { look: true },
                    Arrival::TimedOut if Instant::now() < deadline => return Ok(false),
                    Arrival::TimedOut => self.times_out()?,
                }
                Ok(true)
            }
            Stand::Degraded(Degraded {
                cause,
                deadline,
                flight: following,
            }) => {
                let Some(flight) = following else {
                    return Ok(true);
                };
                // One that has been under way for so long has hung, for all we know.
                let deadline = self.asking.patience_from(flight.announced()).min(*deadline);
                match flight.wait_until(limit(deadline)) {
                    Arrival::Landed(outcome) if flight.announced() >= self.asking.began => {
                        let cause = cause.clone();
                        let id = self.asking.id;
                        self.asking.report(&Event::Shared { id });
                        self.answered(outcome?, Source::Degraded, Some(cause));
                        return Ok(false);
                    }
                    Arrival::TimedOut if Instant::now() < deadline => return Ok(false),
                    _ if Instant::now() < deadline => *following = None,
                    _ if self.asking.inner.settings.fail_on_wait_timeout => {
                        return Err(self.waited());
                    }
                    // Ours may not hang.
                    _ => self.stand = Stand::Leads(Right::Without(None, cause.clone())),
                }
                Ok(true)
            }
            Stand::Asks { .. } | Stand::Due(_) | Stand::Leads(_) => Ok(true),
            Stand::Held { .. } | Stand::Done(_) => Ok(false),
        }
    }

    pub(super) fn waited(&self) -> Error {
        Error::WaitTimeout {
            waited: self.asking.began.elapsed(),
        }
    }

    /// It has waited long enough for others.
    pub(super) fn times_out(&mut self) -> Result<(), Error> {
        if self.asking.inner.settings.fail_on_wait_timeout {
            return Err(self.waited());
        }
        self.degrade(self.waited());
        Ok(())
    }
}
