//! The store on a Redis server.
//!
//! Sends each step of the protocol as one request, and turns what can come back into the protocol's terms.
//! Knows nothing of flights, loaders or record types.

use std::{fmt, sync::Arc, time::Duration};

use redis::{Client, Connection, RedisResult, Value, cmd};

use super::{
    Acquire, Change, Diff, Entry, Store, TtlRemaining, Update,
    connection::{Conduct, Connections, Timeouts},
    script::{self, Scripts, millis},
};
use crate::{error::Error, fields::Fields, key::Keys, token::Token};

/// A pool of connections to one Redis server, for any number of caches. Cheap to clone: all clones share
/// the pool.
///
/// A cache with settings of its own for one server needs no `Redis`; it takes an address. A `Redis` is for
/// pool settings, and for several caches on one pool:
///
/// ```no_run
/// use cache_aside::{Cache, Record, Redis};
///
/// let redis = Redis::builder("redis://localhost:6379").pool_size(8).build()?;
/// let products: Cache = Cache::builder(&redis).prefix("cache:product:").build()?;
/// let customers: Cache = Cache::builder(&redis).prefix("cache:customer:").build()?;
/// # Ok::<_, cache_aside::Error>(())
/// ```
#[derive(Clone)]
pub struct Redis {
    shared: Arc<Shared>,
}

struct Shared {
    connections: Connections,
    scripts: Scripts,
}

impl Redis {
    /// Opens no connection.
    pub(crate) fn new(client: Client, pool_size: u32, timeouts: Timeouts) -> Redis {
        Redis {
            shared: Arc::new(Shared {
                connections: Connections::new(client, pool_size, timeouts),
                scripts: Scripts::new(),
            }),
        }
    }

    /// Connects once and tells the server the scripts: whatever is wrong with the address, the password or
    /// the permissions shows here, and later no call finds a script missing.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.shared
            .connections
            .run_alone("connect", |connection| self.shared.scripts.load(connection))
    }

    fn run<T>(
        &self,
        request: &'static str,
        conduct: Conduct,
        run: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, Error> {
        self.shared.connections.run(request, conduct, run)
    }
}

impl fmt::Debug for Redis {
    /// Without the address: it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").finish_non_exhaustive()
    }
}

impl Store for Redis {
    fn read(&self, data: &str) -> Result<Entry, Error> {
        self.run("read", Conduct::Repeatable, |connection| {
            hgetall(connection, data)
        })
    }

    fn acquire(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        look: bool,
    ) -> Result<Acquire, Error> {
        self.run("acquire", Conduct::Once, |connection| {
            let reply = self
                .shared
                .scripts
                .acquire
                .call(connection, keys, |request| {
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
    ) -> Result<bool, Error> {
        self.run("fill", Conduct::Repeatable, |connection| {
            self.shared.scripts.fill.call(connection, keys, |request| {
                request.arg(token.as_bytes()).arg(millis(ttl));
                for (name, value) in record {
                    request.arg(name).arg(value);
                }
            })
        })
    }

    fn release(&self, keys: &Keys, token: Token) -> Result<bool, Error> {
        self.run("release", Conduct::Repeatable, |connection| {
            self.shared
                .scripts
                .release
                .call(connection, keys, |request| {
                    request.arg(token.as_bytes());
                })
        })
    }

    fn renew(&self, leases: &[(Keys, Token)], lease_ttl: Duration) -> Result<Vec<bool>, Error> {
        self.run("renew", Conduct::Repeatable, |connection| {
            let renew = &self.shared.scripts.renew;
            renew.call_all(connection, leases, |(keys, token), request| {
                request.arg(&keys.data).arg(&keys.lease);
                request.arg(token.as_bytes()).arg(millis(lease_ttl));
            })
        })
    }

    fn invalidate(&self, keys: &Keys) -> Result<bool, Error> {
        self.run("invalidate", Conduct::Repeatable, |connection| {
            self.shared
                .scripts
                .invalidate
                .call(connection, keys, |_| {})
        })
    }

    fn update_field(
        &self,
        keys: &Keys,
        field: &str,
        value: &[u8],
        ttl: Option<Duration>,
    ) -> Result<bool, Error> {
        self.run("update_field", Conduct::Once, |connection| {
            self.shared
                .scripts
                .update_field
                .call(connection, keys, |request| {
                    request.arg(field).arg(value).arg(ttl.map_or(0, millis));
                })
        })
    }

    fn update(
        &self,
        keys: &Keys,
        ttl: Option<Duration>,
        attempts: u32,
        change: Change<'_>,
    ) -> Result<Update, Error> {
        for _ in 0..attempts {
            let attempt = self.run("update", Conduct::Transaction, |connection| {
                update_once(connection, keys, ttl, change)
            })?;
            if let Some(outcome) = attempt {
                return outcome;
            }
        }
        Err(Error::Contended { attempts })
    }

    fn ttl(&self, data: &str) -> Result<TtlRemaining, Error> {
        let left: i64 = self.run("ttl", Conduct::Repeatable, |connection| {
            cmd("PTTL").arg(data).query(connection)
        })?;
        Ok(match u64::try_from(left) {
            Ok(left) => TtlRemaining::Left(Duration::from_millis(left)),
            Err(_) if left == -1 => TtlRemaining::NoTtl,
            Err(_) => TtlRemaining::NoSuchKey,
        })
    }
}

fn hgetall(connection: &mut Connection, data: &str) -> RedisResult<Entry> {
    let reply = cmd("HGETALL").arg(data).query(connection);
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

/// One attempt at an optimistic update: `None` where another client changed the record or the lease between
/// the look and the change.
fn update_once(
    connection: &mut Connection,
    keys: &Keys,
    ttl: Option<Duration>,
    change: Change<'_>,
) -> RedisResult<Option<Result<Update, Error>>> {
    cmd("WATCH")
        .arg(&keys.data)
        .arg(&keys.lease)
        .exec(connection)?;
    let diff = match hgetall(connection, &keys.data)? {
        Entry::Record(fields) => change(fields),
        Entry::Absent | Entry::Foreign => Ok(None),
    };

    let mut transaction = redis::pipe();
    transaction.atomic().del(&keys.lease).ignore();
    if let Ok(Some(Diff { set, gone })) = &diff {
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
    let done: Option<()> = transaction.query(connection)?;
    Ok(done.map(|()| {
        diff.map(|diff| match diff {
            Some(_) => Update::Changed,
            None => Update::Unchanged,
        })
    }))
}
