//! Leases and guards in this process.

use std::{collections::HashMap, time::Instant};

use crate::token::Token;

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

    /// Ends a lease. A guard stays, for its writers have not ended, under another nonce: who comes after this
    /// shares no load from before it.
    pub(super) fn end(&mut self, lease: &str) {
        match self.live(lease) {
            Some(Held::Guard { nonce, .. }) => *nonce = Token::random(),
            Some(Held::Lease { .. }) => drop(self.held.remove(lease)),
            None => {}
        }
    }

    pub(super) fn remove(&mut self, lease: &str) {
        self.held.remove(lease);
    }
}

impl Held {
    fn is_over(&self, now: Instant) -> bool {
        match self {
            Held::Lease { until, .. } => *until <= now,
            Held::Guard { writers, .. } => writers.iter().all(|(_, until)| *until <= now),
        }
    }
}
