//! Leases and guards in this process.

use std::{collections::HashMap, time::Instant};

use crate::store::token::Token;

/// Below this many, looking for lapsed ones costs more than they take up.
const LEAST_SWEEP: usize = 64;

/// The leases and guards of some keys.
#[derive(Default)]
pub(super) struct Leases {
    held: HashMap<String, Held>,
    /// At so many, those that lapsed are looked for.
    sweep_at: usize,
}

/// What stands at a lease key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Held {
    Lease {
        token: Token,
        until: Instant,
    },
    /// Each writer with the end of its place.
    Guard {
        nonce: Token,
        writers: Vec<(Token, Instant)>,
    },
    /// No lease: a refresh failed, and is not to be tried again before this.
    BackOff {
        until: Instant,
    },
}

impl Leases {
    /// What stands at a lease key, unless its time is over.
    pub(super) fn live(&mut self, lease: &str) -> Option<&mut Held> {
        let now = Instant::now();
        if self.held.get(lease).is_some_and(|held| held.is_over(now)) {
            self.held.remove(lease);
        }
        self.held.get_mut(lease)
    }

    pub(super) fn put(&mut self, lease: &str, held: Held) {
        if self.held.len() >= self.sweep_at.max(LEAST_SWEEP) {
            let now = Instant::now();
            self.held.retain(|_, held| !held.is_over(now));
            self.sweep_at = 2 * self.held.len();
        }
        self.held.insert(lease.to_owned(), held);
    }

    /// Whether the lease is held under this token.
    pub(super) fn is_leased(&mut self, lease: &str, ours: Token) -> bool {
        matches!(self.live(lease), Some(Held::Lease { token, .. }) if *token == ours)
    }

    /// Ends a lease. A guard stays, for its writers have not removed, under another nonce: who comes after this
    /// shares no load from before it.
    pub(super) fn end(&mut self, lease: &str) {
        match self.live(lease) {
            Some(Held::Guard { nonce, .. }) => *nonce = Token::random(),
            Some(Held::Lease { .. } | Held::BackOff { .. }) => drop(self.held.remove(lease)),
            None => {}
        }
    }

    /// The lease keys, also of those whose time is over.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.held.keys().map(String::as_str)
    }

    pub(super) fn remove(&mut self, lease: &str) {
        self.held.remove(lease);
    }
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
        Held::Lease { token, until }
    }

    /// Nobody looks at the leases of ids that are asked for once, and whose holders have died.
    #[test]
    fn leases_that_lapsed_are_swept_though_nobody_looks_at_them() {
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
