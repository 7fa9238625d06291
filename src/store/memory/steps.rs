//! The steps of the protocol on the embedded store.
//!
//! Called through [`Store`]. Each step takes the lock of one stripe.

use std::{sync::Arc, time::Duration};

use super::{MemoryStore, listeners::Changed, records::StoredRecord};
use crate::{
    record::fields::Fields,
    store::{
        Acquire, Change, ChangeListener, Cursor, Entry, Failure, Floor, KeyKind, NewTtl, Recheck,
        Refresh, ScanPage, Store, Subscription, TAG_CLOCK_FIELD, TaggedStore, TtlRemaining, Update,
        VersionedStore, keys::Keys, token::Token,
    },
};

impl Store for MemoryStore {
    fn read(&self, data: &str) -> Result<Entry, Failure> {
        self.outage.check()?;
        let stored = self.records.live(data);
        Ok(stored.map_or(Entry::Absent, |stored| Entry::Record(stored.fields.clone())))
    }

    fn read_with_ttl(&self, data: &str) -> Result<(Entry, TtlRemaining), Failure> {
        self.outage.check()?;
        let stored = self.records.live(data);
        Ok(
            stored.map_or((Entry::Absent, TtlRemaining::NoSuchKey), |stored| {
                let left = TtlRemaining::Left(stored.left(self.clock.now()));
                (Entry::Record(stored.fields.clone()), left)
            }),
        )
    }

    fn acquire(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        recheck: Recheck,
    ) -> Result<Acquire, Failure> {
        self.outage.check()?;
        let acquired = {
            let mut leases = self.lock(keys);
            let returns = |stored: &StoredRecord| match recheck {
                Recheck::Never => false,
                Recheck::Always => true,
                Recheck::IfOver(left) => stored.left(self.clock.now()) > left,
            };
            let stored = self.records.live(&keys.data);
            if let Some(stored) = stored.filter(|it| returns(it) && it.is_for(keys)) {
                return Ok(Acquire::Record(stored.fields.clone()));
            }
            leases.acquire(keys, token, lease_ttl)
        };
        let is_changed = match acquired {
            Acquire::Acquired(_) => true,
            // The place of a dead writer has lapsed, so the guard got a new nonce.
            Acquire::Guarded { nonce, .. } => nonce == token,
            Acquire::Record(_) | Acquire::Held { .. } => false,
        };
        if is_changed {
            self.listeners.tell(keys, Changed::Lease);
        }
        Ok(acquired)
    }

    fn refresh(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        left: Duration,
    ) -> Result<Refresh, Failure> {
        self.outage.check()?;
        let (mut filled, mut floor) = (None, Floor::None);
        let is_taken = self.change_lease(keys, |leases| {
            let stored = self.records.live(&keys.data);
            filled = stored.filter(|stored| stored.left(self.clock.now()) > left);
            floor = leases.floors.of(keys);
            filled.is_none() && leases.take(keys, token, lease_ttl)
        });
        Ok(match filled {
            Some(stored) => Refresh::Record(stored.fields.clone()),
            None if is_taken => Refresh::Acquired(floor),
            None => Refresh::Taken,
        })
    }

    fn fill(
        &self,
        keys: &Keys,
        token: Token,
        ttl: Duration,
        record: &Fields,
    ) -> Result<bool, Failure> {
        self.outage.check()?;
        Ok(self.fill_if(keys, token, (ttl, record), |_| true))
    }

    fn keep(&self, keys: &Keys, token: Token, ttl: Duration) -> Result<bool, Failure> {
        self.outage.check()?;
        Ok(self.change_lease(keys, |leases| {
            let stored = self.records.live(&keys.data);
            let is_ours = leases.release(&keys.lease, token);
            let stored = stored.filter(|_| is_ours);
            let until = self.clock.now() + ttl;
            if let Some(stored) = &stored {
                let mut fields = stored.fields.clone();
                if let Some(tags) = keys.tags {
                    let is_clock = |name: &[u8]| name == TAG_CLOCK_FIELD.as_bytes();
                    fields.retain(|(name, _)| !is_clock(name));
                    fields.push((TAG_CLOCK_FIELD.into(), tags.clock.to_string().into()));
                }
                self.records.put(&keys.data, fields, until);
            }
            stored.is_some()
        }))
    }

