//! The store in this process: the same steps, with the same meaning to the letter, and nothing over a wire.
//!
//! Guarantees what [`Store`] asks for. Every change of a record or of its lease is made under the lock of the
//! *stripe* its key falls into, so that each step is atomic; a read looks without that lock, and finds the
//! record from before a change or from after it.
//!
//! # Lock order
//!
//! A stripe, then what the records lock inside. Nothing of the user's runs under either.

pub(crate) mod hash;
pub(crate) mod leases;
pub(crate) mod notifying;
pub(crate) mod records;

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};

use self::{
    leases::{Held, Leases},
    records::{Records, StoredRecord},
};
use super::{
    Acquire, Change, Cursor, Diff, Entry, Failure, KeyKind, NewTtl, Refresh, ScanPage, Store,
    TtlRemaining, Update, keys::Keys, token::Token,
};
use crate::record::fields::Fields;

pub(crate) use self::{notifying::Audible, records::Bound};

/// More than any machine has cores that would all miss in the same microsecond.
const STRIPES: usize = 16;

pub(crate) struct MemoryStore {
    /// Changed under the lock of the key's stripe only.
    records: Records,
    stripes: [Mutex<Leases>; STRIPES],
    hasher: RandomState,
}

impl MemoryStore {
    pub(crate) fn new(bound: Bound) -> MemoryStore {
        MemoryStore {
            records: Records::new(bound),
            stripes: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
        }
    }

    /// Locks what belongs to a record.
    fn lock(&self, keys: &Keys) -> MutexGuard<'_, Leases> {
        let hash = self.hasher.hash_one(&keys.lease);
        self.stripes[usize::from(hash.to_be_bytes()[0]) % STRIPES].lock()
    }

    /// Changes a record. Called under the lock of its leases.
    fn change(&self, keys: &Keys, old: &StoredRecord, diff: &Diff, ttl: Option<NewTtl>) {
        let mut fields = old.fields.clone();
        hash::set(&mut fields, &diff.set);
        hash::remove(&mut fields, &diff.gone);
        let now = Instant::now();
        let until = match ttl {
            Some(NewTtl { ttl, if_over }) if old.left(now) > if_over => now + ttl,
            _ => old.until,
        };
        self.records.put(&keys.data, fields, until);
    }
}

impl Store for MemoryStore {
    fn read(&self, data: &str) -> Result<Entry, Failure> {
        let stored = self.records.live(data);
        Ok(stored.map_or(Entry::Absent, |stored| Entry::Record(stored.fields.clone())))
    }

    fn read_with_ttl(&self, data: &str) -> Result<(Entry, TtlRemaining), Failure> {
        let stored = self.records.live(data);
        Ok(
            stored.map_or((Entry::Absent, TtlRemaining::NoSuchKey), |stored| {
                let left = TtlRemaining::Left(stored.left(Instant::now()));
                (Entry::Record(stored.fields.clone()), left)
            }),
        )
    }

    fn acquire(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        recheck: bool,
    ) -> Result<Acquire, Failure> {
        let mut leases = self.lock(keys);
        if recheck && let Some(stored) = self.records.live(&keys.data) {
            return Ok(Acquire::Record(stored.fields.clone()));
        }
        let now = Instant::now();
        match leases.live(&keys.lease) {
            // Who asks here has no record to fall back on.
            None | Some(Held::BackOff { .. }) => {
                let until = now + lease_ttl;
                leases.put(&keys.lease, Held::Lease { token, until });
                Ok(Acquire::Acquired)
            }
            Some(Held::Lease { token, until }) => Ok(Acquire::Held {
                by: Some(*token),
                left: until.saturating_duration_since(now),
            }),
            Some(Held::Guard { nonce, writers }) => {
                let stood = writers.len();
                writers.retain(|(_, until)| *until > now);
                if writers.len() < stood {
                    // One died, perhaps after its commit, which a load under the nonce may have missed.
                    *nonce = token;
                }
                Ok(Acquire::Guarded { nonce: *nonce })
            }
        }
    }

    fn refresh(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        left: Duration,
    ) -> Result<Refresh, Failure> {
        let mut leases = self.lock(keys);
        let now = Instant::now();
        if let Some(stored) = self.records.live(&keys.data)
            && stored.left(now) > left
        {
            return Ok(Refresh::Record(stored.fields.clone()));
        }
        if leases.live(&keys.lease).is_some() {
            return Ok(Refresh::Taken);
        }
        let until = now + lease_ttl;
        leases.put(&keys.lease, Held::Lease { token, until });
        Ok(Refresh::Acquired)
    }

    fn fill(
        &self,
        keys: &Keys,
        token: Token,
        ttl: Duration,
        record: &Fields,
    ) -> Result<bool, Failure> {
        let mut leases = self.lock(keys);
        if !leases.is_leased(&keys.lease, token) {
            return Ok(false);
        }
        leases.remove(&keys.lease);
        let mut fields = Fields::with_capacity(record.len());
        hash::set(&mut fields, record);
        self.records.put(&keys.data, fields, Instant::now() + ttl);
        Ok(true)
    }

    fn release(&self, keys: &Keys, token: Token) -> Result<bool, Failure> {
        let mut leases = self.lock(keys);
        let ours = leases.is_leased(&keys.lease, token);
        if ours {
            leases.remove(&keys.lease);
        }
        Ok(ours)
    }

    fn back_off(&self, keys: &Keys, token: Token, pause: Duration) -> Result<bool, Failure> {
        let mut leases = self.lock(keys);
        let ours = leases.is_leased(&keys.lease, token);
        if ours {
            let until = Instant::now() + pause;
            leases.put(&keys.lease, Held::BackOff { until });
        }
        Ok(ours)
    }

