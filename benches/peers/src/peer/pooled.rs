//! redis-rs with r2d2, as in most blocking programs: read, load on a miss, write back.

use std::{hint::black_box, sync::Arc};

use r2d2::{Pool, PooledConnection};
use redis::Client;

use super::{Batch, Maker, Peer, Read, Setup, Way, hash};
use crate::record::Primary;

pub(super) const DEFAULTS: Maker = Maker {
    name: "r2d2",
    package: Some("r2d2"),
    about: "a pool of redis-rs connections, which sends a `PING` at every checkout unless told not to. A miss loads and \
        writes, unprotected",
    make: |setup| Box::new(Pooled::new(DEFAULTS.name, pool(setup, true))),
};

pub(super) const UNCHECKED: Maker = Maker {
    name: "r2d2 unchecked",
    package: Some("r2d2"),
    about: "the same with `test_on_check_out(false)`",
    make: |setup| Box::new(Pooled::new(UNCHECKED.name, pool(setup, false))),
};

/// Does not have the prefixes of others, because two of them may exist at once.
struct Pooled {
    name: &'static str,
    pool: Pool<Client>,
}

pub(super) fn pool(setup: &Setup<'_>, check: bool) -> Pool<Client> {
    Pool::builder()
        .max_size(setup.connections)
        .test_on_check_out(check)
        .build(Client::open(setup.url).expect("the address is right"))
        .expect("the private server answers")
}

pub(super) fn checkout(pool: &Pool<Client>) -> PooledConnection<Client> {
    pool.get().expect("a connection is free within 30 s")
}

impl Pooled {
    fn new(name: &'static str, pool: Pool<Client>) -> Pooled {
        Pooled { name, pool }
    }

    fn key(&self, id: &str) -> String {
        format!("{}:{id}", self.name)
    }
}

impl Peer for Pooled {
    fn name(&self) -> &'static str {
        self.name
    }

    fn get(&self, id: &str, primary: &Arc<Primary>) {
        let key = self.key(id);
        let found = hash::read(&mut *checkout(&self.pool), &key);
        if found.is_none() {
            let product = primary.read();
            hash::write(&mut *checkout(&self.pool), &key, &product);
            black_box(product);
        }
        black_box(found);
    }

    fn forget(&self, id: &str) {
        hash::delete(&mut *checkout(&self.pool), &self.key(id));
    }

    fn hit(&self) -> Option<Read<'_>> {
        Some(Box::new(|id| {
            let found = hash::read(&mut *checkout(&self.pool), &self.key(id));
            black_box(found.expect("it is there"));
        }))
    }

    fn batch(&self) -> Option<Batch<'_>> {
        let read = |ids: &[String]| {
            let keys = ids.iter().map(|id| self.key(id));
            black_box(hash::read_many(&mut *checkout(&self.pool), keys));
        };
        Some(Batch {
            way: Way::Together,
            read: Box::new(read),
        })
    }
}
