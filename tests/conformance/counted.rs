//! A store that counts the requests for a lease, over another store.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use cache_aside::{
    Backend, Cache,
    store::{Acquire, Failure, Keys, Recheck, Store, Token},
};

use crate::{delegate::delegate, environment::Environment};

pub(crate) struct Counted {
    store: Arc<dyn Store>,
    asked: AtomicU64,
}

/// A cache that acts as another process, and the counter of its requests.
pub(crate) fn counted(environment: &Environment) -> (Cache, Arc<Counted>) {
    let counted = Arc::new(Counted {
        store: Arc::clone(environment.store()),
        asked: AtomicU64::new(0),
    });
    let backend = Backend::new(Arc::<Counted>::clone(&counted));
    let cache = Cache::builder(backend).prefix("test:").build().unwrap();
    (cache, counted)
}

impl Counted {
    /// How many requests for a lease have been answered.
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
        recheck: Recheck,
    ) -> Result<Acquire, Failure> {
        let answer = self.store.acquire(keys, token, lease_ttl, recheck);
        self.asked.fetch_add(1, SeqCst);
        answer
    }

    delegate! { store: read read_with_ttl refresh fill release back_off renew invalidate expire guard unguard update ttl ping }
}
