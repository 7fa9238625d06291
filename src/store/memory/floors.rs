//! Floors in this process: the effect of each step of the protocol on a floor key.
//!
//! Called by the steps of the embedded store, under the lock of a stripe. Knows no records and no
//! leases.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::clock::StoreClock;
use crate::store::{Floor, FloorKey, keys::Keys, token::Token};

/// Below this number of entries, a sweep costs more than the memory that it would free.
const LEAST_SWEEP: usize = 64;

/// The floors of some records.
#[derive(Default)]
pub(super) struct Floors {
    clock: StoreClock,
    standing: HashMap<String, StoredFloor>,
    /// The next sweep of lapsed entries happens at this number of entries.
    sweep_at: usize,
}

struct StoredFloor {
    floor: Floor,
    until: Instant,
    /// The writer whose guard has made the floor unknown, if nothing else has.
    by: Option<Token>,
}

impl Floors {
    pub(super) fn new(clock: &StoreClock) -> Floors {
        Floors {
            clock: clock.clone(),
            ..Floors::default()
        }
    }

    /// The floor of a record, if it has one.
    pub(super) fn of(&self, keys: &Keys) -> Floor {
        let key = keys.floor.as_ref();
        let standing = key.and_then(|floor| self.live(floor));
        standing.map_or(Floor::None, |standing| standing.floor)
    }

    /// Raises the floor, if the record has one.
    pub(super) fn raise(&mut self, keys: &Keys, version: Option<u64>) {
        if let Some(floor) = &keys.floor {
            let raised = self.of(keys).raised(version);
            self.put(floor, raised, floor.lag, None);
        }
    }

    /// The same at the end of a write. A floor that only the writer's own guard has made unknown
    /// is replaced.
    pub(super) fn raise_by(&mut self, keys: &Keys, writer: Token, version: Option<u64>) {
        let Some(floor) = &keys.floor else {
            return;
        };
        let is_own = |standing: &StoredFloor| standing.by == Some(writer);
        let before = match self.live(floor) {
            Some(standing) if is_own(standing) => Floor::None,
            Some(standing) => standing.floor,
            None => Floor::None,
        };
        self.put(floor, before.raised(version), floor.lag, None);
    }

    /// Makes the floor unknown for the time of a guard and the lag after it.
    pub(super) fn guard(&mut self, keys: &Keys, writer: Token, guard_ttl: Duration) {
        let Some(floor) = &keys.floor else {
            return;
        };
        let is_free = self.live(floor).is_none_or(|it| it.by == Some(writer));
        let by = is_free.then_some(writer);
        self.put(floor, Floor::Unknown, guard_ttl + floor.lag, by);
    }

    /// Extends the floor of a guard that is renewed.
    pub(super) fn renew(&mut self, keys: &Keys, guard_ttl: Duration) {
        let Some(floor) = &keys.floor else {
            return;
        };
        let (before, by) = match self.live(floor) {
            Some(standing) => (standing.floor, standing.by),
            None => (Floor::Unknown, None),
        };
        self.put(floor, before, guard_ttl + floor.lag, by);
    }

    fn live(&self, floor: &FloorKey) -> Option<&StoredFloor> {
        let standing = self.standing.get(&floor.key);
        standing.filter(|standing| self.clock.now() < standing.until)
    }

    /// Sets a floor. No step shortens its life.
    fn put(&mut self, key: &FloorKey, floor: Floor, life: Duration, by: Option<Token>) {
        let now = self.clock.now();
        if self.standing.len() >= self.sweep_at.max(LEAST_SWEEP) {
            self.standing.retain(|_, standing| now < standing.until);
            self.sweep_at = 2 * self.standing.len();
        }
        let before = self.standing.get(&key.key).map(|standing| standing.until);
        let until = before.map_or(now + life, |until| until.max(now + life));
        let standing = StoredFloor { floor, until, by };
        self.standing.insert(key.key.clone(), standing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(id: &str, lag: Duration) -> Keys {
        Keys::of(id.to_owned()).with_floor(lag)
    }

    #[test]
    fn lapsed_floors_are_swept_even_if_no_step_uses_them() {
        let mut floors = Floors::default();
        let long = Duration::from_secs(600);
        for id in 0..100 {
            floors.raise(&keys(&format!("live {id}"), long), Some(1));
        }
        for id in 0..10_000 {
            floors.raise(&keys(&format!("lapsed {id}"), Duration::ZERO), None);
            let held = floors.standing.len();
            assert!(held <= 4 * 100 + LEAST_SWEEP, "{held} held, 100 live");
        }
        for id in 0..100 {
            let floor = floors.of(&keys(&format!("live {id}"), long));
            assert_eq!(floor, Floor::At(1));
        }
    }
}
