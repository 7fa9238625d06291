//! The meaning of the replies of the scripts.
//!
//! Guarantees that no reply of another form counts as an answer: it may belong to another request.
//! Called by the stores on a server and on a cluster.

use std::{time::Duration, vec};

use redis::{RedisResult, Value};

use super::floor::floor_in;
use crate::{
    record::fields::Fields,
    redis::invalid_reply::invalid_reply,
    store::{Acquire, Refresh, token::Token},
};

/// The meaning of a reply of all other scripts. No other reply means that the step was done: it
/// may belong to another request.
pub(crate) fn truth(reply: &Value) -> RedisResult<bool> {
    match reply {
        Value::Int(0) => Ok(false),
        Value::Int(1) => Ok(true),
        _ => Err(invalid_reply("the script answers with 0 or 1")),
    }
}

/// The meaning of a reply of `unguard.lua`: whether the given record is cached.
pub(crate) fn written_through(reply: &Value) -> RedisResult<bool> {
    match reply {
        Value::Int(2) => Ok(true),
        reply => truth(reply).map(|_| false),
    }
}

/// The meaning of a reply of `acquire.lua`. `has_floor`: whether the record has a floor key.
pub(crate) fn acquired(reply: Value, has_floor: bool) -> RedisResult<Acquire> {
    let answer = split_reply(reply).and_then(|(kind, parts)| match kind.as_slice() {
        b"acquired" => floor_in(parts.as_slice(), has_floor).map(Acquire::Acquired),
        b"record" => record(parts).map(Acquire::Record),
        b"held" => held(parts.as_slice()),
        b"guarded" => guarded(parts.as_slice(), has_floor),
        _ => None,
    });
    answer.ok_or_else(|| {
        invalid_reply("acquire answers with a record, `acquired`, `held` or `guarded`")
    })
}

/// The meaning of a reply of `refresh.lua`.
pub(crate) fn refreshed(reply: Value, has_floor: bool) -> RedisResult<Refresh> {
    let answer = split_reply(reply).and_then(|(kind, parts)| match kind.as_slice() {
        b"acquired" => floor_in(parts.as_slice(), has_floor).map(Refresh::Acquired),
        b"record" => record(parts).map(Refresh::Record),
        b"taken" => parts.as_slice().is_empty().then_some(Refresh::Taken),
        _ => None,
    });
    answer.ok_or_else(|| invalid_reply("refresh answers with a record, `acquired` or `taken`"))
}

/// The first word of a reply, and the rest.
fn split_reply(reply: Value) -> Option<(Vec<u8>, vec::IntoIter<Value>)> {
    let Value::Array(parts) = reply else {
        return None;
    };
    let mut parts = parts.into_iter();
    match parts.next() {
        Some(Value::BulkString(kind)) => Some((kind, parts)),
        _ => None,
    }
}

fn held(parts: &[Value]) -> Option<Acquire> {
    let [Value::BulkString(holder), Value::Int(left)] = parts else {
        return None;
    };
    Some(Acquire::Held {
        by: Token::try_from(&**holder).ok(),
        // Negative if another program left a lock without a TTL. Such a lock never lapses.
        left: u64::try_from(*left).map_or(Duration::MAX, Duration::from_millis),
    })
}

fn guarded(parts: &[Value], has_floor: bool) -> Option<Acquire> {
    let [Value::BulkString(nonce), floor @ ..] = parts else {
        return None;
    };
    let nonce = Token::try_from(&**nonce).ok()?;
    let floor = floor_in(floor, has_floor)?;
    Some(Acquire::Guarded { nonce, floor })
}

/// The fields of a record. A hash in Redis has at least one.
fn record(parts: vec::IntoIter<Value>) -> Option<Fields> {
    fields(parts).filter(|fields| !fields.is_empty())
}

/// The names and values from the flat list in which Redis sends a hash.
pub(crate) fn fields(mut list: impl ExactSizeIterator<Item = Value>) -> Option<Fields> {
    let mut fields = Vec::with_capacity(list.len() / 2);
    while let Some(name) = list.next() {
        match (name, list.next()?) {
            (Value::BulkString(name), Value::BulkString(value)) => fields.push((name, value)),
            _ => return None,
        }
    }
    Some(fields)
}
