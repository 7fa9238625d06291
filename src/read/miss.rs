//! After a miss: ask for the lease, and lead, follow or wait.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    acquired::AcquireOutcome,
    lookup::{LeaseLeader, LookupContext, follow},
    wait_for_lease::LeaseWait,
};
use crate::{
    engine::Outcome,
    error::Error,
    loaded::Loaded,
    outcome::{Lookup, Source},
    store::{keys::Keys, token::Token},
};

impl<R: Serialize + DeserializeOwned> LookupContext<'_, R> {
    /// There is no usable record in Redis: load it under a lease, or get it from whoever does.
    pub(super) fn missed(
        &self,
        keys: &Keys,
        mut recheck: bool,
        load: impl FnOnce() -> Result<Loaded<R>, Error>,
    ) -> Result<Lookup<R>, Error> {
        let engine = self.engine;
        let deadline = self.wait_deadline(self.began);
        // In the table before Redis can name it: a follower may hear of the token before its owner does.
        let leader = engine.calls.start(Token::random());
        let token = *leader.key();
        let mut watch: Option<LeaseLeader<'_, R>> = None;
        let mut polls = 0;
        let mut lease_wait = LeaseWait::register(engine, keys);
        loop {
            if let Some(lease_wait) = &mut lease_wait {
                lease_wait.arm();
            }
            let lease_ttl = engine.settings.lease_ttl;
            let acquired = engine.ask("acquire", |store| {
                store.acquire(keys, token, lease_ttl, recheck)
            });
            let outcome = match acquired {
                Ok(answer) => self.acquire_outcome(answer, token),
                Err(failure) => {
                    // The lease may be ours: perhaps only the reply was lost.
                    engine.lease_renewer.give_back(keys.clone(), token);
                    drop((watch, leader, lease_wait));
                    return self.degraded(&keys.data, load, failure);
                }
            };
            match outcome {
                AcquireOutcome::Acquired => {
                    // Those who watched with us ask again, and are outcome our token.
                    drop((watch, lease_wait));
                    return self.lead(keys, &leader, load);
                }
                AcquireOutcome::Shared(outcome) => {
                    if let Some(watch) = watch {
                        watch.complete(outcome.clone());
                    }
                    return self.waited(outcome);
                }
                AcquireOutcome::Unreadable => recheck = false,
                AcquireOutcome::Guarded(guarded) => {
                    drop((watch, lease_wait));
                    let leader = guarded.unwrap_or(leader);
                    return self.load_alone(&leader, load, Source::Loaded);
                }
                AcquireOutcome::Follow(call) => {
                    watch = None;
                    if let Some(outcome) = follow(&call, deadline)? {
                        return self.waited(outcome);
                    }
                    if Instant::now() >= deadline {
                        break;
                    }
                }
                AcquireOutcome::Held { by, left } => {
                    if Instant::now() >= deadline {
                        break;
                    }
                    // What the holder fills is worth a look again.
                    recheck = true;
                    polls += 1;
                    let pause = || {
                        let rang = |lease_wait: &LeaseWait<'_, R>| lease_wait.wait(left, deadline);
                        if !lease_wait.as_ref().is_some_and(rang) {
                            thread::sleep(self.pause(token, polls, left, deadline));
                        }
                    };
                    if let Some(outcome) = self.wait(by, &mut watch, pause, deadline)? {
                        return self.waited(outcome);
                    }
                }
            }
        }
        drop((watch, leader, lease_wait));
        let waited = Error::WaitTimeout {
            waited: self.began.elapsed(),
        };
        if engine.settings.fail_on_wait_timeout {
            return Err(waited);
        }
        self.degraded(&keys.data, load, waited)
    }

    /// The lease is another's: follow the call that is announced under its token in this process, whether
    /// that loads or watches. If there is none, watch: announce one, and pause before context again.
    ///
    /// `None`: ask again.
    fn wait<'a>(
        &'a self,
        holder: Option<Token>,
        watch: &mut Option<LeaseLeader<'a, R>>,
        pause: impl FnOnce(),
        deadline: Instant,
    ) -> Result<Option<Outcome<R>>, Error> {
        // Without a token, that is under another program's lock, everyone is on their own.
        if holder.is_none() || holder != watch.as_ref().map(|watch| *watch.key()) {
            // Another holder than the one that was watched. Its followers must hear of it.
            *watch = None;
            match holder.map(|token| self.engine.calls.start_or_find(&token)) {
                Some(Err(call)) => return follow(&call, deadline),
                announced => *watch = announced.and_then(Result::ok),
            }
        }
        pause();
        Ok(None)
    }

    /// How long to wait before context again for a lease that another process holds, or a call that ended
    /// this very moment. It begins with a millisecond, for the latter, and doubles up to the `poll`
    /// setting, less up to half of it by chance, so that waiters don't ask in step. Never much beyond the
    /// lapse of the lease, never beyond the deadline.
    pub(super) fn pause(
        &self,
        token: Token,
        polls: u32,
        left: Duration,
        deadline: Instant,
    ) -> Duration {
        let longest = self.engine.settings.poll;
        let pause = Duration::from_millis(1 << (polls - 1).min(10)).min(longest);
        let half = u64::try_from(pause.as_micros() / 2).unwrap_or(u64::MAX);
        pause
            .saturating_sub(Duration::from_micros(token.spread(polls, half)))
            .min(left.saturating_add(Duration::from_millis(1)))
            .min(deadline.saturating_duration_since(Instant::now()))
    }
}
