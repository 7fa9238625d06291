//! Cache-aside as it is often written: read, load on a miss, write back. It does not prevent a
//! stampede.
//!
//! For comparison only. It has as many connections as the cache has by default, so that only the
//! protocol differs.

use std::io;

use cache_aside::Record;
use crossbeam::channel::{self, Receiver, Sender};
use redis::{Client, Connection, RedisResult};

use crate::{
    plan::{How, Plan},
    workers::Answer,
};

/// The default of the cache's own pool.
const CONNECTIONS: usize = 16;

pub(crate) struct Unprotected {
    prefix: String,
    ttl_ms: u128,
    /// The pool: a connection is received, used, and sent back.
    free: Receiver<Connection>,
    back: Sender<Connection>,
}

impl Unprotected {
    pub(crate) fn new(plan: &Plan) -> Result<Unprotected, String> {
        let connect = || -> RedisResult<_> {
            let client = Client::open(plan.url.as_str())?;
            let (back, free) = channel::bounded(CONNECTIONS);
            for _ in 0..CONNECTIONS {
                back.try_send(client.get_connection()?)
                    .expect("there is room for as many as there are");
            }
            Ok((back, free))
        };
        let (back, free) = connect().map_err(|error| format!("Redis: {error}"))?;
        Ok(Unprotected {
            prefix: plan.prefix.clone(),
            ttl_ms: plan.ttl.as_millis(),
            free,
            back,
        })
    }

    pub(crate) fn read(
        &self,
        id: &str,
        load: impl FnOnce(&str) -> io::Result<Option<Record>>,
    ) -> Answer {
        let answer = |how, record| Answer {
            how,
            record,
            trouble: None,
        };
        let failed = |error: redis::RedisError| Answer {
            trouble: Some(error.to_string()),
            ..answer(How::OtherError, None)
        };
        let key = format!("{}{id}", self.prefix);
        match self.look(&key) {
            Ok(None) => {}
            Ok(found) => return answer(How::Hit, found),
            Err(error) => return failed(error),
        }
        match load(id) {
            Ok(Some(record)) => match self.write(&key, &record) {
                Ok(()) => answer(How::Loaded, Some(record)),
                Err(error) => failed(error),
            },
            Ok(None) => answer(How::Loaded, None),
            Err(_) => answer(How::LoaderError, None),
        }
    }

    fn look(&self, key: &str) -> RedisResult<Option<Record>> {
        let fields: Vec<(String, String)> =
            self.with(|connection| redis::cmd("HGETALL").arg(key).query(connection))?;
        let mut record = Record::new();
        for (name, value) in fields {
            record.set(name, value);
        }
        Ok((!record.is_empty()).then_some(record))
    }

    fn write(&self, key: &str, record: &Record) -> RedisResult<()> {
        let fields: Vec<_> = record.iter().collect();
        self.with(|connection| {
            redis::cmd("HSET").arg(key).arg(&fields).exec(connection)?;
            redis::cmd("PEXPIRE")
                .arg(key)
                .arg(self.ttl_ms.to_string())
                .exec(connection)
        })
    }

    /// Runs something on a connection of the pool.
    fn with<T>(&self, run: impl FnOnce(&mut Connection) -> T) -> T {
        let mut connection = self.free.recv().expect("`back` lives as long as `free`");
        let outcome = run(&mut connection);
        // A connection that failed is sent back too, because this program only measures.
        let _ = self.back.send(connection);
        outcome
    }
}
