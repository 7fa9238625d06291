//! The store in this process with listeners: each step, and then, with no lock held, whoever hears of it.
//!
//! Guarantees that when a step has returned, every listener has been told. Where there is none, a step costs one atomic
//! load more. Knows which step changes what, and nothing of how.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::RwLock;

use super::MemoryStore;
use crate::{
    record::fields::Fields,
    store::{
        Acquire, Change, ChangeListener, Cursor, Entry, Failure, KeyKind, NewTtl, Refresh,
        ScanPage, Store, Subscription, TtlRemaining, Update, keys::Keys, token::Token,
        tracking::SharedListener,
    },
    util::limits::LONGEST,
};

pub(crate) struct Audible {
    store: MemoryStore,
    listeners: Arc<Listeners>,
}

#[derive(Default)]
struct Listeners {
    /// Whether there is any. Relaxed is enough: who has read a record since it was set did so under the lock of that record,
    /// which who changes it takes afterwards.
    any: AtomicBool,
    /// By prefix. Replaced as a whole, so that nobody is told anything under the lock.
    all: RwLock<Arc<[(String, SharedListener)]>>,
}

/// One listener among them, until it is dropped.
struct ListenerHandle {
    listeners: Arc<Listeners>,
    listener: SharedListener,
}

impl Drop for ListenerHandle {
    fn drop(&mut self) {
        let mut all = self.listeners.all.write();
        let others = all
            .iter()
            .filter(|(_, listener)| !Arc::ptr_eq(listener, &self.listener));
        *all = others.cloned().collect();
        self.listeners.any.store(!all.is_empty(), Ordering::Relaxed);
    }
}

impl Audible {
    pub(crate) fn new(store: MemoryStore) -> Audible {
        let listeners = Arc::default();
        Audible { store, listeners }
    }

    /// Tells those who hear this record what has changed: the record, its lease.
    fn tell(&self, keys: &Keys, (record, lease): (bool, bool)) {
        if !self.listeners.any.load(Ordering::Relaxed) {
            return;
        }
        let all = Arc::clone(&self.listeners.all.read());
        for (prefix, listener) in &*all {
            if keys.data.starts_with(prefix) {
                if record {
                    listener.on_change(&keys.data);
                }
                if lease {
                    listener.on_lease_change(&keys.lease);
                }
            }
        }
    }

    fn updated(&self, keys: &Keys, update: Update) -> Update {
        let done = update != Update::Conflict;
        // Where nothing was changed, what said that there is no record may have gone.
        self.tell(keys, (done, done));
        update
    }
}

impl Store for Audible {
    fn read(&self, data: &str) -> Result<Entry, Failure> {
        self.store.read(data)
    }

    fn read_with_ttl(&self, data: &str) -> Result<(Entry, TtlRemaining), Failure> {
        self.store.read_with_ttl(data)
    }

    fn acquire(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        recheck: bool,
    ) -> Result<Acquire, Failure> {
        let acquired = self.store.acquire(keys, token, lease_ttl, recheck)?;
        let changed = match acquired {
            Acquire::Acquired => true,
            // A writer's place lapsed.
            Acquire::Guarded { nonce } => nonce == token,
            Acquire::Record(_) | Acquire::Held { .. } => false,
        };
        self.tell(keys, (false, changed));
        Ok(acquired)
    }

    fn fill(
        &self,
        keys: &Keys,
        token: Token,
        ttl: Duration,
        record: &Fields,
    ) -> Result<bool, Failure> {
        let filled = self.store.fill(keys, token, ttl, record)?;
        self.tell(keys, (filled, filled));
        Ok(filled)
    }

    fn refresh(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        left: Duration,
    ) -> Result<Refresh, Failure> {
        let refresh = self.store.refresh(keys, token, lease_ttl, left)?;
        self.tell(keys, (false, refresh == Refresh::Acquired));
        Ok(refresh)
    }

    fn back_off(&self, keys: &Keys, token: Token, pause: Duration) -> Result<bool, Failure> {
        let done = self.store.back_off(keys, token, pause)?;
        self.tell(keys, (false, done));
        Ok(done)
    }

    fn release(&self, keys: &Keys, token: Token) -> Result<bool, Failure> {
        let released = self.store.release(keys, token)?;
        self.tell(keys, (false, released));
        Ok(released)
    }

    fn renew(&self, keys: &Keys, token: Token, lease_ttl: Duration) -> Result<bool, Failure> {
        let renewed = self.store.renew(keys, token, lease_ttl)?;
        self.tell(keys, (false, renewed));
        Ok(renewed)
    }

    fn invalidate(&self, keys: &Keys) -> Result<bool, Failure> {
        let was_there = self.store.invalidate(keys)?;
        // Also where nothing was there: for want of room, perhaps.
        self.tell(keys, (true, true));
        Ok(was_there)
    }

    fn expire(&self, keys: &Keys, stay: Duration) -> Result<bool, Failure> {
        let was_there = self.store.expire(keys, stay)?;
        self.tell(keys, (true, true));
        Ok(was_there)
    }

    fn scan(&self, prefix: &str, kind: KeyKind, cursor: Cursor) -> Result<ScanPage, Failure> {
        self.store.scan(prefix, kind, cursor)
    }

    fn guard(&self, keys: &Keys, writer: Token, guard_ttl: Duration) -> Result<bool, Failure> {
        let was_there = self.store.guard(keys, writer, guard_ttl)?;
        // Also where nothing was there: for want of room, perhaps.
        self.tell(keys, (true, true));
        Ok(was_there)
    }

    fn unguard(&self, keys: &Keys, writer: Token) -> Result<bool, Failure> {
        let was_there = self.store.unguard(keys, writer)?;
        // Also where nothing was there: for want of room, perhaps.
        self.tell(keys, (true, true));
        Ok(was_there)
    }

    fn update_field(
        &self,
        keys: &Keys,
        field: &str,
        value: &[u8],
        ttl: Option<NewTtl>,
    ) -> Result<Update, Failure> {
        let update = self.store.update_field(keys, field, value, ttl)?;
        Ok(self.updated(keys, update))
    }

    fn update(
        &self,
        keys: &Keys,
        ttl: Option<NewTtl>,
        change: Change<'_>,
    ) -> Result<Update, Failure> {
        let update = self.store.update(keys, ttl, change)?;
        Ok(self.updated(keys, update))
    }

    fn ttl(&self, data: &str) -> Result<TtlRemaining, Failure> {
        self.store.ttl(data)
    }

    fn ping(&self) -> Result<(), Failure> {
        self.store.ping()
    }

    fn track(
        &self,
        prefix: &str,
        _bound: Duration,
        listener: Arc<dyn ChangeListener>,
    ) -> Option<Subscription> {
        {
            let mut all = self.listeners.all.write();
            let place = (prefix.to_owned(), Arc::clone(&listener));
            *all = all.iter().cloned().chain([place]).collect();
            self.listeners.any.store(true, Ordering::Relaxed);
        }
        // It is told within each step, as long as this process lives.
        listener.on_confirmed(Instant::now() + LONGEST);
        let listeners = Arc::clone(&self.listeners);
        Some(Subscription::new(ListenerHandle {
            listeners,
            listener,
        }))
    }
}