    fn release(&self, keys: &Keys, token: Token) -> Result<bool, Failure> {
        self.outage.check()?;
        Ok(self.change_lease(keys, |leases| leases.release(&keys.lease, token)))
    }

    fn back_off(&self, keys: &Keys, token: Token, pause: Duration) -> Result<bool, Failure> {
        self.outage.check()?;
        Ok(self.change_lease(keys, |leases| leases.back_off(&keys.lease, token, pause)))
    }

    fn renew(&self, keys: &Keys, token: Token, lease_ttl: Duration) -> Result<bool, Failure> {
        self.outage.check()?;
        Ok(self.change_lease(keys, |leases| {
            let renewed = leases.renew(&keys.lease, token, lease_ttl);
            if renewed && leases.is_guarded(&keys.lease) {
                leases.floors.renew(keys, lease_ttl);
            }
            renewed
        }))
    }

    fn invalidate(&self, keys: &Keys) -> Result<bool, Failure> {
        self.outage.check()?;
        Ok(self.invalidate_to(keys, None))
    }

    fn expire(&self, keys: &Keys, max_ttl: Duration) -> Result<bool, Failure> {
        self.outage.check()?;
        let was_there = {
            let mut leases = self.lock(keys);
            leases.end(&keys.lease);
            leases.floors.raise(keys, None);
            let stored = self.records.live(&keys.data);
            let until = self.clock.now() + max_ttl;
            if let Some(stored) = &stored {
                if stored.says_there_is_none() {
                    self.records.take(&keys.data);
                } else if until < stored.until {
                    self.records.put(&keys.data, stored.fields.clone(), until);
                }
            }
            stored.is_some()
        };
        self.listeners.tell(keys, Changed::RecordAndLease);
        Ok(was_there)
    }

    fn guard(&self, keys: &Keys, writer: Token, guard_ttl: Duration) -> Result<bool, Failure> {
        self.outage.check()?;
        Ok(self.set_guard(keys, writer, Token::random(), guard_ttl))
    }

    fn unguard(&self, keys: &Keys, writer: Token) -> Result<bool, Failure> {
        self.outage.check()?;
        Ok(self.remove(keys, |leases| {
            leases.unguard(&keys.lease, writer);
            leases.floors.raise_by(keys, writer, None);
        }))
    }

    fn update(
        &self,
        keys: &Keys,
        ttl: Option<NewTtl>,
        change: Change<'_>,
    ) -> Result<Update, Failure> {
        self.outage.check()?;
        let held = {
            let mut leases = self.lock(keys);
            leases.live(&keys.lease).cloned()
        };
        let stored = self.records.live(&keys.data);
        let diff = stored
            .as_ref()
            .and_then(|stored| change(stored.fields.clone()));

        let update = {
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
            leases.floors.raise(keys, None);
            match (stored, diff) {
                (Some(stored), Some(diff)) => {
                    self.change(keys, &stored, &diff, ttl);
                    Update::Changed
                }
                _ => Update::Unchanged,
            }
        };
        self.listeners.tell(keys, Changed::RecordAndLease);
        Ok(update)
    }

    fn ttl(&self, data: &str) -> Result<TtlRemaining, Failure> {
        self.outage.check()?;
        let stored = self.records.live(data);
        Ok(stored.map_or(TtlRemaining::NoSuchKey, |stored| {
            TtlRemaining::Left(stored.left(self.clock.now()))
        }))
    }

    fn scan(&self, prefix: &str, kind: KeyKind, cursor: Cursor) -> Result<ScanPage, Failure> {
        self.outage.check()?;
        Ok(self.page(prefix, kind, cursor))
    }

    fn track(
        &self,
        prefix: &str,
        _bound: Duration,
        listener: Arc<dyn ChangeListener>,
    ) -> Option<Subscription> {
        let handle = self.listeners.add(prefix, Arc::clone(&listener));
        self.tell_liveness(&*listener);
        Some(Subscription::new(handle))
    }

    fn ping(&self) -> Result<(), Failure> {
        self.outage.check()?;
        Ok(())
    }

    fn versioned(&self) -> Option<&dyn VersionedStore> {
        Some(self)
    }

    fn tagged(&self) -> Option<&dyn TaggedStore> {
        Some(self)
    }
}
