//! A store that counts how often somebody asks for a lease, over the one it stands on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use cache_aside::{
    Backend, Cache, TtlRemaining,
    store::{Acquire, Change, Entry, Failure, Fields, Keys, NewTtl, Refresh, Store, Token, Update},
};

use crate::ground::Ground;

pub(crate) struct Counted {
    store: Arc<dyn Store>,
    asked: AtomicU64,
}

/// A cache that stands for another process, and what counts its questions.
pub(crate) fn counted(ground: &Ground) -> (Cache, Arc<Counted>) {
    let counted = Arc::new(Counted {
        store: Arc::clone(ground.store()),
        asked: AtomicU64::new(0),
    });
    let backend = Backend::new(Arc::<Counted>::clone(&counted));
    let cache = Cache::builder(backend).prefix("test:").build().unwrap();
    (cache, counted)
}

impl Counted {
    /// How many questions for a lease have been answered.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(SeqCst)
    }
}

impl Store for Counted {
    fn acquire(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        look: bool,
    ) -> Result<Acquire, Failure> {
        let answer = self.store.acquire(keys, token, lease_ttl, look);
        self.asked.fetch_add(1, SeqCst);
        answer
    }

    fn read(&self, data: &str) -> Result<Entry, Failure> {
        self.store.read(data)
    }

    fn fill(
        &self,
        keys: &Keys,
        token: Token,
        ttl: Duration,
        record: &Fields,
    ) -> Result<bool, Failure> {
        self.store.fill(keys, token, ttl, record)
    }

    fn read_with_ttl(&self, data: &str) -> Result<(Entry, TtlRemaining), Failure> {
        self.store.read_with_ttl(data)
    }

    fn refresh(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        left: Duration,
    ) -> Result<Refresh, Failure> {
        self.store.refresh(keys, token, lease_ttl, left)
    }

    fn back_off(&self, keys: &Keys, token: Token, pause: Duration) -> Result<bool, Failure> {
        self.store.back_off(keys, token, pause)
    }

    fn expire(&self, keys: &Keys, stay: Duration) -> Result<bool, Failure> {
        self.store.expire(keys, stay)
    }

    fn release(&self, keys: &Keys, token: Token) -> Result<bool, Failure> {
        self.store.release(keys, token)
    }

    fn renew(&self, keys: &Keys, token: Token, lease_ttl: Duration) -> Result<bool, Failure> {
        self.store.renew(keys, token, lease_ttl)
    }

    fn invalidate(&self, keys: &Keys) -> Result<bool, Failure> {
        self.store.invalidate(keys)
    }

    fn guard(&self, keys: &Keys, writer: Token, guard_ttl: Duration) -> Result<bool, Failure> {
        self.store.guard(keys, writer, guard_ttl)
    }

    fn unguard(&self, keys: &Keys, writer: Token) -> Result<bool, Failure> {
        self.store.unguard(keys, writer)
    }

    fn update_field(
        &self,
        keys: &Keys,
        field: &str,
        value: &[u8],
        ttl: Option<NewTtl>,
    ) -> Result<Update, Failure> {
        self.store.update_field(keys, field, value, ttl)
    }

    fn update(
        &self,
        keys: &Keys,
        ttl: Option<NewTtl>,
        change: Change<'_>,
    ) -> Result<Update, Failure> {
        self.store.update(keys, ttl, change)
    }

    fn ttl(&self, data: &str) -> Result<TtlRemaining, Failure> {
        self.store.ttl(data)
    }

    fn ping(&self) -> Result<(), Failure> {
        self.store.ping()
    }
}