    fn renew(&self, keys: &Keys, token: Token, lease_ttl: Duration) -> Result<bool, Failure> {
        let mut leases = self.lock(keys);
        let end = match leases.live(&keys.lease) {
            Some(Held::Lease { token: ours, until }) if *ours == token => Some(until),
            Some(Held::Guard { writers, .. }) => writers
                .iter_mut()
                .find_map(|(writer, until)| (*writer == token).then_some(until)),
            _ => None,
        };
        let is_ours = end.is_some();
        if let Some(end) = end {
            *end = Instant::now() + lease_ttl;
        }
        Ok(is_ours)
    }

    fn invalidate(&self, keys: &Keys) -> Result<bool, Failure> {
        let mut leases = self.lock(keys);
        leases.end(&keys.lease);
        Ok(self.records.take(&keys.data))
    }

    fn expire(&self, keys: &Keys, stay: Duration) -> Result<bool, Failure> {
        let mut leases = self.lock(keys);
        leases.end(&keys.lease);
        let Some(stored) = self.records.live(&keys.data) else {
            return Ok(false);
        };
        let until = Instant::now() + stay;
        if stored.says_there_is_none() {
            self.records.take(&keys.data);
        } else if until < stored.until {
            self.records.put(&keys.data, stored.fields.clone(), until);
        }
        Ok(true)
    }

    fn guard(&self, keys: &Keys, writer: Token, guard_ttl: Duration) -> Result<bool, Failure> {
        let mut leases = self.lock(keys);
        let place = (writer, Instant::now() + guard_ttl);
        let nonce = Token::random();
        if let Some(Held::Guard {
            nonce: old,
            writers,
        }) = leases.live(&keys.lease)
        {
            *old = nonce;
            writers.retain(|(other, _)| *other != writer);
            writers.push(place);
        } else {
            let writers = vec![place];
            leases.put(&keys.lease, Held::Guard { nonce, writers });
        }
        Ok(self.records.take(&keys.data))
    }

    fn unguard(&self, keys: &Keys, writer: Token) -> Result<bool, Failure> {
        let mut leases = self.lock(keys);
        if let Some(Held::Guard { writers, .. }) = leases.live(&keys.lease) {
            writers.retain(|(other, _)| *other != writer);
        }
        // A guard without a writer is over; a lease that took its place, because it had lapsed, is ended too.
        leases.end(&keys.lease);
        Ok(self.records.take(&keys.data))
    }

    fn update_field(
        &self,
        keys: &Keys,
        field: &str,
        value: &[u8],
        ttl: Option<NewTtl>,
    ) -> Result<Update, Failure> {
        let mut leases = self.lock(keys);
        leases.end(&keys.lease);
        let Some(stored) = self.records.live(&keys.data) else {
            return Ok(Update::Unchanged);
        };
        if stored.says_there_is_none() {
            self.records.take(&keys.data);
            return Ok(Update::Unchanged);
        }
        let set = vec![(field.into(), value.to_vec())];
        let gone = Vec::new();
        self.change(keys, &stored, &Diff { set, gone }, ttl);
        Ok(Update::Changed)
    }

    fn update(
        &self,
        keys: &Keys,
        ttl: Option<NewTtl>,
        change: Change<'_>,
    ) -> Result<Update, Failure> {
        let held = {
            let mut leases = self.lock(keys);
            leases.live(&keys.lease).cloned()
        };
        let stored = self.records.live(&keys.data);
        let diff = stored
            .as_ref()
            .and_then(|stored| change(stored.fields.clone()));

        let mut leases = self.lock(keys);
        let is_same = match (&stored, self.records.live(&keys.data)) {
            (Some(then), Some(now)) => Arc::ptr_eq(then, &now),
            (None, None) => true,
            _ => false,
        };
        if !is_same || leases.live(&keys.lease).cloned() != held {
            return Ok(Update::Conflict);
        }
        leases.end(&keys.lease);
        Ok(match (stored, diff) {
            (Some(stored), Some(diff)) => {
                self.change(keys, &stored, &diff, ttl);
                Update::Changed
            }
            _ => Update::Unchanged,
        })
    }

    fn ttl(&self, data: &str) -> Result<TtlRemaining, Failure> {
        let stored = self.records.live(data);
        Ok(stored.map_or(TtlRemaining::NoSuchKey, |stored| {
            TtlRemaining::Left(stored.left(Instant::now()))
        }))
    }

    /// A stripe of the leases in each step, or all records in one.
    fn scan(&self, prefix: &str, kind: KeyKind, cursor: Cursor) -> Result<ScanPage, Failure> {
        let mut scanned = ScanPage {
            keys: Vec::new(),
            epoch: 0,
            next: None,
            fraction: 1.0,
        };
        match kind {
            KeyKind::Records => {
                let data = self.records.keys();
                let ours = data.filter(|data| data.starts_with(prefix));
                scanned.keys.extend(ours.map(Keys::of));
            }
            KeyKind::Leases => {
                let stripe = usize::try_from(cursor.position).unwrap_or(STRIPES);
                if let Some(leases) = self.stripes.get(stripe) {
                    let leases = leases.lock();
                    let ours = leases
                        .keys()
                        .filter_map(|lease| Keys::of_lease(lease, prefix));
                    scanned.keys.extend(ours);
                }
                if stripe + 1 < STRIPES {
                    scanned.next = Some(Cursor {
                        position: cursor.position + 1,
                        ..cursor
                    });
                    scanned.fraction = fraction(stripe + 1, STRIPES);
                }
            }
        }
        Ok(scanned)
    }

    fn ping(&self) -> Result<(), Failure> {
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "both are small")]
fn fraction(done: usize, all: usize) -> f64 {
    done as f64 / all as f64
}
