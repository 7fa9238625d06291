//! A store that counts how often somebody asks for a lease, over the one it stands on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use cache_aside::{
    Backend, Cache,
    store::{Acquire, Failure, Keys, Store, Token},
};

use crate::{ground::Ground, pass_on::pass_on};

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

    pass_on! { store: read read_with_ttl refresh fill release back_off renew invalidate expire guard unguard update_field update ttl ping }
}
