//! The requests that are plain commands, and what their replies mean.

use std::time::Duration;

use redis::{Connection, RedisResult, Value, cmd};

use super::{pipeline, script};
use crate::{
    store::{Change, Diff, Entry, NewTtl, TtlRemaining, Update, keys::Keys, token::Token},
    util::limits::millis,
};

/// What is there.
pub(crate) fn read(connection: &mut Connection, data: &str) -> RedisResult<Entry> {
    entry(cmd("HGETALL").arg(data).query(connection))
}

/// For how long it is.
pub(crate) fn ttl(connection: &mut Connection, data: &str) -> RedisResult<TtlRemaining> {
    cmd("PTTL").arg(data).query(connection).map(remaining)
}

/// Both.
pub(crate) fn read_with_ttl(
    connection: &mut Connection,
    data: &str,
) -> RedisResult<(Entry, TtlRemaining)> {
    let mut request = redis::pipe();
    request.ignore_errors();
    // In this order: of a record that is filled in between, the TTL is not its own, but no longer.
    request.cmd("PTTL").arg(data).cmd("HGETALL").arg(data);
    let (left, fields) = pipeline::query(&request, connection)?;
    entry_with_ttl(left, fields)
}

/// What `PTTL` and `HGETALL` say.
pub(crate) fn entry_with_ttl(
    left: RedisResult<i64>,
    fields: RedisResult<Value>,
) -> RedisResult<(Entry, TtlRemaining)> {
    Ok((entry(fields)?, remaining(left?)))
}

/// What `PTTL` says.
fn remaining(left: i64) -> TtlRemaining {
    match u64::try_from(left) {
        Ok(left) => TtlRemaining::Left(Duration::from_millis(left)),
        Err(_) if left == -1 => TtlRemaining::NoTtl,
        Err(_) => TtlRemaining::NoSuchKey,
    }
}

/// What `HGETALL` says.
pub(crate) fn entry(reply: RedisResult<Value>) -> RedisResult<Entry> {
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
        Err(error) if error.code() == Some("WRONGTYPE") => return Ok(Entry::WrongType),
        Err(error) => return Err(error),
    };
    match fields {
        Some(fields) if fields.is_empty() => Ok(Entry::Absent),
        Some(fields) => Ok(Entry::Record(fields)),
        None => Err(script::nonsense("HGETALL answers with names and values")),
    }
}

/// From here to the next EXEC on this connection, nobody else's change of the record or its lease
/// goes unnoticed. Returns the type of what stands in the lease's place: a guard is a hash.
///
/// Looks at both before. That takes away what has lapsed: in Redis 6 it would count as changed if
/// it is watched, again and again where nobody looks at it.
pub(crate) fn watch(connection: &mut Connection, keys: &Keys) -> RedisResult<String> {
    let mut watch = redis::pipe();
    watch.cmd("TYPE").arg(&keys.data).ignore();
    watch.cmd("TYPE").arg(&keys.lease).ignore();
    watch.cmd("WATCH").arg(&keys.data).arg(&keys.lease).ignore();
    watch.cmd("TYPE").arg(&keys.lease);
    let (lease,) = pipeline::query(&watch, connection)?;
    Ok(lease)
}

/// One attempt at an optimistic update. `tells`: something changes in any case, so that replicas
/// can be waited for.
pub(crate) fn update(
    connection: &mut Connection,
    keys: &Keys,
    ttl: Option<NewTtl>,
    tells: bool,
    change: Change<'_>,
) -> RedisResult<Update> {
    let lease = watch(connection, keys)?;
    let (found, new_ttl) = match ttl {
        Some(NewTtl { ttl, if_over }) if !if_over.is_zero() => {
            let (found, left) = read_with_ttl(connection, &keys.data)?;
            let has_more = left.left().is_none_or(|left| left > if_over);
            (found, has_more.then_some(ttl))
        }
        ttl => {
            let found = read(connection, &keys.data)?;
            (found, ttl.map(|new| new.ttl))
        }
    };
    let diff = match found {
        Entry::Record(fields) => change(fields),
        Entry::Absent | Entry::WrongType => None,
    };

    let mut transaction = redis::pipe();
    transaction.atomic();
    if lease == "hash" {
        // A guard stays, for its writer has not ended, under another nonce: who comes after this
        // shares no load from before it.
        let nonce = Token::random();
        transaction
            .hset(&keys.lease, "nonce", nonce.as_bytes())
            .ignore();
    } else {
        if tells {
            let set = transaction.cmd("SET").arg(&keys.lease);
            set.arg("").arg("PX").arg(1).ignore();
        }
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
        if let Some(ttl) = new_ttl {
            let request = transaction.cmd("PEXPIRE");
            request.arg(&keys.data).arg(millis(ttl)).ignore();
        }
    }
    // Redis answers nil, and has done nothing, where a watched key changed.
    let done: Option<()> = pipeline::query(&transaction, connection)?;
    Ok(match (done, diff) {
        (None, _) => Update::Conflict,
        (Some(()), Some(_)) => Update::Changed,
        (Some(()), None) => Update::Unchanged,
    })
}
