//! The helper from the documentation of Redis (its use case "cache-aside"), rewritten: the code
//! that a user would otherwise paste into a program. Its constants are those of the documentation.

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use r2d2::Pool;
use redis::Client;

use super::{
    HELPER, Maker, Peer, Read, Setup, hash,
    pooled::{checkout, pool},
};
use crate::record::Primary;

pub(super) const MAKER: Maker = Maker {
    name: HELPER,
    package: None,
    about: "the helper of Redis's documentation (`HGETALL`, a lock in Lua, load, `MULTI` `DEL` `HSET` `EXPIRE` `EXEC`, \
        unlock; who has no lock looks again every 25 ms), over r2d2 without a check",
    make: |setup| Box::new(Helper::new(setup)),
};

const LOCK_TTL: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(25);

const LOCK: &str = "return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0";
const UNLOCK: &str =
    "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0";

struct Helper {
    pool: Pool<Client>,
    tokens: AtomicU64,
}

fn key(id: &str) -> String {
    format!("helper:{id}")
}

impl Helper {
    fn new(setup: &Setup<'_>) -> Helper {
        Helper {
            pool: pool(setup, false),
            tokens: AtomicU64::new(0),
        }
    }

    fn read(&self, key: &str) -> Option<hash::Fields> {
        hash::read(&mut *checkout(&self.pool), key)
    }

    fn load(&self, key: &str, primary: &Primary) {
        let product = primary.read();
        hash::write(&mut *checkout(&self.pool), key, &product);
        black_box(product);
    }

    fn eval(&self, script: &str, key: &str, args: &[&str]) -> bool {
        redis::cmd("EVAL")
            .arg(script)
            .arg(1)
            .arg(key)
            .arg(args)
            .query(&mut *checkout(&self.pool))
            .expect("the private server answers")
    }
}

impl Peer for Helper {
    fn name(&self) -> &'static str {
        MAKER.name
    }

    fn get(&self, id: &str, primary: &Arc<Primary>) {
        let key = key(id);
        if let Some(found) = self.read(&key) {
            black_box(found);
            return;
        }
        let lock = format!("lock:{key}");
        let token = self.tokens.fetch_add(1, Ordering::Relaxed).to_string();
        let ttl = LOCK_TTL.as_millis().to_string();
        if self.eval(LOCK, &lock, &[&token, &ttl]) {
            self.load(&key, primary);
            self.eval(UNLOCK, &lock, &[&token]);
            return;
        }
        let deadline = Instant::now() + LOCK_TTL;
        while Instant::now() < deadline {
            thread::sleep(POLL);
            if let Some(found) = self.read(&key) {
                black_box(found);
                return;
            }
        }
        self.load(&key, primary);
    }

    fn forget(&self, id: &str) {
        hash::delete(&mut *checkout(&self.pool), &key(id));
    }

    fn hit(&self) -> Option<Read<'_>> {
        Some(Box::new(|id| {
            black_box(self.read(&key(id)).expect("it is there"));
        }))
    }
}
