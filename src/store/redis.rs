//! The store on a Redis server.
//!
//! Sends each step of the protocol as one request, and turns what can come back into the protocol's terms.
//! Knows nothing of flights, loaders or record types.

use std::{sync::Arc, time::Duration};

use redis::{Client, Connection, RedisResult, Value, cmd};

use super::{
    Acquire, Change, Diff, Ear, Entry, Failure, Store, Tracking, TtlRemaining, Update, cause,
    connection::{Conduct, Connections, Timeouts},
    pipeline,
    script::{self, Scripts},
    tracking,
};
use crate::{fields::Fields, key::Keys, setting::millis, token::Token};

/// One server: the connections to it, and the scripts it is told.
pub(crate) struct RedisStore {
    connections: Connections,
    scripts: Scripts,
}

impl RedisStore {
    /// Opens no connection.
    pub(crate) fn new(client: Client, pool_size: u32, timeouts: Timeouts) -> RedisStore {
        RedisStore {
            connections: Connections::new(client, pool_size, timeouts),
            scripts: Scripts::new(),
        }
    }

    /// Connects once and tells the server the scripts: whatever is wrong with the address, the password or
    /// the permissions shows here, and later no call finds a script missing.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.connections
            .run_alone(|connection| self.scripts.load(connection))
    }

    fn run<T>(
        &self,
        conduct: Conduct,
        run: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, Failure> {
        self.connections.run(conduct, run)
    }
}

impl Store for RedisStore {
    fn read(&self, data: &str) -> Result<Entry, Failure> {
        self.run(Conduct::Repeatable, |connection| hgetall(connection, data))
    }

    fn read_with_ttl(&self, data: &str) -> Result<(Entry, TtlRemaining), Failure> {
        let mut request = redis::pipe();
        request.ignore_errors();
        // In this order: of a record that is filled in between, the time is that nothing is there.
        request.cmd("PTTL").arg(data).cmd("HGETALL").arg(data);
        self.run(Conduct::Repeatable, |connection| {
            let [left, reply]: [RedisResult<Value>; 2] =
                pipeline::query::<Vec<_>>(&request, connection)?
                    .try_into()
                    .map_err(|_| script::nonsense("two commands get two replies"))?;
            let left = redis::from_redis_value(left?)?;
            Ok((entry(reply)?, ttl_remaining(left)))
        })
    }

    fn acquire(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        look: bool,
    ) -> Result<Acquire, Failure> {
        self.run(Conduct::Once, |connection| {
            let reply = self.scripts.acquire.call(connection, keys, |request| {
                request
                    .arg(token.as_bytes())
                    .arg(millis(lease_ttl))
                    .arg(if look { "look" } else { "skip" });
            })?;
            script::acquired(reply)
        })
    }

    fn fill(
        &self,
        keys: &Keys,
        token: Token,
        ttl: Duration,
        record: &Fields,
    ) -> Result<bool, Failure> {
        self.run(Conduct::Repeatable, |connection| {
            self.scripts.fill.call(connection, keys, |request| {
                request.arg(token.as_bytes()).arg(millis(ttl));
                for (name, value) in record {
                    request.arg(name).arg(value);
                }
            })
        })
    }

    fn release(&self, keys: &Keys, token: Token) -> Result<bool, Failure> {
        self.run(Conduct::Repeatable, |connection| {
            self.scripts.release.call(connection, keys, |request| {
                request.arg(token.as_bytes());
            })
        })
    }

    fn renew(&self, keys: &Keys, token: Token, lease_ttl: Duration) -> Result<bool, Failure> {
        self.run(Conduct::Repeatable, |connection| {
            self.scripts.renew.call(connection, keys, |request| {
                request.arg(token.as_bytes()).arg(millis(lease_ttl));
            })
        })
    }

    fn renew_all(
        &self,
        leases: &[(Keys, Token)],
        lease_ttl: Duration,
    ) -> Result<Vec<bool>, Failure> {
        self.run(Conduct::Repeatable, |connection| {
            let renew = &self.scripts.renew;
            let renewed = renew.call_all(connection, leases, |(keys, token), request| {
                request.arg(&keys.data).arg(&keys.lease);
                request.arg(token.as_bytes()).arg(millis(lease_ttl));
            })?;
            renewed.into_iter().collect()
        })
    }

    fn invalidate(&self, keys: &Keys) -> Result<bool, Failure> {
        self.run(Conduct::Repeatable, |connection| {
            self.scripts.invalidate.call(connection, keys, |request| {
                request.arg(Token::random().as_bytes());
            })
        })
    }

    fn invalidate_all(&self, all: &[&Keys]) -> Result<Vec<Result<(), Failure>>, Failure> {
        let each = self.run(Conduct::Repeatable, |connection| {
            let invalidate = &self.scripts.invalidate;
            invalidate.call_all::<_, bool>(connection, all, |keys, request| {
                request.arg(&keys.data).arg(&keys.lease);
                request.arg(Token::random().as_bytes());
            })
        })?;
        let refused = |error| cause::failure(error, self.connections.io_timeout());
        let each = each.into_iter();
        Ok(each.map(|done| done.map(drop).map_err(refused)).collect())
    }

    fn guard(&self, keys: &Keys, writer: Token, guard_ttl: Duration) -> Result<bool, Failure> {
        self.run(Conduct::Repeatable, |connection| {
            self.scripts.guard.call(connection, keys, |request| {
                request.arg(writer.as_bytes());
                request.arg(Token::random().as_bytes());
                request.arg(millis(guard_ttl));
            })
        })
    }

