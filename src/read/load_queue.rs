//! The queue for a turn to load: how the lookups of one record wait for a permit together.
//!
//! One lookup of each record of a process waits for a permit, the *queue leader*. The others follow
//! it, and hold nothing. When it has its permits, it accepts no more followers, and asks. Then it
//! hands its load to them. That load begins after each of them began, so it reads what was
//! committed before, and the store has named its floor since. If the leader got something else than
//! the right to load, the followers ask for themselves.
//!
//! A lookup without a permit is still answered by a load of the same record:
//!
//! - If a load of this process has a permit for the record, or if the lookup watches a lease of
//!   another process, the lookup asks for the lease without a permit. In nearly all cases it is
//!   answered, or learns a token and follows its load. If it gets the lease instead, it gives the
//!   lease back, and waits for a permit.
//! - The queue leader reads the record again from time to time. Another process may have filled it.
//!   Then its followers ask as well.
//!
//! Called by the driver for one id. A batch waits alone: see [`load_turn`](super::load_turn).

use std::{
    mem,
    time::{Duration, Instant},
};

use super::{
    load_turn::LoadTurn,
    machine::PendingLookup,
    state::{LoadPermit, LookupState},
};
use crate::{
    engine::{
        Outcome, SharedCall,
        load_limit::LoadLimit,
        single_flight::{Leader, WaitOutcome},
    },
    error::Error,
    store::{Entry, Recheck},
    util::random::shortened,
};

/// The pause between two reads of a queue leader doubles from one `poll` up to this many. So the
/// waiting lookups of many records do not overrun Redis instead of the primary.
const LONGEST_PAUSE: u32 = 16;

/// How a wait for one permit ended.
enum QueueEnd {
    Permit,
    TimedOut,
    /// The state of the lookup has changed, or it asks without a permit, or it has to try again.
    Changed,
}

