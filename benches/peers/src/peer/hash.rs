//! A record as a hash, by commands of redis-rs that a user would write.

use std::collections::HashMap;

use redis::{ConnectionLike, Pipeline};

use crate::record::{Product, TTL};

pub(super) type Fields = HashMap<String, String>;

const ANSWERS: &str = "the private server answers";

pub(super) fn read(connection: &mut impl ConnectionLike, key: &str) -> Option<Fields> {
    let fields: Fields = redis::cmd("HGETALL")
        .arg(key)
        .query(connection)
        .expect(ANSWERS);
    (!fields.is_empty()).then_some(fields)
}

pub(super) fn read_many(
    connection: &mut impl ConnectionLike,
    keys: impl Iterator<Item = String>,
) -> Vec<Fields> {
    let mut pipe = Pipeline::new();
    for key in keys {
        pipe.cmd("HGETALL").arg(key);
    }
    let found: Vec<Fields> = pipe.query(connection).expect(ANSWERS);
    assert!(found.iter().all(|fields| !fields.is_empty()));
    found
}

/// Writes the whole record and its TTL in one step.
pub(super) fn write(connection: &mut impl ConnectionLike, key: &str, product: &Product) {
    let mut pipe = Pipeline::new();
    pipe.atomic();
    pipe.cmd("DEL").arg(key).ignore();
    pipe.cmd("HSET").arg(key).arg(&product.fields()).ignore();
    pipe.cmd("EXPIRE").arg(key).arg(TTL.as_secs()).ignore();
    pipe.exec(connection).expect(ANSWERS);
}

pub(super) fn delete(connection: &mut impl ConnectionLike, key: &str) {
    redis::cmd("DEL").arg(key).exec(connection).expect(ANSWERS);
}
