//! The environment of a fact: a store, and caches on it that act as processes.

use std::{sync::Arc, thread, time::Duration};

use cache_aside::{
    Backend, Cache, CacheBuilder, Memory, Redis,
    store::{Acquire, Diff, Floor, Keys, Recheck, Store, Token},
};

use crate::support::Server;

/// A store for this test only.
pub(crate) struct Environment {
    place: Place,
    store: Arc<dyn Store>,
}

enum Place {
    Redis(Server),
    Memory(Memory),
}

impl Environment {
    pub(crate) fn redis() -> Environment {
        let server = Server::start();
        // Facts are about the effect of a step, not about the speed of a busy machine.
        let patient = Redis::builder(server.url()).io_timeout(Duration::from_secs(20));
        Environment {
            store: patient.build().expect("the private server answers").store(),
            place: Place::Redis(server),
        }
    }

    pub(crate) fn memory() -> Environment {
        let memory = Memory::new(10_000);
        Environment {
            store: memory.store(),
            place: Place::Memory(memory),
        }
    }

    /// A cache with the prefix `test:` that acts as another process: it shares only the store with
    /// the others.
    pub(crate) fn builder<R>(&self) -> CacheBuilder<R> {
        match &self.place {
            Place::Redis(server) => server.builder(),
            Place::Memory(memory) => Cache::builder(memory).prefix("test:"),
        }
    }

    /// The same, for records that take a busy machine long.
    pub(crate) fn patient_builder<R>(&self) -> CacheBuilder<R> {
        Cache::builder(Backend::new(Arc::clone(&self.store))).prefix("test:")
    }

    /// A cache of strings, with the defaults.
    pub(crate) fn cache(&self) -> Cache {
        self.builder().build().expect("the store answers")
    }

    /// The store itself, without a cache.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Who may fill a record, as the store answers a request with a token that will not be used.
    pub(crate) fn holder(&self, id: &str) -> Acquire {
        let (keys, probe) = (keys(id), Token::random());
        let answer = self
            .store
            .acquire(&keys, probe, MOMENT, Recheck::Never)
            .unwrap();
        if answer == Acquire::Acquired(Floor::None) {
            self.store.release(&keys, probe).unwrap();
        }
        answer
    }

    /// Whether a caller loads or writes a record.
    pub(crate) fn is_held(&self, id: &str) -> bool {
        self.holder(id) != Acquire::Acquired(Floor::None)
    }

    /// The nonce of the guard on a record, where there is one.
    pub(crate) fn nonce(&self, id: &str) -> Option<Token> {
        match self.holder(id) {
            Acquire::Guarded { nonce, .. } => Some(nonce),
            _ => None,
        }
    }
}

/// Longer than a busy machine takes between two lines, for a lease that is released at once.
const MOMENT: Duration = Duration::from_secs(10);

/// The keys of a record of a [`Environment`]'s caches.
pub(crate) fn keys(id: &str) -> Keys {
    Keys::of(format!("test:{id}"))
}

impl Drop for Environment {
    /// Bounded staleness, after every test: every key in Redis has a TTL. In memory this always
    /// holds.
    fn drop(&mut self) {
        if let Place::Redis(server) = &self.place
            && !thread::panicking()
        {
            server.assert_every_key_expires();
        }
    }
}

/// The change that sets one field.
pub(crate) fn set(name: &str, value: &[u8]) -> Diff {
    Diff {
        set: vec![(name.into(), value.to_vec())],
        removed: Vec::new(),
    }
}
