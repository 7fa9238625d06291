//! One sentinel, and the questions to it.
//!
//! Called by the round of questions.

use std::{collections::HashMap, fmt, sync::Arc};

use redis::{Cmd, ErrorKind, RedisError, RedisResult, Value, cmd};

use super::election::Master;
use crate::{
    error::cause::chain,
    redis::{
        address::{resolver::Resolver, server_address::ServerAddress},
        connect::connect,
        connection::Connection,
        error,
        invalid_reply::invalid_reply,
        pipeline::{self, FIRST_REQUESTS},
        reachability::is_away,
        server::{info::hello_as, text::is_host},
        timeouts::Timeouts,
    },
};

pub(super) struct Sentinel {
    address: ServerAddress,
    /// `None`: the address contains no host name.
    resolver: Option<Resolver<()>>,
    /// The name of its connection.
    client_name: Arc<str>,
    /// Kept open for the next question if the latest one was answered.
    connection: Option<Connection>,
    /// Whether the latest question was not answered.
    pub(super) is_silent: bool,
}

/// Why a sentinel does not name a master.
pub(super) struct SentinelFailure {
    /// With its address.
    pub(super) text: String,
    /// Whether it merely cannot be reached now.
    pub(super) is_away: bool,
}

impl fmt::Debug for Sentinel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address.info().addr().to_string())
    }
}

impl Sentinel {
    pub(super) fn new(address: ServerAddress, client_name: Arc<str>) -> Sentinel {
        Sentinel {
            resolver: Resolver::of(address.info().addr()),
            address,
            client_name,
            connection: None,
            is_silent: false,
        }
    }

    /// The master of this name, or why the sentinel does not name one.
    pub(super) fn ask(
        &mut self,
        name: &str,
        timeouts: Timeouts,
    ) -> Result<Master, SentinelFailure> {
        let was_open = self.connection.is_some();
        let mut said = self.ask_once(name, timeouts);
        // The sentinel was restarted, or it closed an idle connection.
        if was_open && said.as_ref().is_err_and(RedisError::is_connection_dropped) {
            said = self.ask_once(name, timeouts);
        }
        self.is_silent = said.is_err();
        let (reason, is_away) = match said {
            Ok(Some(master)) => return Ok(master),
            Ok(None) => (format!("it knows no master with the name `{name}`"), false),
            Err(error) => {
                let is_login = matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"))
                    || error.kind() == ErrorKind::AuthenticationFailed;
                let is_none = error::is_unknown_command(&error);
                let login = self.address.info().redis_settings();
                let failure = error::silent_sentinel(error, login, timeouts.connect);
                let hint = if is_login {
                    Some("see `sentinel_login`")
                } else if is_none {
                    Some("it is not a Sentinel; the address of a server begins with `redis://`")
                } else {
                    error::hint(self.address.info().addr(), &failure)
                };
                let hint = hint.map_or(String::new(), |hint| format!(" ({hint})"));
                (format!("{}{hint}", chain(&failure)), is_away(&failure))
            }
        };
        let text = format!("{}: {reason}", self.address.info().addr());
        Err(SentinelFailure { text, is_away })
    }

    fn ask_once(&mut self, name: &str, timeouts: Timeouts) -> RedisResult<Option<Master>> {
        let mut question = cmd("SENTINEL");
        question.arg("get-master-addr-by-name").arg(name);
        let kept = self.connection.take();
        let kept = kept.and_then(|mut kept| kept.is_at_rest().then_some(kept));
        let (mut connection, reply) = if let Some(mut connection) = kept {
            let reply = question.query(&mut connection)?;
            (connection, reply)
        } else {
            self.ask_first(question, timeouts)?
        };
        let address: Option<(String, u16)> = redis::from_redis_value(reply)?;
        let master = match address {
            Some((host, _)) if !is_host(&host) => {
                return Err(invalid_reply("a sentinel answers with a host and a port"));
            }
            Some((host, port)) => {
                let epoch = epoch(&mut connection, name)?;
                Some(Master { host, port, epoch })
            }
            None => None,
        };
        connection.end_request()?;
        self.connection = Some(connection);
        Ok(master)
    }
}

impl Sentinel {
    /// Asks on a new connection, and names the connection in the same round trip.
    fn ask_first(&self, question: Cmd, timeouts: Timeouts) -> RedisResult<(Connection, Value)> {
        let addresses = match &self.resolver {
            Some(resolver) => Some(resolver.look_up((), timeouts.connect)?.0),
            None => None,
        };
        let protocol = self.address.info().redis_settings().protocol();
        let addresses = addresses.as_deref();
        let mut connection = connect(&self.address, addresses, timeouts, protocol)?;
        let requests = [hello_as(protocol, &self.client_name), question];
        let mut replies = pipeline::stream(&mut connection, FIRST_REQUESTS, requests.into_iter())?;
        // A sentinel that refuses the name still answers.
        let reply = replies.pop().unwrap_or(Value::Nil);
        reply.extract_error().map(|reply| (connection, reply))
    }
}

/// The number of the failover that made it the master. 0 if the user has no permission to ask. Then
/// all answers count the same.
fn epoch(connection: &mut Connection, name: &str) -> RedisResult<u64> {
    let mut question = cmd("SENTINEL");
    question.arg("MASTER").arg(name);
    let state: HashMap<String, String> = match question.query(connection) {
        Err(error) if error.code().is_some() => return Ok(0),
        answered => answered?,
    };
    let epoch = state.get("config-epoch");
    Ok(epoch.and_then(|epoch| epoch.parse().ok()).unwrap_or(0))
}
