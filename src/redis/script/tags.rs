//! The scripts that use the keys of tags: their calls, and the meaning of their replies.
//!
//! A cache without tags does not send them, so they are not loaded in advance. Called by the stores
//! on a server and on a cluster.

use std::time::Duration;

use redis::{Cmd, RedisResult, Value, cmd};

use super::{INVALIDATE_TAGS, READ_TAGS, Script};
use crate::{
    redis::invalid_reply::invalid_reply,
    store::{TagClock, TagKeys, TagValues, token::Token},
    util::limits::millis,
};

/// The scripts with their hashes, which are computed once.
#[derive(Debug)]
pub(crate) struct TagScripts {
    pub(crate) read_tags: Script,
    pub(crate) invalidate_tags: Script,
}

impl TagScripts {
    pub(crate) fn new() -> TagScripts {
        TagScripts {
            read_tags: Script::new(READ_TAGS),
            invalidate_tags: Script::new(INVALIDATE_TAGS),
        }
    }
}

/// The command that reads the clock, the floor and the tags.
pub(crate) fn read(keys: &TagKeys) -> Cmd {
    let mut read = cmd("MGET");
    write_keys(&mut read, keys);
    read
}

/// The meaning of its reply. `None`: the clock or a tag has no value of the present epoch.
pub(crate) fn values(reply: &Value, keys: &TagKeys) -> RedisResult<Option<TagValues>> {
    let Value::Array(parts) = reply else {
        return Err(miscounted());
    };
    let [clock, floor, tags @ ..] = parts.as_slice() else {
        return Err(miscounted());
    };
    if tags.len() != keys.tags.len() {
        return Err(miscounted());
    }
    let (Some(clock), Some(has_floor)) = (value(clock)?, has_floor(floor)) else {
        return Ok(None);
    };
    let tags = tags.iter().map(|tag| {
        let tag = value(tag)?;
        Ok(tag.filter(|tag| tag.has_epoch_of(clock)))
    });
    let tags: RedisResult<Option<Vec<TagClock>>> = tags.collect();
    Ok(tags?.map(|tags| TagValues {
        clock,
        tags,
        has_floor,
    }))
}

/// A value, if it is well formed.
fn value(part: &Value) -> RedisResult<Option<TagClock>> {
    match part {
        Value::BulkString(text) => Ok(TagClock::parse(text)),
        Value::Nil => Ok(None),
        _ => Err(miscounted()),
    }
}

/// `MGET` says nil if there is no floor, or a value of another type. The script says an empty text.
fn has_floor(part: &Value) -> Option<bool> {
    match part {
        Value::Nil => Some(false),
        Value::BulkString(text) => Some(!text.is_empty()),
        _ => None,
    }
}

fn miscounted() -> redis::RedisError {
    invalid_reply("the clock, the floor and each tag are texts")
}

/// A call of `read_tags.lua`. Each attempt draws its own epoch: a copy that arrives late must not
/// begin one again.
pub(crate) fn read_or_give(script: &Script, keys: &TagKeys, life: Duration) -> Cmd {
    let mut request = call(script, keys);
    write_epoch(&mut request, life);
    request
}

/// A call of `invalidate_tags.lua`, with an epoch of its own too.
pub(crate) fn invalidate(
    script: &Script,
    keys: &TagKeys,
    life: Duration,
    lag: Option<Duration>,
) -> Cmd {
    let mut request = call(script, keys);
    write_epoch(&mut request, life);
    request.arg(lag.map_or(0, millis));
    request
}

fn call(script: &Script, keys: &TagKeys) -> Cmd {
    let mut request = script.to_call(2 + keys.tags.len());
    write_keys(&mut request, keys);
    request
}

fn write_keys(request: &mut Cmd, keys: &TagKeys) {
    request.arg(&keys.clock).arg(&keys.floor).arg(&keys.tags);
}

fn write_epoch(request: &mut Cmd, life: Duration) {
    let token = Token::random();
    request.arg(&token.as_bytes()[..16]).arg(millis(life));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn keys(tags: &[&str]) -> TagKeys {
        TagKeys::of("test", tags).unwrap()
    }

    #[test]
    fn values_are_those_of_the_epoch_of_the_clock() {
        let clock = TagClock::begin(1).next();
        let (clock_text, tag_text) = (
            bulk(&clock.to_string()),
            bulk(&TagClock::begin(1).to_string()),
        );
        let other = bulk(&TagClock::begin(2).to_string());
        let read = |parts: &[&Value]| {
            let parts = parts.iter().map(|&part| part.clone()).collect();
            values(&Value::Array(parts), &keys(&["a"])).unwrap()
        };
        let right = TagValues {
            clock,
            tags: vec![TagClock::begin(1)],
            has_floor: false,
        };
        let nil = &Value::Nil;
        assert_eq!(read(&[&clock_text, nil, &tag_text]), Some(right.clone()));
        assert_eq!(
            read(&[&clock_text, &bulk(""), &tag_text]),
            Some(right.clone())
        );
        let floored = TagValues {
            has_floor: true,
            ..right
        };
        assert_eq!(read(&[&clock_text, &bulk("?"), &tag_text]), Some(floored));
        assert_eq!(read(&[&clock_text, nil, &other]), None);
        assert_eq!(read(&[&clock_text, nil, nil]), None);
        assert_eq!(read(&[nil, nil, &tag_text]), None);
        assert_eq!(read(&[&bulk("7"), nil, &tag_text]), None);
    }

    #[test]
    fn a_reply_of_another_form_is_none() {
        let text = bulk(&TagClock::begin(1).to_string());
        for wrong in [
            Value::Nil,
            Value::Int(1),
            Value::Array(vec![]),
            Value::Array(vec![text.clone(), Value::Nil]),
            Value::Array(vec![text.clone(), Value::Nil, Value::Int(1)]),
            Value::Array(vec![text.clone(), Value::Nil, text.clone(), text]),
        ] {
            assert!(values(&wrong, &keys(&["a"])).is_err(), "{wrong:?}");
        }
    }
}
