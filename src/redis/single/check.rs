//! Checks a server before a cache is built on it: whether it can be reached, which server it is,
//! and whether it has what a cache needs.
//!
//! Called by the builder. Logs the identity of the server, and the missing features that a cache
//! can do without. The [listener](crate::redis::tracking) reports a server that pushes no changes,
//! because only some caches need pushes.

use std::iter::once;

use redis::{Cmd, RedisError, Value, cmd};

use super::store::RedisStore;
use crate::{
    redis::{
        error::{self, in_reply},
        pipeline::{self, FIRST_REQUESTS},
        script,
        server::{
            identity::Role,
            info::{ServerInfo, ServerMode},
        },
    },
    store::{Failure, FailureKind},
    telemetry::trace,
};

impl RedisStore {
    /// Checks the server, and logs which one it is.
    pub(crate) fn check(&self, as_what: ServerMode) -> Result<(), Failure> {
        self.inspect(as_what).map(CheckedServer::log)
    }

    /// Connects once and sends the scripts. A wrong address, a wrong password, a missing permission
    /// or an unsuitable server shows here. No later call finds a script missing.
    ///
    /// Starts the threads of the store first.
    ///
    /// Logs nothing, because the check may be one of several, and is repeated until all of them
    /// pass.
    pub(crate) fn inspect(&self, as_what: ServerMode) -> Result<CheckedServer, Failure> {
        self.start_watch()?;
        let (endpoint, timeouts) = self.config();
        let (server_info, role, refusal, waited) = endpoint.run_alone(timeouts, |opened| {
            let scripts = self.scripts.loads().chain(once(call_of_none()));
            let wait = (self.replicas > 0).then(wait_for_none);
            let requests = scripts.chain(wait);
            let mut replies = pipeline::stream(&mut opened.connection, FIRST_REQUESTS, requests)?;
            let waited = (self.replicas > 0).then(|| replies.pop()).flatten();
            let server_info = opened.server_info.take();
            Ok((server_info, opened.role, first_refusal(&replies), waited))
        })?;
        let refused = |why| Err(endpoint.at_server(why));
        // Reported before the reply to the scripts, because a Sentinel knows no scripts.
        if let Some(unsupported) = server_info.as_ref().and_then(|it| it.unsupported(as_what)) {
            return refused(Failure::new(FailureKind::Rejected, unsupported));
        }
        if let Some(refusal) = refusal {
            let is_unknown = error::is_unknown_command(&refusal);
            return refused(if is_unknown {
                error::no_scripts(refusal)
            } else {
                error::failure(refusal, timeouts.io)
            });
        }
        // A replica refuses `WAIT`, but the fact that it is a replica matters more.
        let is_replica = role == Some(Role::Replica);
        if let Some(refusal) = waited.as_ref().and_then(in_reply)
            && !is_replica
        {
            return refused(error::failure(refusal, timeouts.io));
        }
        let too_few = match waited {
            Some(Value::Int(have)) if have < i64::from(self.replicas) => {
                Some((have, self.replicas))
            }
            _ => None,
        };
        Ok(CheckedServer {
            name: endpoint.name(),
            server_info,
            is_replica,
            too_few,
        })
    }
}

/// A server that has passed its check.
pub(crate) struct CheckedServer {
    name: String,
    server_info: Option<ServerInfo>,
    is_replica: bool,
    /// How many replicas it has, and how many a change must reach. `None`: it has enough.
    too_few: Option<(i64, u32)>,
}

impl CheckedServer {
    /// Logs which server it is, and what is wrong with it.
    pub(crate) fn log(self) {
        let CheckedServer {
            name, server_info, ..
        } = self;
        if let Some(server_info) = server_info {
            trace::info!("{name} is {server_info}");
        } else {
            trace::info!("{name} does not say which server it is");
        }
        if self.is_replica {
            trace::warn!(
                "{name} is a replica: while it takes no writes, nothing is cached and every invalidation fails; give the \
                 address of its master"
            );
        }
        if let Some((have, wanted)) = self.too_few {
            trace::warn!(
                "{name} has {have} replicas, and `wait_for_replicas` is {wanted}: every invalidation fails until it has enough"
            );
        }
    }
}

/// Calls a script that does not exist. The call does nothing, but shows whether scripts can be
/// called.
fn call_of_none() -> Cmd {
    cmd("EVALSHA").arg("0".repeat(40)).arg(0).take()
}

/// Waits for zero replicas, so it returns at once with the number of replicas. It is a test: if the
/// user may not send `WAIT`, every invalidation would fail.
fn wait_for_none() -> Cmd {
    cmd("WAIT").arg(0).arg(0).take()
}

/// The first refusal. A server that refuses one script refuses all of them, with the same words.
fn first_refusal(replies: &[Value]) -> Option<RedisError> {
    let mut errors = replies.iter().filter_map(in_reply);
    errors.find(|error| !script::is_unknown(error))
}
