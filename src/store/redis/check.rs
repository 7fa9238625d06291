//! The look at a server before anything is built on it: whether it can be reached, who it is, and whether it has what a
//! cache needs.
//!
//! Who it is, and what there is against it that a cache can live with, is logged. That it pushes no changes is the
//! [listener](crate::store::tracking)'s to say: only some caches want them.

use std::iter::once;

use redis::{Cmd, Connection, RedisError, RedisResult, Value, cmd};

use super::server::RedisStore;
use crate::{
    store::{
        Failure, Symptom, cause,
        greeting::{Greeting, Kin, hello, info},
        pipeline::{self, LARGE_REPLIES},
        script,
    },
    trace,
};

impl RedisStore {
    /// Connects once and tells the server the scripts: whatever is wrong with the address, the password, the
    /// permissions or the server shows here, and later no call finds a script missing.
    pub(crate) fn check(&self, as_what: Kin) -> Result<(), Failure> {
        let (source, timeouts) = self.terms();
        // Who logs in by name does so where there are ACLs, and with them `HELLO`. They may well deny `INFO`, and keep
        // that on record.
        let may_be_old = source.info().redis_settings().username().is_none();
        let (greeting, refusal, waited) = source.run_alone(timeouts, |connection| {
            let scripts = self.scripts.loads().chain(once(call_of_none()));
            let wait = (self.replicas > 0).then(wait_for_none);
            let (hello, mut replies) = ask(connection, scripts.chain(wait))?;
            let waited = (self.replicas > 0).then(|| replies.pop()).flatten();
            let greeting = Greeting::of_hello(&hello);
            let is_old = is_unknown_command(&hello) && may_be_old;
            let greeting = greeting.or_else(|| is_old.then(|| ask_for_info(connection))?);
            Ok((greeting, first_refusal(&replies), waited))
        })?;
        let refused = |why| Err(source.at_server(why));
        // Before what came of it: that a Sentinel knows no scripts.
        if let Some(unfit) = greeting.as_ref().and_then(|it| it.unfit(as_what)) {
            return refused(Failure::new(Symptom::Refused, unfit));
        }
        if let Some(refusal) = refusal {
            let is_unknown = cause::is_unknown_command(&refusal);
            return refused(if is_unknown {
                cause::no_scripts(refusal)
            } else {
                cause::failure(refusal, timeouts.io)
            });
        }
        say(&source.name(), greeting.as_ref());
        // A replica can't wait, which is the least that is wrong with it.
        let is_replica = greeting.as_ref().is_some_and(Greeting::is_replica);
        match waited {
            Some(Value::Int(have)) if have < i64::from(self.replicas) => trace::warn!(
                "{} has {have} replicas, and {} are to be waited for: until it has as many, every invalidation fails",
                source.name(),
                self.replicas
            ),
            Some(reply) if !is_replica => {
                if let Some(refusal) = error(&reply) {
                    return refused(cause::failure(refusal, timeouts.io));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Asks who is there, and has these done, in one round trip.
fn ask(
    connection: &mut Connection,
    requests: impl Iterator<Item = Cmd>,
) -> RedisResult<(Value, Vec<Value>)> {
    let all = once(hello()).chain(requests);
    let mut replies = pipeline::stream(connection, LARGE_REPLIES, all)?;
    let rest = replies.split_off(1);
    Ok((replies.remove(0), rest))
}

/// The call of a script that nobody has. It does nothing, where scripts are called at all.
fn call_of_none() -> Cmd {
    cmd("EVALSHA").arg("0".repeat(40)).arg(0).take()
}

/// Waits for no replica, and so tells at once how many there are. A user who may not ask would have every invalidation fail.
fn wait_for_none() -> Cmd {
    cmd("WAIT").arg(0).arg(0).take()
}

/// What a server from before `HELLO` says of itself. One that won't may have what it takes.
fn ask_for_info(connection: &mut Connection) -> Option<Greeting> {
    let reply = info().query(connection).ok()?;
    Greeting::of_info(&reply)
}

/// The first that was not done: a server that refuses one script refuses all, in the same words.
fn first_refusal(replies: &[Value]) -> Option<RedisError> {
    let mut errors = replies.iter().filter_map(error);
    errors.find(|error| !script::is_unknown(error))
}

fn is_unknown_command(reply: &Value) -> bool {
    error(reply).is_some_and(|error| cause::is_unknown_command(&error))
}

fn error(reply: &Value) -> Option<RedisError> {
    match reply {
        Value::ServerError(error) => Some(error.clone().into()),
        _ => None,
    }
}

fn say(address: &str, greeting: Option<&Greeting>) {
    let Some(greeting) = greeting else {
        return trace::info!("{address} doesn't say which server it is");
    };
    trace::info!("{address} is {greeting}");
    if greeting.is_replica() {
        trace::warn!(
            "{address} is a replica: as long as it takes no writes, nothing is cached there and no invalidation is done; \
             give the address of its master"
        );
    }
}
