//! The scripts of the protocol: their sources and their calls. [`args`] has their arguments, and
//! [`reply`] the meaning of their replies.
//!
//! This is the only file that names a script. The script file, the constant here and the `Store`
//! method share one name. Called by the stores on a server and on a cluster.

pub(crate) mod args;
mod floor;
pub(crate) mod reply;
pub(crate) mod tags;

use redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};

pub(crate) use self::{floor::UNKNOWN, reply::truth};
use super::{
    connection::Connection,
    pipeline::{self, Window},
};
use crate::store::keys::Keys;

/// Declares a public constant for each script, whose documentation shows the source.
macro_rules! sources {
    ($($(#[$doc:meta])* $constant:ident $name:ident;)+) => {
        $(
            $(#[$doc])*
            #[doc = ""]
            #[doc = concat!("```lua\n", include_str!(concat!("../../lua/", stringify!($name), ".lua")), "\n```")]
            pub static $constant: &str =
                include_str!(concat!("../../lua/", stringify!($name), ".lua"));
        )+
    };
}

/// Declares the same, and the set of the scripts that each cache needs.
macro_rules! scripts {
    ($($(#[$doc:meta])* $constant:ident $name:ident;)+) => {
        sources! { $($(#[$doc])* $constant $name;)+ }

        /// These scripts with their hashes, which are computed once.
        #[derive(Debug)]
        pub(crate) struct Scripts {
            $(pub(crate) $name: Script,)+
        }

        impl Scripts {
            pub(crate) fn new() -> Scripts {
                Scripts { $($name: Script::new($constant),)+ }
            }

            /// The requests that load these scripts into a server.
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
    /// Gives a cached record its TTL again, and ends the lease of a load that found it unchanged.
    KEEP keep;
    /// Gives a lease back without a fill.
    RELEASE release;
    /// Gives back the lease of a failed refresh. For a while, no caller can retry.
    BACK_OFF back_off;
    /// Extends a lease while its load runs, or a writer's place in a guard.
    RENEW renew;
    /// Ends the record and every load of it that is under way.
    INVALIDATE invalidate;
    /// Ends the lease or the record, and nothing else.
    DELETE_KEY delete_key;
    /// Raises the floor of a record, and nothing else.
    RAISE_FLOOR raise_floor;
    /// Makes a record stale, and ends every load of it that is under way.
    EXPIRE expire;
    /// Begins a write: nobody can fill until it has ended.
    GUARD guard;
    /// Ends a write, and may cache the record that was written.
    UNGUARD unguard;
}

sources! {
    /// Reads the clock and the tags, and gives them values where they are missing.
    READ_TAGS read_tags;
    /// Ends all entries under some tags.
    INVALIDATE_TAGS invalidate_tags;
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
    fn new(source: &'static str) -> Script {
        let script = redis::Script::new(source);
        Script { script, source }
    }

    /// Calls the script on the keys of a record. `write_args` writes the arguments straight into
    /// the request, so that a large record is copied only once.
    pub(crate) fn call(
        &self,
        connection: &mut Connection,
        keys: &Keys,
        write_args: impl FnOnce(&mut Cmd),
    ) -> RedisResult<Value> {
        let mut request = self.request(keys);
        write_args(&mut request);
        self.send(connection, &request)
    }

    /// Sends a call of the script.
    pub(crate) fn send(&self, connection: &mut Connection, request: &Cmd) -> RedisResult<Value> {
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
        let mut request = self.to_call(1);
        request.arg(key);
        request
    }

    /// A call of the script, without its keys.
    fn to_call(&self, keys: usize) -> Cmd {
        let mut request = redis::cmd("EVALSHA");
        request.arg(self.script.get_hash()).arg(keys);
        request
    }

    /// A call of the script on the keys of a record, without its arguments.
    pub(crate) fn request(&self, keys: &Keys) -> Cmd {
        let count = if keys.floor.is_some() { 3 } else { 2 };
        let mut request = self.to_call(count);
        request.arg(&keys.data).arg(&keys.lease);
        if let Some(floor) = &keys.floor {
            request.arg(&floor.key);
        }
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
