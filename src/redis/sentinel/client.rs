//! One sentinel, and the questions to it.
//!
//! Called by the round of questions. redis-rs has a client for sentinels, but that one connects
//! without a timeout.

use std::{collections::HashMap, fmt};

use redis::{Connection, ConnectionInfo, ErrorKind, RedisError, RedisResult, cmd};

use super::election::Master;
use crate::redis::{connect::open, error, timeouts::Timeouts};

pub(super) struct Sentinel {
    info: ConnectionInfo,
    /// Kept for the next question if the latest one was answered.
    connection: Option<Connection>,
    /// Whether the latest question was not answered.
    pub(super) is_silent: bool,
}

impl fmt::Debug for Sentinel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.info.addr().to_string())
    }
}

impl Sentinel {
    pub(super) fn new(info: ConnectionInfo) -> Sentinel {
        Sentinel {
            info,
            connection: None,
            is_silent: false,
        }
    }

    /// The master with this name. Otherwise why the sentinel names none, with the sentinel's
    /// address.
    pub(super) fn ask(&mut self, name: &str, timeouts: Timeouts) -> Result<Master, String> {
        let was_open = self.connection.is_some();
        let mut said = self.ask_once(name, timeouts);
        // The sentinel was restarted, or it closed an idle connection.
        if was_open && said.as_ref().is_err_and(RedisError::is_connection_dropped) {
            said = self.ask_once(name, timeouts);
        }
        self.is_silent = said.is_err();
        let complaint = match said {
            Ok(Some(master)) => return Ok(master),
            Ok(None) => format!("it knows no master with the name `{name}`"),
            Err(error) => {
                let is_login = matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"))
                    || error.kind() == ErrorKind::AuthenticationFailed;
                let is_none = error::is_unknown_command(&error);
                let login = self.info.redis_settings();
                let failure = error::silent_sentinel(error, login, timeouts.connect);
                let hint = if is_login {
                    Some("see `sentinel_login`")
                } else if is_none {
                    Some("it is no Sentinel; the address of a server begins with `redis://`")
                } else {
                    error::hint(self.info.addr(), &*failure.cause)
                };
                let hint = hint.map_or(String::new(), |hint| format!(" ({hint})"));
                format!("{failure}{hint}")
            }
        };
        Err(format!("{}: {complaint}", self.info.addr()))
    }

    fn ask_once(&mut self, name: &str, timeouts: Timeouts) -> RedisResult<Option<Master>> {
        let mut connection = if let Some(connection) = self.connection.take() {
            connection
        } else {
            // A sentinel answers as fast as it opens a connection.
            let io = timeouts.connect;
            open(&self.info, Timeouts { io, ..timeouts })?
        };
        let address: Option<(String, u16)> = cmd("SENTINEL")
            .arg("get-master-addr-by-name")
            .arg(name)
            .query(&mut connection)?;
        let master = match address {
            Some((host, port)) => {
                let epoch = epoch(&mut connection, name)?;
                Some(Master { host, port, epoch })
            }
            None => None,
        };
        self.connection = Some(connection);
        Ok(master)
    }
}

/// The number of the failover that made the server the master. 0 if the user has no permission to
/// ask: then all answers have the same weight.
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