    fn unguard(&self, keys: &Keys, writer: Token) -> Result<bool, Failure> {
        self.run(Conduct::Repeatable, |connection| {
            self.scripts.unguard.call(connection, keys, |request| {
                request.arg(writer.as_bytes());
                request.arg(Token::random().as_bytes());
            })
        })
    }

    fn update_field(
        &self,
        keys: &Keys,
        field: &str,
        value: &[u8],
        ttl: Option<Duration>,
    ) -> Result<Update, Failure> {
        let done = self.run(Conduct::Transaction, |connection| {
            watch(connection, keys)?;
            let update_field = &self.scripts.update_field;
            update_field.call_watched(connection, keys, |request| {
                request.arg(field).arg(value).arg(ttl.map_or(0, millis));
                request.arg(Token::random().as_bytes());
            })
        })?;
        Ok(match done {
            Some(true) => Update::Changed,
            Some(false) => Update::Unchanged,
            None => Update::Overtaken,
        })
    }

    fn update(
        &self,
        keys: &Keys,
        ttl: Option<Duration>,
        change: Change<'_>,
    ) -> Result<Update, Failure> {
        self.run(Conduct::Transaction, |connection| {
            update_once(connection, keys, ttl, change)
        })
    }

    fn ttl(&self, data: &str) -> Result<TtlRemaining, Failure> {
        let left: i64 = self.run(Conduct::Repeatable, |connection| {
            cmd("PTTL").arg(data).query(connection)
        })?;
        Ok(ttl_remaining(left))
    }

    fn track(&self, prefix: &str, bound: Duration, ear: Arc<dyn Ear>) -> Option<Tracking> {
        let (client, timeouts) = self.connections.terms();
        Some(tracking::track(client, timeouts, prefix, bound, ear))
    }

    fn ping(&self) -> Result<(), Failure> {
        self.run(Conduct::Repeatable, |connection| {
            cmd("PING").exec(connection)
        })
    }
}

/// What `PTTL` answers.
fn ttl_remaining(left: i64) -> TtlRemaining {
    match u64::try_from(left) {
        Ok(left) => TtlRemaining::Left(Duration::from_millis(left)),
        Err(_) if left == -1 => TtlRemaining::NoTtl,
        Err(_) => TtlRemaining::NoSuchKey,
    }
}

fn hgetall(connection: &mut Connection, data: &str) -> RedisResult<Entry> {
    entry(cmd("HGETALL").arg(data).query(connection))
}

/// What `HGETALL` answers.
fn entry(reply: RedisResult<Value>) -> RedisResult<Entry> {
    let fields = match reply {
        // What a server sends depends on the protocol version in the address.
        Ok(Value::Array(list)) => script::fields(list.into_iter()),
        Ok(Value::Map(pairs)) => script::fields(
            pairs
                .into_iter()
                .flat_map(|(name, value)| [name, value])
                .collect::<Vec<_>>()
                .into_iter(),
        ),
        Ok(_) => None,
        Err(error) if error.code() == Some("WRONGTYPE") => return Ok(Entry::Foreign),
        Err(error) => return Err(error),
    };
    match fields {
        Some(fields) if fields.is_empty() => Ok(Entry::Absent),
        Some(fields) => Ok(Entry::Record(fields)),
        None => Err(script::nonsense("HGETALL answers with names and values")),
    }
}

/// From here to the next EXEC on this connection, nobody else's change of the record or its lease goes unnoticed.
/// Returns the type of what stands in the lease's place: a guard is a hash.
fn watch(connection: &mut Connection, keys: &Keys) -> RedisResult<String> {
    let mut watch = redis::pipe();
    watch.cmd("WATCH").arg(&keys.data).arg(&keys.lease).ignore();
    watch.cmd("TYPE").arg(&keys.lease);
    let (lease,) = pipeline::query(&watch, connection)?;
    Ok(lease)
}

/// One attempt at an optimistic update.
fn update_once(
    connection: &mut Connection,
    keys: &Keys,
    ttl: Option<Duration>,
    change: Change<'_>,
) -> RedisResult<Update> {
    let lease = watch(connection, keys)?;
    let diff = match hgetall(connection, &keys.data)? {
        Entry::Record(fields) => change(fields),
        Entry::Absent | Entry::Foreign => None,
    };

    let mut transaction = redis::pipe();
    transaction.atomic();
    if lease == "hash" {
        // A guard stays, for its writer has not ended, under another nonce: who comes after this shares no
        // load from before it.
        let nonce = Token::random();
        transaction
            .hset(&keys.lease, "nonce", nonce.as_bytes())
            .ignore();
    } else {
        transaction.del(&keys.lease).ignore();
    }
    if let Some(Diff { set, gone }) = &diff {
        if !set.is_empty() {
            let request = transaction.cmd("HSET").arg(&keys.data);
            for (name, value) in set {
                request.arg(name).arg(value);
            }
            request.ignore();
        }
        if !gone.is_empty() {
            transaction.hdel(&keys.data, gone).ignore();
        }
        if let Some(ttl) = ttl {
            let request = transaction.cmd("PEXPIRE");
            request.arg(&keys.data).arg(millis(ttl)).ignore();
        }
    }
    // Redis answers nil, and has done nothing, where a watched key changed.
    let done: Option<()> = pipeline::query(&transaction, connection)?;
    Ok(match (done, diff) {
        (None, _) => Update::Overtaken,
        (Some(()), Some(_)) => Update::Changed,
        (Some(()), None) => Update::Unchanged,
    })
}