impl LoadTurn<'_> {
    /// Whether the lookup may ask now, for the lease or for a load without Redis. If not, its state
    /// has changed, or it has to try again. An error if no permit was free in time.
    pub(super) fn before_load(&mut self, lookup: &mut PendingLookup<'_>) -> Result<bool, Error> {
        if lookup.followed().is_some() {
            return Ok(false);
        }
        if self.try_start(Some(lookup.data)) {
            // Before the request: whoever follows has begun before it, so the store's answer is
            // younger than that.
            self.queued.iter().flatten().for_each(Leader::unregister);
            return Ok(true);
        }
        self.asks_without |= self.may_share(lookup);
        if self.asks_without {
            return Ok(true);
        }
        while let Some((at, limit)) = self.missing() {
            let since = Instant::now();
            let ended = self.queue(at, limit, lookup, self.end_of_wait(at, since))?;
            self.count_wait(at, since.elapsed());
            lookup.count_queue(self.waited);
            match ended {
                QueueEnd::Permit => {}
                QueueEnd::TimedOut => return Err(self.overloaded(lookup.context.id)),
                QueueEnd::Changed => return Ok(false),
            }
        }
        lookup.recheck_after_queue();
        Ok(false)
    }

    /// Whether there may be a load of the record that the lookup can share.
    fn may_share(&mut self, lookup: &PendingLookup<'_>) -> bool {
        if let LookupState::Degraded(_) = lookup.state {
            return self.engine.degraded.find(&lookup.data.to_owned()).is_some();
        }
        if lookup.watch.is_some() {
            return true;
        }
        // A load has its last permit when it has all.
        let last = self.limits.iter().flatten().next_back();
        let is_loading = last.is_some_and(|limit| limit.is_loading(lookup.data));
        is_loading && !mem::replace(&mut self.has_asked, true)
    }

    /// Waits for one permit, on behalf of all lookups of the record, or for the lookup that does.
    fn queue(
        &mut self,
        at: usize,
        limit: &LoadLimit,
        lookup: &mut PendingLookup<'_>,
        end: Instant,
    ) -> Result<QueueEnd, Error> {
        let data = lookup.data;
        if self.queued[at].is_none() {
            let key = (limit.id(), data.to_owned());
            match self.engine.queued.start_or_find(&key, data) {
                Ok(leader) => self.queued[at] = Some(leader),
                Err(call) if call.is_led_by_this_thread() => return Err(Error::Reentrant),
                Err(call) => {
                    self.end();
                    return Ok(match call.wait_until(end) {
                        WaitOutcome::TimedOut => QueueEnd::TimedOut,
                        WaitOutcome::Done(load) => {
                            // The load of a lookup under tags knows of their floor what its
                            // lookup knew before it waited. The store compares their clocks.
                            match load.filter(|_| lookup.context.tags.is_none()) {
                                Some(load) => lookup.follow_after_queue(load),
                                None => self.asks_without = lookup.recheck_after_queue(),
                            }
                            QueueEnd::Changed
                        }
                        WaitOutcome::Abandoned => QueueEnd::Changed,
                    });
                }
            }
        }
        let (wait, poll) = (limit.queue(Some(data)), self.engine.settings.poll);
        let mut pause = poll;
        loop {
            let pause_end = Instant::now() + shortened(pause);
            self.permits[at] = wait.wait_until(end.min(pause_end));
            if self.permits[at].is_some() {
                return Ok(QueueEnd::Permit);
            }
            if Instant::now() >= end {
                return Ok(QueueEnd::TimedOut);
            }
            if let Some(found) = self.read_again(lookup) {
                drop(wait);
                self.hand_over(None);
                self.end();
                lookup.on_shared(found)?;
                return Ok(QueueEnd::Changed);
            }
            pause = (pause * 2).min(poll * LONGEST_PAUSE);
        }
    }

    /// The record, if one that the lookup accepts is in the store by now.
    fn read_again(&self, lookup: &PendingLookup<'_>) -> Option<Outcome> {
        // Without Redis there is nothing to read, or nothing that may be read.
        let LookupState::NeedsLease { .. } = lookup.state else {
            return None;
        };
        let seen = match lookup.recheck {
            Recheck::IfOver(left) => Some(left),
            Recheck::Always | Recheck::Never => None,
        };
        let read = self.engine.read_entry(lookup.data, seen.is_some());
        let Ok((Entry::Record(fields), left)) = read else {
            return None;
        };
        // As in `acquire`: one with no more time left is the one that was too old.
        if seen.is_some_and(|seen| left.is_some_and(|left| left <= seen)) {
            return None;
        }
        let record = lookup.context.record_of(fields);
        Some(Ok(record.ok()?))
    }

    /// The lookup has asked. Its followers share its load, or ask.
    pub(super) fn after_asking(&mut self, lookup: &mut PendingLookup<'_>) {
        if mem::take(&mut self.asks_without) {
            lookup.give_up_permit();
        }
        let load = match &lookup.state {
            LookupState::Loading(permit) => permit.call(),
            _ => None,
        };
        self.hand_over(load.as_ref());
    }

    /// Wakes the followers.
    fn hand_over(&mut self, load: Option<&SharedCall>) {
        for leader in self.queued.iter_mut().filter_map(Option::take) {
            leader.unregister();
            leader.complete(load.cloned());
        }
    }
}

impl PendingLookup<'_> {
    /// Gives the right to load back, if the lookup has got it. A drop gives the lease back on
    /// another thread, and wakes the followers.
    fn give_up_permit(&mut self) {
        if let LookupState::Loading(LoadPermit::Lease(..) | LoadPermit::Guard(_)) = self.state {
            self.ask_again();
        }
    }

    /// Asks with another [recheck](Recheck): time has passed since the first read. A lookup without
    /// Redis stays without it. Returns whether the lookup asks.
    fn recheck_after_queue(&mut self) -> bool {
        let asks = matches!(self.state, LookupState::NeedsLease { .. });
        if asks {
            self.ask_again();
        }
        asks
    }

    /// Follows the load of the queue leader.
    fn follow_after_queue(&mut self, load: SharedCall) {
        match &mut self.state {
            LookupState::Degraded(degraded) => degraded.call = Some(load),
            _ => self.state = LookupState::Following(load),
        }
    }

    /// How long the lookup has waited for its turn so far. That is not counted as a wait for a
    /// load.
    pub(super) fn count_queue(&mut self, waited: Duration) {
        let more = waited.saturating_sub(mem::replace(&mut self.queued_for, waited));
        if let LookupState::Degraded(degraded) = &mut self.state {
            degraded.deadline += more;
        }
    }
}
