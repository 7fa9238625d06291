//! The transitions of a lookup that waits: for another process's lease, or for a call of this
//! process.
//!
//! Called by both drivers. Like all transitions, they send nothing; see
//! [`machine`](super::machine).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    lookup::not_own,
    machine::PendingLookup,
    state::{DegradedWait, LoadPermit, LookupState},
    wait_for_lease::LeaseWait,
};
use crate::{
    engine::{
        Outcome,
        single_flight::{Call, WaitOutcome},
    },
    error::Error,
    outcome::Source,
    telemetry::event::Event,
    util::wakeup::Wakeup,
};

impl PendingLookup<'_> {
    /// Starts to wait, on behalf of this process, for a lease of another process. If another thread
    /// already does that, follows that thread's call.
    pub(super) fn start_watch(&mut self) -> Result<(), Error> {
        // If another program holds the lock, it has no token. Then every lookup waits separately.
        if let LookupState::Held {
            by: Some(token), ..
        } = self.state
            && self.watch.is_none()
        {
            match self.context.engine.calls.start_or_find(&token, self.data) {
                Ok(watch) => self.watch = Some(watch),
                Err(call) => self.follow(call)?,
            }
        }
        Ok(())
    }

    /// Continues the lookup without Redis. It has been reported that it does.
    pub(super) fn stay_degraded(&mut self, cause: Error) {
        self.state = LookupState::Degraded(DegradedWait {
            cause,
            deadline: self.context.wait_deadline(Instant::now()),
            call: None,
        });
    }

    /// Without Redis, this process runs one load of a key at a time. Finds that load, or starts it
    /// if the lookup `may_load`.
    pub(super) fn start_degraded(&mut self, may_load: bool) -> Result<(), Error> {
        let LookupState::Degraded(degraded) = &mut self.state else {
            return Ok(());
        };
        if degraded.call.is_some() {
            return Ok(());
        }
        let table = &self.context.engine.degraded;
        if !may_load {
            let call = table.find(&self.data.to_owned());
            degraded.call = call.map(not_own).transpose()?;
            return Ok(());
        }
        match table.start_or_find(self.data, self.data) {
            Ok(leader) => {
                let permit = LoadPermit::Degraded(Some(leader), degraded.cause.clone());
                self.state = LookupState::Loading(permit);
            }
            Err(call) => degraded.call = Some(not_own(call)?),
        }
        Ok(())
    }

    /// The call that the lookup waits for, and the end of the wait.
    pub(super) fn followed(&self) -> Option<(&Arc<Call<Outcome>>, Instant)> {
        match &self.state {
            LookupState::Following(call) => Some((call, self.deadline())),
            LookupState::Degraded(DegradedWait {
                deadline,
                call: Some(call),
                ..
            }) => {
                // A load that runs for this long is assumed to hang. So a new lookup does not wait
                // for it again.
                let hangs_at = self.context.wait_deadline(call.started());
                Some((call, hangs_at.min(*deadline)))
            }
            _ => None,
        }
    }

    /// Waits for the followed call, until its deadline or `limit`, whichever is earlier.
    pub(super) fn wait_for_call(&mut self, limit: Option<Instant>) -> Result<(), Error> {
        let Some((call, deadline)) = self.followed() else {
            return Ok(());
        };
        let started = call.started();
        let outcome = call.wait_until(limit.map_or(deadline, |limit| limit.min(deadline)));
        let has_time = Instant::now() < deadline;
        match (&mut self.state, outcome) {
            (_, WaitOutcome::TimedOut) if has_time => {}
            (LookupState::Following(_), WaitOutcome::Done(outcome)) => self.on_shared(outcome)?,
            (LookupState::Following(_), WaitOutcome::Abandoned) => {
                self.ask_again();
            }
            (LookupState::Following(_), WaitOutcome::TimedOut) => self.time_out()?,
            // The load must have started after this lookup began. An earlier load may have read a
            // record that was invalidated in between.
            (LookupState::Degraded(degraded), WaitOutcome::Done(outcome))
                if started >= self.context.began =>
            {
                let cause = degraded.cause.clone();
                let id = self.context.id;
                self.context.report(&Event::Shared { id });
                let found = self.context.found(outcome?, Source::Degraded);
                self.state = LookupState::Done(found.with_cause(cause));
            }
            (LookupState::Degraded(degraded), _) if has_time => degraded.call = None,
            (LookupState::Degraded(degraded), _) => {
                if let Some(error) = self.context.timed_out() {
                    return Err(error);
                }
                // The followed load seems to hang. A load on this thread may succeed.
                let cause = degraded.cause.clone();
                self.state = LookupState::Loading(LoadPermit::Degraded(None, cause));
            }
            _ => unreachable!("it follows no call"),
        }
        Ok(())
    }

    /// Notifies `wakeup` with this number when the awaited call ends or the awaited lease changes.
    pub(super) fn subscribe(&self, wakeup: &Arc<Wakeup>, number: usize) {
        if let Some((call, _)) = self.followed() {
            call.subscribe(wakeup, number);
        } else if let (LookupState::Held { .. }, Some(lease_wait)) = (&self.state, &self.lease_wait)
        {
            lease_wait.subscribe(wakeup, number);
        }
    }

    /// Checks, without waiting, whether the wait is over. `poll_at`: when lookups without a live
    /// change stream ask again. Returns whether the driver has something to do.
    pub(super) fn check(&mut self, poll_at: Option<Instant>) -> Result<bool, Error> {
        let now = Instant::now();
        if let LookupState::Held { lapses_at, .. } = self.state {
            let has_changed = |lease_wait: &LeaseWait<'_>| lease_wait.has_changed();
            let is_over = if self.is_pushed() {
                self.lease_wait.as_ref().is_some_and(has_changed)
            } else {
                poll_at.is_none_or(|poll_at| now >= poll_at)
            };
            if is_over || now >= lapses_at.min(self.deadline()) {
                self.ask_again();
            }
        } else {
            self.wait_for_call(Some(now))?;
        }
        Ok(match &self.state {
            LookupState::Done(_) | LookupState::Held { .. } | LookupState::Following(_) => false,
            LookupState::Degraded(degraded) => degraded.call.is_none(),
            LookupState::NeedsLease { .. } | LookupState::Due(_) | LookupState::Loading(_) => true,
        })
    }

    /// The latest end of the wait. `None`: the lookup does not wait.
    pub(super) fn waits_until(&self, poll_at: Option<Instant>) -> Option<Instant> {
        if let Some((_, deadline)) = self.followed() {
            return Some(deadline);
        }
        let LookupState::Held { lapses_at, .. } = self.state else {
            return None;
        };
        let end = lapses_at.min(self.deadline());
        let pushed = self.lease_wait.as_ref().filter(|it| it.is_live());
        Some(match pushed {
            // If a confirmation extends that instant meanwhile, the wait continues.
            Some(lease_wait) => end.min(lease_wait.live_until()),
            None => poll_at.map_or(end, |poll_at| poll_at.min(end)),
        })
    }

    /// Whether the store pushes changes of the awaited lease.
    pub(super) fn is_pushed(&self) -> bool {
        self.lease_wait.as_ref().is_some_and(LeaseWait::is_live)
    }

    /// The pause before the next request for a held lease, if its changes are not pushed.
    ///
    /// The first pause is a millisecond, for a load that is about to end. The pause doubles up to
    /// the `poll` setting. Up to half of it is cut at random, so that waiters do not ask at the
    /// same moment. The pause never lasts beyond the lapse of the lease or the deadline.
    pub(super) fn pause(&mut self, lapses_at: Instant) -> Duration {
        let (token, polls) = (self.token(), self.polls.max(1));
        let longest = self.context.engine.settings.poll;
        let pause = Duration::from_millis(1 << (polls - 1).min(10)).min(longest);
        let half = u64::try_from(pause.as_micros() / 2).unwrap_or(u64::MAX);
        let end = lapses_at.min(self.deadline());
        pause
            .saturating_sub(Duration::from_micros(token.spread(polls, half)))
            .min(end.saturating_duration_since(Instant::now()))
    }

    /// Ends the wait because it has lasted long enough: the lookup degrades or fails.
    pub(super) fn time_out(&mut self) -> Result<(), Error> {
        if let Some(error) = self.context.timed_out() {
            return Err(error);
        }
        self.degrade(Error::WaitTimeout {
            waited: self.context.began.elapsed(),
        });
        Ok(())
    }
}
