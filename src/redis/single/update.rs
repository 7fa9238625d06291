//! An optimistic update of a record: watch, read, change, and write if nobody else has changed it.
//!
//! Called by the store on one server. Knows neither the state of connections nor the tokens of
//! leases.

use std::{io, mem, time::Duration};

use redis::{RedisResult, Value, cmd, from_redis_value};

use crate::{
    redis::{
        command::{self, incomplete, key_command, read_answer, read_commands, remaining},
        connection::Connection,
        pipeline,
        script::UNKNOWN,
    },
    store::{Change, Diff, Entry, NewTtl, TtlRemaining, Update, keys::Keys, token::Token},
    util::{
        limits::millis,
        process::{OtherProcess, Process},
    },
};

/// Watches the record and its lease, and reads the record. The next EXEC on this connection fails
/// if anyone changes one of the two before it. Returns what it found.
///
/// Reads both keys before the watch, so that Redis removes them if they have expired. Redis 6 would
/// otherwise count a watched key that has expired as changed, and would do so at each attempt.
fn watch(connection: &mut Connection, keys: &Keys, with_ttl: bool) -> RedisResult<Watched> {
    let (data, lease) = (&*keys.data, &*keys.lease);
    let mut watch = cmd("WATCH");
    watch.arg(data).arg(lease);
    let floor = keys.floor.as_ref();
    let type_of = |key| key_command("TYPE", key);
    let commands = [type_of(data), type_of(lease), watch]
        .into_iter()
        .chain(floor.map(|floor| key_command("PTTL", &floor.key)))
        .chain([type_of(lease)])
        .chain(read_commands(data, with_ttl));
    let mut replies = command::replies(connection, commands)?;
    let of_read = if with_ttl { 2 } else { 1 };
    let mut of_read = replies.split_off(replies.len().saturating_sub(of_read));
    // The last of the others is the type of the lease, after the TTL of the floor if there is one.
    // A failure of any of them fails the update.
    let (mut lease, mut before_lease) = (Value::Nil, Value::Nil);
    for reply in replies {
        before_lease = mem::replace(&mut lease, reply?);
    }
    let lease = from_redis_value(lease)?;
    let floor_left = match floor {
        Some(_) => remaining(from_redis_value(before_lease)?)?.left(),
        None => None,
    };
    let (found, left) = read_answer(with_ttl, &mut of_read).ok_or_else(incomplete)??;
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
    let done: Option<()> = pipeline::transaction(&transaction, connection)?;
    Ok(match (done, diff) {
        (None, _) => Update::Conflict,
        (Some(()), Some(_)) => Update::Changed,
        (Some(()), None) => Update::Unchanged,
    })
}
