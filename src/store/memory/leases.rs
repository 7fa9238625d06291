//! Leases and guards in this process: the effect of each step of the protocol on a lease key.
//!
//! Called by the steps of the embedded store, under the lock of a stripe. Knows no records.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::{clock::StoreClock, floors::Floors};
use crate::store::{Acquire, TagBounds, TagClock, keys::Keys, token::Token};

/// Below this number of entries, a sweep costs more than the memory that it would free.
const LEAST_SWEEP: usize = 64;

/// The leases and guards of some keys.
#[derive(Default)]
pub(super) struct Leases {
    clock: StoreClock,
    /// The floors of the same records.
    pub(super) floors: Floors,
    held: HashMap<String, Held>,
    /// The next sweep of lapsed entries happens at this number of entries.
    sweep_at: usize,
}

/// The content of a lease key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Held {
    Lease {
        token: Token,
        until: Instant,
        /// Of a load under tags: the clock before it.
        clock: Option<TagClock>,
    },
    /// The writers, each with the instant at which its place lapses.
    Guard {
        nonce: Token,
        writers: Vec<(Token, Instant)>,
    },
    /// No lease. A refresh failed, and must not be tried again before `until`.
    BackOff { until: Instant },
}

impl Leases {
    pub(super) fn new(clock: &StoreClock) -> Leases {
        Leases {
            clock: clock.clone(),
            floors: Floors::new(clock),
            ..Leases::default()
        }
    }

    /// The content of a lease key, unless it has lapsed.
    pub(super) fn live(&mut self, lease: &str) -> Option<&mut Held> {
        let now = self.clock.now();
        if self.held.get(lease).is_some_and(|held| held.is_over(now)) {
            self.held.remove(lease);
        }
        self.held.get_mut(lease)
    }

    fn put(&mut self, lease: &str, held: Held) {
        if self.held.len() >= self.sweep_at.max(LEAST_SWEEP) {
            let now = self.clock.now();
            self.held.retain(|_, held| !held.is_over(now));
            self.sweep_at = 2 * self.held.len();
        }
        self.held.insert(lease.to_owned(), held);
    }

    /// Whether there is a guard.
    pub(super) fn is_guarded(&mut self, lease: &str) -> bool {
        matches!(self.live(lease), Some(Held::Guard { .. }))
    }

    /// Whether the lease is held under this token.
    fn is_leased(&mut self, lease: &str, ours: Token) -> bool {
        matches!(self.live(lease), Some(Held::Lease { token, .. }) if *token == ours)
    }

    /// The caller gets the floor of the record if it may load.
    pub(super) fn acquire(&mut self, keys: &Keys, token: Token, ttl: Duration) -> Acquire {
        let floor = self.floors.of(keys);
        let (lease, now) = (&*keys.lease, self.clock.now());
        match self.live(lease) {
            Some(Held::Lease {
                token,
                until,
                clock,
            }) if !is_older(*clock, keys.tags) => Acquire::Held {
                // To a caller without tags, a load under tags may be too old.
                by: (keys.tags.is_some() || clock.is_none()).then_some(*token),
                left: until.saturating_duration_since(now),
            },
            // The caller does not know all of its tags. So it loads beside this load, whose entry
            // will be judged by the tags that it lists.
            Some(Held::Lease { token, clock, .. })
                if keys.tags.is_some_and(|tags| covers(*clock, tags.known)) =>
            {
                Acquire::Guarded {
                    nonce: *token,
                    floor,
                }
            }
            // A caller of `acquire` has no record to fall back on, so a back-off does not hold it
            // up.
            None | Some(Held::BackOff { .. } | Held::Lease { .. }) => {
                self.lease(keys, token, ttl);
                Acquire::Acquired(floor)
            }
            Some(Held::Guard { nonce, writers }) => {
                let before = writers.len();
                writers.retain(|(_, until)| *until > now);
                if writers.len() < before {
                    // A writer died, perhaps after its commit. A load under the old nonce may have
                    // missed that commit, so no later lookup may share it.
                    *nonce = token;
                }
                let nonce = *nonce;
                Acquire::Guarded { nonce, floor }
            }
        }
    }

    /// Takes the lease key if it is free. False: it is not free.
    pub(super) fn take(&mut self, keys: &Keys, token: Token, ttl: Duration) -> bool {
        let is_free = self.live(&keys.lease).is_none();
        if is_free {
            self.lease(keys, token, ttl);
        }
        is_free
    }

    fn lease(&mut self, keys: &Keys, token: Token, ttl: Duration) {
        let held = Held::Lease {
            token,
            until: self.clock.now() + ttl,
            clock: keys.tags.map(|tags| tags.clock),
        };
        self.put(&keys.lease, held);
    }

    /// Removes the lease. False: this token did not hold it.
    pub(super) fn release(&mut self, lease: &str, token: Token) -> bool {
        let is_ours = self.is_leased(lease, token);
        if is_ours {
            self.held.remove(lease);
        }
        is_ours
    }

