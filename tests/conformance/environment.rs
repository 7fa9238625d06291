//! What a fact stands on: a store, and caches on it that stand for processes.

use std::{sync::Arc, thread, time::Duration};

use cache_aside::{
    Backend, Cache, CacheBuilder, Memory, Redis,
    store::{Acquire, Keys, Store, Token},
};

use crate::support::Server;

/// A store of this test alone.
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
        // Facts are about what a step does, not about how quick a busy machine is.
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

    /// A cache with the prefix `test:` that stands for another process: it shares the store with the others, and
    /// nothing of what they know.
    pub(crate) fn builder(&self) -> CacheBuilder {
        match &self.place {
            Place::Redis(server) => server.builder(),
            Place::Memory(memory) => Cache::builder(memory).prefix("test:"),
        }
    }

    /// The same, for records that take a busy machine long.
    pub(crate) fn patient_builder(&self) -> CacheBuilder {
        Cache::builder(Backend::new(Arc::clone(&self.store))).prefix("test:")
    }

    /// One of strings, with the defaults.
    pub(crate) fn cache(&self) -> Cache {
        self.builder().build().expect("the store answers")
    }

    /// The store itself, past all caches.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Who may fill a record, as somebody is told who asks without wanting the lease.
    pub(crate) fn holder(&self, id: &str) -> Acquire {
        let (keys, probe) = (keys(id), Token::random());
        let answer = self.store.acquire(&keys, probe, MOMENT, false).unwrap();
        if answer == Acquire::Acquired {
            self.store.release(&keys, probe).unwrap();
        }
        answer
    }

    /// Whether somebody loads or writes a record.
    pub(crate) fn is_held(&self, id: &str) -> bool {
        self.holder(id) != Acquire::Acquired
    }

    /// The nonce of the guard on a record, where there is one.
    pub(crate) fn nonce(&self, id: &str) -> Option<Token> {
        match self.holder(id) {
            Acquire::Guarded { nonce } => Some(nonce),
            _ => None,
        }
    }
}

/// Longer than a busy machine takes from one line to the next, for a lease that is given back at once.
const MOMENT: Duration = Duration::from_secs(10);

/// The keys of a record of a [`Environment`]'s caches.
pub(crate) fn keys(id: &str) -> Keys {
    Keys::of(format!("test:{id}"))
}

impl Drop for Environment {
    /// Bounded staleness, after every test: nothing stands in Redis that wouldn't end by itself. In memory nothing can.
    fn drop(&mut self) {
        if let Place::Redis(server) = &self.place
            && !thread::panicking()
        {
            server.assert_every_key_expires();
        }
    }
}
