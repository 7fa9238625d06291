//! redis-rs alone: one connection for each thread, held all the time.

use std::{
    hint::black_box,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

use redis::{Client, Connection};

use super::{BARE, Batch, Maker, Peer, Read, Setup, Way, hash};
use crate::record::Primary;

pub(super) const MAKER: Maker = Maker {
    name: BARE,
    package: Some("redis"),
    about: "`HGETALL` on a connection that the thread holds all the time, as many of them as threads, whatever the \
        pool: the limit of one request at a time over one connection. A miss loads and writes, unprotected",
    make: |setup| Box::new(Bare::new(setup)),
};

struct Bare {
    connections: Vec<Mutex<Connection>>,
}

thread_local! {
    /// Threads that begin one after the other have separate connections.
    static TURN: usize = {
        static TURNS: AtomicUsize = AtomicUsize::new(0);
        TURNS.fetch_add(1, Ordering::Relaxed)
    };
}

fn key(id: &str) -> String {
    format!("bare:{id}")
}

impl Bare {
    fn new(setup: &Setup<'_>) -> Bare {
        let client = Client::open(setup.url).expect("the address is right");
        let connect = |_| Mutex::new(client.get_connection().expect("the private server answers"));
        Bare {
            connections: (0..setup.threads).map(connect).collect(),
        }
    }

    /// The connection of this thread: no other thread waits for the lock.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        let turn = TURN.with(|turn| turn % self.connections.len());
        self.connections[turn].lock().expect("nobody panicked")
    }
}

impl Peer for Bare {
    fn name(&self) -> &'static str {
        MAKER.name
    }

    fn get(&self, id: &str, primary: &Arc<Primary>) {
        let key = key(id);
        let found = hash::read(&mut *self.connection(), &key);
        if found.is_none() {
            let product = primary.read();
            hash::write(&mut *self.connection(), &key, &product);
            black_box(product);
        }
        black_box(found);
    }

    fn forget(&self, id: &str) {
        hash::delete(&mut *self.connection(), &key(id));
    }

    fn hit(&self) -> Option<Read<'_>> {
        Some(Box::new(|id| {
            let found = hash::read(&mut *self.connection(), &key(id));
            black_box(found.expect("it is there"));
        }))
    }

    fn batch(&self) -> Option<Batch<'_>> {
        let read = |ids: &[String]| {
            let keys = ids.iter().map(|id| key(id));
            black_box(hash::read_many(&mut *self.connection(), keys));
        };
        Some(Batch {
            way: Way::Together,
            read: Box::new(read),
        })
    }
}
