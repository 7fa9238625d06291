//! The requests that are plain commands, and the meaning of their replies.
//!
//! Called by the store on one server and by the store on a cluster. Knows neither the state of
//! connections nor the tokens of leases.

use std::time::Duration;

use redis::{Cmd, RedisError, RedisResult, Value, cmd, from_redis_value};

use super::{
    connection::Connection,
    invalid_reply::invalid_reply,
    pipeline::{self, FEW_REQUESTS},
    script::reply,
};
use crate::{
    record::fields::Fields,
    store::{Entry, TtlRemaining},
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
    let mut replies = replies(connection, read_commands(data, true))?;
    read_answer(true, &mut replies).unwrap_or_else(|| Err(incomplete()))
}

/// The commands that read the entry at a data key, and its TTL if `with_ttl` is set.
///
/// The order matters. If the record is filled between the two commands, the TTL is that of the
/// older record. It is then too short, which is safe.
pub(crate) fn read_commands(data: &str, with_ttl: bool) -> impl Iterator<Item = Cmd> {
    let ttl = with_ttl.then_some("PTTL");
    ttl.into_iter()
        .chain(["HGETALL"])
        .map(move |name| key_command(name, data))
}

/// The meaning of the replies to these commands. `None`: they are incomplete.
pub(crate) fn read_answer(
    with_ttl: bool,
    replies: &mut Vec<RedisResult<Value>>,
) -> Option<RedisResult<(Entry, TtlRemaining)>> {
    if with_ttl && replies.len() < 2 {
        return None;
    }
    let fields = replies.pop()?;
    Some(match replies.pop() {
        Some(left) => entry_with_ttl(left.and_then(|left| Ok(from_redis_value(left)?)), fields),
        None => entry(fields).map(|entry| (entry, TtlRemaining::NoTtl)),
    })
}

pub(crate) fn incomplete() -> RedisError {
    invalid_reply("each value that was asked for is there")
}

/// A command whose only argument is a key.
pub(crate) fn key_command(name: &str, key: &str) -> Cmd {
    let mut command = cmd(name);
    command.arg(key);
    command
}

/// Sends commands in one pipeline. An error reply to one of them is no error of the others.
pub(crate) fn replies(
    connection: &mut Connection,
    commands: impl Iterator<Item = Cmd>,
) -> RedisResult<Vec<RedisResult<Value>>> {
    let replies = pipeline::stream(connection, FEW_REQUESTS, commands)?;
    Ok(replies.into_iter().map(Value::extract_error).collect())
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
        pipeline::transaction(&request, connection)?;
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
fn entry_with_ttl(
    left: RedisResult<i64>,
    fields: RedisResult<Value>,
) -> RedisResult<(Entry, TtlRemaining)> {
    Ok((entry(fields)?, remaining(left?)?))
}

/// The meaning of the reply to `PTTL`.
pub(crate) fn remaining(left: i64) -> RedisResult<TtlRemaining> {
    match (u64::try_from(left), left) {
        (Ok(left), _) => Ok(TtlRemaining::Left(Duration::from_millis(left))),
        (_, -1) => Ok(TtlRemaining::NoTtl),
        (_, -2) => Ok(TtlRemaining::NoSuchKey),
        _ => Err(invalid_reply("PTTL answers with a time, -1 or -2")),
    }
}

/// The meaning of the reply to `HGETALL`.
fn entry(reply: RedisResult<Value>) -> RedisResult<Entry> {
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