    /// Replaces the lease by a back-off. False: this token did not hold it.
    pub(super) fn back_off(&mut self, lease: &str, token: Token, pause: Duration) -> bool {
        let is_ours = self.is_leased(lease, token);
        if is_ours {
            let until = self.clock.now() + pause;
            self.put(lease, Held::BackOff { until });
        }
        is_ours
    }

    /// Extends the lease, or the writer's place in the guard. False: this token has neither.
    pub(super) fn renew(&mut self, lease: &str, ours: Token, ttl: Duration) -> bool {
        let renewed = self.clock.now() + ttl;
        let end = match self.live(lease) {
            Some(Held::Lease { token, until, .. }) if *token == ours => Some(until),
            Some(Held::Guard { writers, .. }) => writers
                .iter_mut()
                .find_map(|(writer, until)| (*writer == ours).then_some(until)),
            _ => None,
        };
        let is_ours = end.is_some();
        if let Some(end) = end {
            *end = renewed;
        }
        is_ours
    }

    /// Ends a lease. A guard stays, because its writers have not ended. It gets a new nonce, so
    /// that a lookup that starts later shares no load that began earlier.
    pub(super) fn end(&mut self, lease: &str) {
        match self.live(lease) {
            Some(Held::Guard { nonce, .. }) => *nonce = Token::random(),
            Some(Held::Lease { .. } | Held::BackOff { .. }) => drop(self.held.remove(lease)),
            None => {}
        }
    }

    /// Gives a writer a place in the guard, under a new nonce. Ends a lease.
    pub(super) fn guard(&mut self, lease: &str, writer: Token, new: Token, ttl: Duration) {
        let place = (writer, self.clock.now() + ttl);
        if let Some(Held::Guard { nonce, writers }) = self.live(lease) {
            *nonce = new;
            writers.retain(|(other, _)| *other != writer);
            writers.push(place);
        } else {
            let (nonce, writers) = (new, vec![place]);
            self.put(lease, Held::Guard { nonce, writers });
        }
    }

    /// Whether the guard has this nonce, and no place but this writer's.
    pub(super) fn is_alone(&mut self, lease: &str, writer: Token, nonce: Token) -> bool {
        match self.live(lease) {
            Some(Held::Guard {
                nonce: has,
                writers,
            }) => *has == nonce && matches!(&**writers, [(only, _)] if *only == writer),
            _ => false,
        }
    }

    /// Removes the writer's place from the guard. Also ends a lease, which may have replaced a
    /// lapsed guard.
    pub(super) fn unguard(&mut self, lease: &str, writer: Token) {
        if let Some(Held::Guard { writers, .. }) = self.live(lease) {
            writers.retain(|(other, _)| *other != writer);
        }
        // A guard without writers ends.
        self.end(lease);
    }

    /// The lease keys, including those of lapsed leases.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.held.keys().map(String::as_str)
    }
}

/// Whether a load with this clock is too old for a lookup with these tags, or may be.
fn is_older(clock: Option<TagClock>, tags: Option<TagBounds>) -> bool {
    tags.is_some_and(|tags| !covers(clock, tags.oldest))
}

fn covers(clock: Option<TagClock>, newest: TagClock) -> bool {
    clock.is_some_and(|clock| clock.covers(newest))
}

impl Held {
    fn is_over(&self, now: Instant) -> bool {
        match self {
            Held::Lease { until, .. } | Held::BackOff { until } => *until <= now,
            Held::Guard { writers, .. } => writers.iter().all(|(_, until)| *until <= now),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn lease(until: Instant) -> Held {
        let token = Token::random();
        let clock = None;
        Held::Lease {
            token,
            until,
            clock,
        }
    }

    /// No step looks at a lease again if its id is asked for only once and its holder has died.
    #[test]
    fn lapsed_leases_are_swept_even_if_no_step_uses_them() {
        let mut leases = Leases::default();
        let past = Instant::now();
        let later = past + Duration::from_secs(600);
        for id in 0..100 {
            leases.put(&format!("live {id}"), lease(later));
        }
        for id in 0..10_000 {
            leases.put(&format!("lapsed {id}"), lease(past));
            let held = leases.held.len();
            assert!(held <= 4 * 100 + LEAST_SWEEP, "{held} held, 100 live");
        }
        for id in 0..100 {
            assert!(leases.live(&format!("live {id}")).is_some());
        }
    }

    #[test]
    fn a_guard_is_swept_with_its_last_writer() {
        let past = Instant::now();
        let later = past + Duration::from_secs(600);
        let guard = |ends: &[Instant]| Held::Guard {
            nonce: Token::random(),
            writers: ends.iter().map(|&end| (Token::random(), end)).collect(),
        };
        assert!(!guard(&[past, later]).is_over(past));
        assert!(guard(&[past, past]).is_over(past));
    }
}
