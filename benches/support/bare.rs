//! The bare counterparts of our calls: the same commands by redis-rs on one held connection, with
//! nothing around them.

#![allow(dead_code, reason = "each bench takes its own part")]

use cache_aside::{Record, scripts};
use redis::{Connection, Script};

use crate::support::{Server, loaf};

/// The state of a program without a cache library.
pub(crate) struct Bare {
    connection: Connection,
    acquire: Script,
    fill: Script,
    key: String,
    lease: String,
    record: Record,
}

impl Bare {
    /// For the small record that most benchmarks use.
    pub(crate) fn new(server: &Server) -> Bare {
        Bare::of(server, "p-001", loaf())
    }

    /// For the record of a cache with the prefix `test:`.
    pub(crate) fn of(server: &Server, id: &str, record: Record) -> Bare {
        let mut connection = server.connect();
        let (acquire, fill) = (Script::new(scripts::ACQUIRE), Script::new(scripts::FILL));
        acquire.load(&mut connection).unwrap();
        fill.load(&mut connection).unwrap();
        Bare {
            connection,
            acquire,
            fill,
            key: format!("test:{id}"),
            lease: format!("lock:{{test:{id}}}"),
            record,
        }
    }

    pub(crate) fn hgetall(&mut self) -> Vec<(String, String)> {
        redis::cmd("HGETALL")
            .arg(&self.key)
            .query(&mut self.connection)
            .unwrap()
    }

    /// The three round trips of a miss.
    pub(crate) fn miss(&mut self) {
        self.hgetall();
        let mut acquire = self.acquire.key(&self.key);
        acquire
            .key(&self.lease)
            .arg("token")
            .arg(2000)
            .arg("recheck");
        acquire.invoke::<()>(&mut self.connection).unwrap();
        let mut fill = self.fill.key(&self.key);
        fill.key(&self.lease).arg("token").arg(30_000);
        for (name, value) in &self.record {
            fill.arg(name).arg(value);
        }
        assert!(fill.invoke::<bool>(&mut self.connection).unwrap());
    }

    pub(crate) fn del(&mut self) {
        redis::cmd("DEL")
            .arg(&[&self.key, &self.lease])
            .exec(&mut self.connection)
            .unwrap();
    }

    pub(crate) fn hset(&mut self) {
        redis::cmd("HSET")
            .arg(&[&self.key, "stock", "41"])
            .exec(&mut self.connection)
            .unwrap();
    }
}
