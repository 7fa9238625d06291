//! The scripts of the protocol: their sources, their calls, and the meaning of their replies.
//!
//! This is the only file that names a script. The script file, the constant here and the `Store`
//! method share one name. Called by the stores on a server and on a cluster.

use std::{time::Duration, vec};

use redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};

use super::{
    connection::Connection,
    invalid_reply::invalid_reply,
    pipeline::{self, Window},
};
use crate::{
    record::fields::Fields,
    store::{Acquire, Refresh, keys::Keys, token::Token},
    util::limits::millis,
};

/// Declares a public constant for each script, whose documentation shows the source, and the set of
/// all scripts.
macro_rules! scripts {
    ($($(#[$doc:meta])* $constant:ident $name:ident;)+) => {
        $(
            $(#[$doc])*
            #[doc = ""]
            #[doc = concat!("```lua\n", include_str!(concat!("../../lua/", stringify!($name), ".lua")), "\n```")]
            pub static $constant: &str =
                include_str!(concat!("../../lua/", stringify!($name), ".lua"));
        )+

        /// All scripts with their hashes, which are computed once.
        #[derive(Debug)]
        pub(crate) struct Scripts {
            $(pub(crate) $name: Script,)+
        }

        impl Scripts {
            pub(crate) fn new() -> Scripts {
                Scripts { $($name: Script { script: redis::Script::new($constant), source: $constant },)+ }
            }

            /// The requests that load all scripts into a server.
            pub(crate) fn loads(&self) -> impl Iterator<Item = Cmd> {
                [$(&self.$name),+].into_iter().map(Script::to_load)
            }
        }
    };
}

scripts! {
    /// Asks for the lease of a record.
    ACQUIRE acquire;
    /// Asks for the lease of a cached record, in order to load it again.
    REFRESH refresh;
    /// Writes a loaded record and ends the lease.
    FILL fill;
    /// Gives a lease back without a fill.
    RELEASE release;
    /// Gives back the lease of a failed refresh. For a while, no caller can retry.
    BACK_OFF back_off;
    /// Extends a lease while its load runs, or a writer's place in a guard.
    RENEW renew;
    /// Ends the record and every load of it that is under way.
    INVALIDATE invalidate;
    /// Ends one of the two keys of a record.
    DELETE_KEY delete_key;
    /// Makes a record stale, and ends every load of it that is under way.
    EXPIRE expire;
    /// Begins a write: nobody can fill until it has ended.
    GUARD guard;
    /// Ends a write.
    UNGUARD unguard;
}

/// Whether the server does not know the script. It has then done nothing.
pub(crate) fn is_unknown(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// One script. It is called by its hash. A server that does not know the hash gets the source.
#[derive(Debug)]
pub(crate) struct Script {
    script: redis::Script,
    source: &'static str,
}

impl Script {
    /// Calls the script on both keys of a record. `write_args` writes the arguments straight into
    /// the request, so that a large record is copied only once.
    pub(crate) fn call(
        &self,
        connection: &mut Connection,
        keys: &Keys,
        write_args: impl FnOnce(&mut Cmd),
    ) -> RedisResult<Value> {
        let mut request = self.request(keys);
        write_args(&mut request);
        match request.query(connection) {
            Err(error) if is_unknown(&error) => {
                self.to_load().exec(connection)?;
                request.query(connection)
            }
            answered => answered,
        }
    }

    /// Calls a script that returns 0 or 1.
    pub(crate) fn call_for_truth(
        &self,
        connection: &mut Connection,
        keys: &Keys,
        write_args: impl FnOnce(&mut Cmd),
    ) -> RedisResult<bool> {
        truth(&self.call(connection, keys, write_args)?)
    }
}

impl Script {
    /// The request that loads the script. (`redis::Script::load` panics in a debug build if the
    /// server replies with another hash.)
    fn to_load(&self) -> Cmd {
        let mut load = redis::cmd("SCRIPT");
        load.arg("LOAD").arg(self.source);
        load
    }

    /// Loads the script into the server.
    #[cfg(feature = "cluster")]
    pub(crate) fn load(&self, connection: &mut Connection) -> RedisResult<()> {
        self.to_load().exec(connection)
    }

    /// A call of a script on one key, without its arguments.
    #[cfg(feature = "cluster")]
    pub(crate) fn request_on(&self, key: &str) -> Cmd {
        let mut request = redis::cmd("EVALSHA");
        request.arg(self.script.get_hash()).arg(1).arg(key);
        request
    }

    /// A call of the script on both keys of a record, without its arguments.
    pub(crate) fn request(&self, keys: &Keys) -> Cmd {
        let mut request = redis::cmd("EVALSHA");
        request.arg(self.script.get_hash()).arg(2);
        request.arg(&keys.data).arg(&keys.lease);
        request
    }
}

impl Script {
    /// Calls of this script, after a request that loads it. Requests in a pipeline cannot be
    /// withdrawn, so the server must know the script first.
    pub(crate) fn with_load(&self, calls: impl Iterator<Item = Cmd>) -> impl Iterator<Item = Cmd> {
        std::iter::once(self.to_load()).chain(calls)
    }
}

/// Sends calls of these scripts in one pipeline. Returns the reply to each call, which may be an
/// error.
pub(crate) fn call_all(
    connection: &mut Connection,
    window: Window,
    scripts: &[&Script],
    calls: impl Iterator<Item = Cmd>,
) -> RedisResult<Vec<Value>> {
    // Requests in a pipeline cannot be withdrawn, so the server must know the scripts first.
    let loads = scripts.iter().map(|script| script.to_load());
    let mut replies = pipeline::stream(connection, window, loads.chain(calls))?;
    Ok(replies.split_off(scripts.len()))
}

/// Writes the arguments of `acquire.lua`.
pub(crate) fn write_acquire(request: &mut Cmd, token: Token, lease_ttl: Duration, recheck: bool) {
    request.arg(token.as_bytes()).arg(millis(lease_ttl));
    request.arg(if recheck { "recheck" } else { "skip" });
}

/// Writes the arguments of `refresh.lua`.
pub(crate) fn write_refresh(request: &mut Cmd, token: Token, lease_ttl: Duration, left: Duration) {
    request.arg(token.as_bytes());
    request.arg(millis(lease_ttl)).arg(millis(left));
}

/// Writes the arguments of `fill.lua` after the token.
pub(crate) fn write_record(request: &mut Cmd, ttl: Duration, record: &Fields) {
    request.arg(millis(ttl));
    for (name, value) in record {
        request.arg(name).arg(value);
    }
}

/// Writes the arguments of `guard.lua`.
pub(crate) fn write_guard(request: &mut Cmd, writer: Token, guard_ttl: Duration) {
    request.arg(writer.as_bytes());
    request.arg(Token::random().as_bytes());
    request.arg(millis(guard_ttl));
}

/// Writes the arguments of `unguard.lua`.
pub(crate) fn write_unguard(request: &mut Cmd, writer: Token, forces_change: u8) {
    request.arg(writer.as_bytes());
    request.arg(Token::random().as_bytes()).arg(forces_change);
}

/// Writes the arguments of `invalidate.lua`.
pub(crate) fn write_invalidate(request: &mut Cmd, forces_change: u8) {
    request.arg(Token::random().as_bytes()).arg(forces_change);
}

/// The meaning of a reply of all other scripts. No other reply means that the step was done: it
/// may belong to another request.
pub(crate) fn truth(reply: &Value) -> RedisResult<bool> {
    match reply {
        Value::Int(0) => Ok(false),
        Value::Int(1) => Ok(true),
        _ => Err(invalid_reply("the script answers with 0 or 1")),
    }
}

/// The meaning of a reply of `acquire.lua`.
pub(crate) fn acquired(reply: Value) -> RedisResult<Acquire> {
    let answer = split_reply(reply).and_then(|(kind, parts)| match kind.as_slice() {
        b"acquired" => parts.as_slice().is_empty().then_some(Acquire::Acquired),
        b"record" => record(parts).map(Acquire::Record),
        b"held" => held(parts.as_slice()),
        b"guarded" => guarded(parts.as_slice()),
        _ => None,
    });
    answer.ok_or_else(|| {
        invalid_reply("acquire answers with a record, `acquired`, `held` or `guarded`")
    })
}

/// The meaning of a reply of `refresh.lua`.
pub(crate) fn refreshed(reply: Value) -> RedisResult<Refresh> {
    let answer = split_reply(reply).and_then(|(kind, parts)| match kind.as_slice() {
        b"acquired" => parts.as_slice().is_empty().then_some(Refresh::Acquired),
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

fn guarded(parts: &[Value]) -> Option<Acquire> {
    let [Value::BulkString(nonce)] = parts else {
        return None;
    };
    let nonce = Token::try_from(&**nonce).ok()?;
    Some(Acquire::Guarded { nonce })
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
