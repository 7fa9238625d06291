//! The arguments of the scripts, in the order in which the scripts expect them.
//!
//! They are written straight into a request, so that a large record is copied only once. Called by
//! the stores on a server and on a cluster.

use std::time::Duration;

use redis::Cmd;

use super::floor::text;
#[cfg(feature = "cluster")]
use crate::store::FloorKey;
use crate::{
    record::fields::Fields,
    store::{Recheck, WriteThrough, keys::Keys, token::Token},
    util::limits::millis,
};

/// Writes the arguments of `acquire.lua`.
pub(crate) fn write_acquire(
    request: &mut Cmd,
    keys: &Keys,
    token: Token,
    lease_ttl: Duration,
    recheck: Recheck,
) {
    request.arg(token.as_bytes()).arg(millis(lease_ttl));
    match recheck {
        Recheck::Never => request.arg("skip"),
        Recheck::Always => request.arg("recheck"),
        Recheck::IfOver(left) => request.arg(millis(left)),
    };
    if let Some(tags) = &keys.tags {
        request.arg(tags.clock.to_string());
        request.arg(tags.oldest.to_string());
        request.arg(tags.known.to_string());
    }
}

/// Writes the arguments of `refresh.lua`.
pub(crate) fn write_refresh(
    request: &mut Cmd,
    keys: &Keys,
    token: Token,
    lease_ttl: Duration,
    left: Duration,
) {
    request.arg(token.as_bytes());
    request.arg(millis(lease_ttl)).arg(millis(left));
    if let Some(tags) = &keys.tags {
        request.arg(tags.clock.to_string());
    }
}

/// Writes the arguments of `fill.lua` after the token.
pub(crate) fn write_fill(
    request: &mut Cmd,
    keys: &Keys,
    ttl: Duration,
    record: &Fields,
    version: Option<u64>,
) {
    request.arg(millis(ttl));
    if keys.floor.is_some() {
        request.arg(text(version));
    }
    write_record(request, record);
}

/// Writes the arguments of `keep.lua` after the token.
pub(crate) fn write_keep(request: &mut Cmd, keys: &Keys, ttl: Duration) {
    request.arg(millis(ttl));
    if let Some(tags) = &keys.tags {
        request.arg(tags.clock.to_string());
    }
}

/// Writes the arguments of `renew.lua`.
pub(crate) fn write_renew(request: &mut Cmd, keys: &Keys, token: Token, lease_ttl: Duration) {
    request.arg(token.as_bytes()).arg(millis(lease_ttl));
    write_lag(request, keys);
}

/// Writes the arguments of `expire.lua`.
pub(crate) fn write_expire(request: &mut Cmd, keys: &Keys, max_ttl: Duration, forces_change: u8) {
    request.arg(Token::random().as_bytes());
    request.arg(millis(max_ttl)).arg(forces_change);
    write_lag(request, keys);
}

/// Writes the arguments of `invalidate.lua`.
pub(crate) fn write_invalidate(
    request: &mut Cmd,
    keys: &Keys,
    forces_change: u8,
    version: Option<u64>,
) {
    request.arg(Token::random().as_bytes()).arg(forces_change);
    write_floor(request, keys, version);
}

/// Writes the arguments of `guard.lua`.
pub(crate) fn write_guard(
    request: &mut Cmd,
    keys: &Keys,
    writer: Token,
    nonce: Token,
    guard_ttl: Duration,
) {
    request.arg(writer.as_bytes()).arg(nonce.as_bytes());
    request.arg(millis(guard_ttl));
    write_lag(request, keys);
}

/// Writes the arguments of `unguard.lua`.
pub(crate) fn write_unguard(
    request: &mut Cmd,
    keys: &Keys,
    writer: Token,
    forces_change: u8,
    through: Option<WriteThrough<'_>>,
    version: Option<u64>,
) {
    request.arg(writer.as_bytes());
    request.arg(Token::random().as_bytes()).arg(forces_change);
    write_floor(request, keys, version);
    if let Some(WriteThrough { nonce, ttl, record }) = through {
        request.arg(nonce.as_bytes()).arg(millis(ttl));
        write_record(request, record);
    }
}

fn write_record(request: &mut Cmd, record: &Fields) {
    for (name, value) in record {
        request.arg(name).arg(value);
    }
}

/// Writes the arguments of `raise_floor.lua`.
#[cfg(feature = "cluster")]
pub(crate) fn write_raise_floor(request: &mut Cmd, floor: &FloorKey, version: Option<u64>) {
    request.arg(text(version)).arg(millis(floor.lag));
}

/// Writes the arguments of a step that raises the floor, if the record has one.
fn write_floor(request: &mut Cmd, keys: &Keys, version: Option<u64>) {
    if keys.floor.is_some() {
        request.arg(text(version));
    }
    write_lag(request, keys);
}

/// Writes how long a floor lasts, if the record has one.
pub(crate) fn write_lag(request: &mut Cmd, keys: &Keys) {
    if let Some(floor) = &keys.floor {
        request.arg(millis(floor.lag));
    }
}
