//! The look at a server before anything is built on it: whether it can be reached, who it is, and whether it has what a
//! cache needs.
//!
//! Who it is, and what of it is missing but can be done without, is logged. That it pushes no changes is the
//! [listener](super::tracking)'s to say: only some caches want them.

use std::iter::once;

use redis::{Cmd, Connection, RedisError, Value, cmd};

use super::{
    Failure, Symptom,
    cause::{self, failure},
    greeting::{Greeting, hello, info},
    pipeline::{self, LARGE_REPLIES},
    redis::RedisStore,
    script,
};
use crate::trace;

impl RedisStore {
    /// Connects once and tells the server the scripts: whatever is wrong with the address, the password, the
    /// permissions or the server shows here, and later no call finds a script missing.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let (client, timeouts) = self.connections.terms();
        let server = client.get_connection_info();
        // Who logs in by name does so where there are ACLs, and with them `HELLO`. They may well deny `INFO`, and keep that
        // on record.
        let may_be_old = server.redis_settings().username().is_none();
        let greeting = self.connections.run_alone(|connection| {
            let failed = |error| failure(error, timeouts.io);
            let requests = once(hello())
                .chain(self.scripts.loads())
                .chain(once(no_script()));
            let replies = pipeline::stream(connection, LARGE_REPLIES, requests).map_err(failed)?;
            let greeting = Greeting::of_hello(&replies[0]).or_else(|| {
                let is_unknown = is_unknown(&replies[0]);
                (is_unknown && may_be_old).then(|| ask_for_info(connection))?
            });
            if let Some(unfit) = greeting.as_ref().and_then(Greeting::unfit) {
                return Err(Failure::new(Symptom::Refused, unfit));
            }
            match first_refusal(&replies[1..]) {
                Some(refusal) => Err(refused(refusal, failed)),
                None => Ok(greeting),
            }
        })?;
        let address = server.addr();
        match greeting {
            None => trace::info!("{address} doesn't say which server it is"),
            Some(greeting) => {
                trace::info!("{address} is {greeting}");
                if greeting.is_replica() {
                    trace::warn!(
                        "{address} is a replica: nothing is cached there and no invalidation is done, unless it takes \
                         writes; give the address of its master"
                    );
                }
            }
        }
        Ok(())
    }
}

/// The call of a script that nobody has. It does nothing, where scripts are called at all.
fn no_script() -> Cmd {
    cmd("EVALSHA").arg("0".repeat(40)).arg(0).take()
}

/// What a server from before `HELLO` says of itself. One that won't may have what it takes.
fn ask_for_info(connection: &mut Connection) -> Option<Greeting> {
    let reply = info().query(connection).ok()?;
    Greeting::of_info(&reply)
}

/// The first that was not done: a server that refuses one script refuses all, in the same words.
fn first_refusal(replies: &[Value]) -> Option<RedisError> {
    let errors = replies.iter().filter_map(error);
    let mut errors = errors.filter(|error| !script::is_unknown(error));
    errors.next()
}

fn error(reply: &Value) -> Option<RedisError> {
    match reply {
        Value::ServerError(error) => Some(error.clone().into()),
        _ => None,
    }
}

fn is_unknown(reply: &Value) -> bool {
    error(reply).is_some_and(|error| cause::is_unknown_command(&error))
}

fn refused(error: RedisError, failed: impl Fn(RedisError) -> Failure) -> Failure {
    if cause::is_unknown_command(&error) {
        return Failure::new(Symptom::Refused, cause::NoScripts(error));
    }
    failed(error)
}
