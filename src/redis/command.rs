//! The requests that are plain commands, and the meaning of their replies.
//!
//! Called by the store on one server and by the store on a cluster. Knows neither the state of
//! connections nor the tokens of leases.

use std::{io, mem, time::Duration};

use redis::{RedisResult, Value, cmd, from_redis_value};

use super::{
    connection::Connection,
    invalid_reply::invalid_reply,
    pipeline,
    script::{UNKNOWN, reply},
};
use crate::{
    record::fields::Fields,
    store::{Change, Diff, Entry, NewTtl, TtlRemaining, Update, keys::Keys, token::Token},
    util::{
        limits::millis,
        process::{OtherProcess, Process},
    },
};

/// Reads the entry at a data key.
pub(crate) fn read(connection: &mut Connection, data: &str) -> RedisResult<Entry> {
    entry(cmd("HGETALL").arg(data).query(connection))
}

/// Reads the remaining TTL of a data key.
pub(crate) fn ttl(connection: &mut Connection, data: &str) -> RedisResult<TtlRemaining> {
    remaining(cmd("PTTL").arg(data).query(connection)?)
}

/// Reads the entry and its remaining TTL.
pub(crate) fn read_with_ttl(
    connection: &mut Connection,
    data: &str,
) -> RedisResult<(Entry, TtlRemaining)> {
    let mut request = redis::pipe();
    request.ignore_errors();
    // The order matters. If the record is filled between the two commands, the TTL is that of the
    // older record. It is then too short, which is safe.
    request.cmd("PTTL").arg(data).cmd("HGETALL").arg(data);
    let (left, fields) = pipeline::query(&request, connection)?;
    entry_with_ttl(left, fields)
}

/// Reads some fields of the entry, and its remaining TTL. The two commands are one transaction: if
/// the entry has none of the fields, only its TTL shows that there is one.
pub(crate) fn read_fields(
    connection: &mut Connection,
    data: &str,
    names: &[&[u8]],
) -> RedisResult<(Entry, TtlRemaining)> {
    let mut request = redis::pipe();
    request.atomic().ignore_errors();
    request
        .cmd("PTTL")
        .arg(data)
        .cmd("HMGET")
        .arg(data)
        .arg(names);
    let (left, values): (RedisResult<i64>, RedisResult<Value>) =
        pipeline::query(&request, connection)?;
    let left = remaining(left?)?;
    let invalid = || invalid_reply("HMGET answers with a value for each name");
    let values = match values {
        Ok(Value::Array(values)) if values.len() == names.len() => values,
        Ok(_) => return Err(invalid()),
        Err(error) if error.code() == Some("WRONGTYPE") => return Ok((Entry::WrongType, left)),
        Err(error) => return Err(error),
    };
    if left == TtlRemaining::NoSuchKey {
        return Ok((Entry::Absent, left));
    }
    let mut fields = Fields::new();
    for (name, value) in names.iter().zip(values) {
        match value {
            Value::BulkString(value) => fields.push((name.to_vec(), value)),
            Value::Nil => {}
            _ => return Err(invalid()),
        }
    }
    Ok((Entry::Record(fields), left))
}

/// The meaning of the replies to `PTTL` and `HGETALL`.
pub(crate) fn entry_with_ttl(
    left: RedisResult<i64>,
    fields: RedisResult<Value>,
) -> RedisResult<(Entry, TtlRemaining)> {
    Ok((entry(fields)?, remaining(left?)?))
}

/// The meaning of the reply to `PTTL`.
fn remaining(left: i64) -> RedisResult<TtlRemaining> {
    match (u64::try_from(left), left) {
        (Ok(left), _) => Ok(TtlRemaining::Left(Duration::from_millis(left))),
        (_, -1) => Ok(TtlRemaining::NoTtl),
        (_, -2) => Ok(TtlRemaining::NoSuchKey),
        _ => Err(invalid_reply("PTTL answers with a time, -1 or -2")),
    }
}

/// The meaning of the reply to `HGETALL`.
pub(crate) fn entry(reply: RedisResult<Value>) -> RedisResult<Entry> {
    let fields = match reply {
        // The form of the reply depends on the protocol version in the address.
        Ok(Value::Array(list)) => reply::fields(list.into_iter()),
        Ok(Value::Map(pairs)) => reply::fields(
            pairs
                .into_iter()
                .flat_map(|(name, value)| [name, value])
                .collect::<Vec<_>>()
                .into_iter(),
        ),
        Ok(_) => None,
        Err(error) if error.code() == Some("WRONGTYPE") => return Ok(Entry::WrongType),
        Err(error) => return Err(error),
    };
    match fields {
        Some(fields) if fields.is_empty() => Ok(Entry::Absent),
        Some(fields) => Ok(Entry::Record(fields)),
        None => Err(invalid_reply("HGETALL answers with names and values")),
    }
}

/// Watches the record and its lease, and reads the record. The next EXEC on this connection fails
/// if anyone changes one of the two before it. Returns what it found.
///
/// Reads both keys before the watch, so that Redis removes them if they have expired. Redis 6 would
/// otherwise count a watched key that has expired as changed, and would do so at each attempt.
fn watch(connection: &mut Connection, keys: &Keys, with_ttl: bool) -> RedisResult<Watched> {
    let mut watch = redis::pipe();
    // A value of another type at the data key is no error here, so each reply is checked below.
    watch.ignore_errors();
    watch.cmd("TYPE").arg(&keys.data);
    watch.cmd("TYPE").arg(&keys.lease);
    watch.cmd("WATCH").arg(&keys.data).arg(&keys.lease);
    if let Some(floor) = &keys.floor {
        watch.cmd("PTTL").arg(&floor.key);
    }
    watch.cmd("TYPE").arg(&keys.lease);
    if with_ttl {
        watch.cmd("PTTL").arg(&keys.data);
    }
    watch.cmd("HGETALL").arg(&keys.data);
    let mut replies: Vec<RedisResult<Value>> = pipeline::query(&watch, connection)?;
    let fields = replies.pop().unwrap_or(Ok(Value::Nil));
    let left = if with_ttl { replies.pop() } else { None };
    // The last reply is the type of the lease, after the TTL of the floor if there is one. A
    // failure of any of them fails the update.
    let (mut lease, mut before_lease) = (Value::Nil, Value::Nil);
    for reply in replies {
        before_lease = mem::replace(&mut lease, reply?);
    }
    let lease = from_redis_value(lease)?;
    let floor_left = match &keys.floor {
        Some(_) => remaining(from_redis_value(before_lease)?)?.left(),
        None => None,
    };
    let (found, left) = match left {
        Some(left) => {
            let left = left.and_then(|left| Ok(from_redis_value(left)?));
            entry_with_ttl(left, fields)?
        }
        None => (entry(fields)?, TtlRemaining::NoTtl),
    };
    Ok(Watched {
        lease,
        found,
        left,
        floor_left,
    })
}

/// What [`watch`] found.
struct Watched {
    /// The type of the value at the lease key. A guard is a hash.
    lease: String,
    found: Entry,
    /// The remaining TTL of the entry, if it was asked for.
    left: TtlRemaining,
    /// The remaining TTL of the floor. It may be longer than the lag only under a guard, and each
    /// step that makes it so changes the lease key, which is watched.
    floor_left: Option<Duration>,
}

/// Makes one attempt at an optimistic update. `forces_change`: changes something in any case, so
/// that `WAIT` has a change to wait for.
pub(crate) fn update(
    connection: &mut Connection,
    keys: &Keys,
    ttl: Option<NewTtl>,
    forces_change: bool,
    change: Change<'_>,
) -> RedisResult<Update> {
    let if_over = ttl
        .map(|new| new.if_over)
        .filter(|if_over| !if_over.is_zero());
    let Watched {
        lease,
        found,
        left,
        floor_left,
    } = watch(connection, keys, if_over.is_some())?;
    let new_ttl = match if_over {
        Some(if_over) if left.left().is_some_and(|left| left <= if_over) => None,
        _ => ttl.map(|new| new.ttl),
    };
    let diff = match found {
        Entry::Record(fields) => {
            let here = Process::current();
            let diff = change(fields);
            // If the closure forked, the connection belongs to the parent, which ends the
            // transaction.
            if here != Process::current() {
                return Err(io::Error::other(OtherProcess).into());
            }
            diff
        }
        Entry::Absent | Entry::WrongType => None,
    };

    let mut transaction = redis::pipe();
    transaction.atomic();
    if lease == "hash" {
        // A guard stays, because its writer has not ended. It gets a new nonce, so that a later
        // lookup shares no load from before this update.
        let nonce = Token::random();
        transaction
            .hset(&keys.lease, "nonce", nonce.as_bytes())
            .ignore();
    } else {
        if forces_change {
            let set = transaction.cmd("SET").arg(&keys.lease);
            set.arg("").arg("PX").arg(1).ignore();
        }
        transaction.del(&keys.lease).ignore();
    }
    if let Some(floor) = &keys.floor {
        // No step shortens the life of a floor.
        let life = floor_left.unwrap_or_default().max(floor.lag);
        let set = transaction.cmd("SET").arg(&floor.key);
        set.arg(UNKNOWN).arg("PX").arg(millis(life)).ignore();
    }
    if let Some(Diff { set, removed }) = &diff {
        if !set.is_empty() {
            let request = transaction.cmd("HSET").arg(&keys.data);
            for (name, value) in set {
                request.arg(name).arg(value);
            }
            request.ignore();
        }
        if !removed.is_empty() {
            transaction.hdel(&keys.data, removed).ignore();
        }
        if let Some(ttl) = new_ttl {
            let request = transaction.cmd("PEXPIRE");
            request.arg(&keys.data).arg(millis(ttl)).ignore();
        }
    }
    // If a watched key has changed, Redis replies nil and does nothing.
    let done: Option<()> = pipeline::query(&transaction, connection)?;
    Ok(match (done, diff) {
        (None, _) => Update::Conflict,
        (Some(()), Some(_)) => Update::Changed,
        (Some(()), None) => Update::Unchanged,
    })
}
