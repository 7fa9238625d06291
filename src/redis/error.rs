//! Why a request to a server failed: in words for people, and as what it says about the server.
//!
//! Every error of redis-rs comes in through [`failure`], [`unopened`], [`silent_sentinel`] or
//! [`no_scripts`], which remove what it repeats of the request.

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use redis::{ConnectionAddr, ErrorKind, RedisConnectionInfo, RedisError, ServerErrorKind};

use super::{
    invalid_reply::{InvalidReply, is_invalid_reply},
    redact::{without_arguments, without_login},
};
use crate::{
    error::Cause,
    store::{Failure, FailureKind},
};

/// An error with the server it came from: its host and port or its socket, and not the password.
#[derive(Debug)]
pub(crate) struct AtServer {
    pub(crate) address: String,
    pub(crate) cause: Cause,
    pub(crate) hint: Option<&'static str>,
}

impl fmt::Display for AtServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.address, self.cause)?;
        self.hint.map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

/// Not derived: the source is the cause itself, not the `Arc` around it, so that it can be
/// downcast.
impl StdError for AtServer {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.cause)
    }
}

/// What may be wrong if the first request failed. A server that expects a handshake closes a
/// connection without one. A server that knows no TLS waits for the end of what looks like a
/// command.
pub(crate) fn hint(
    address: &ConnectionAddr,
    cause: &(dyn StdError + Send + Sync + 'static),
) -> Option<&'static str> {
    let is_cut = cause.downcast_ref().is_some_and(|error: &RedisError| {
        error.is_connection_dropped() && !error.is_connection_refusal()
    });
    match address {
        ConnectionAddr::Tcp(..) if is_cut || cause.is::<InvalidReply>() => {
            Some("if it speaks TLS, its address begins with `rediss://`")
        }
        ConnectionAddr::TcpTls { .. } if is_cut || cause.is::<Timeout>() => {
            Some("if it speaks no TLS, its address begins with `redis://`")
        }
        _ => None,
    }
}

/// Whether it is the server's own refusal, which is a whole reply.
pub(crate) fn is_refusal(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
}

/// Whether the connection failed other than by a timeout: it was closed, or the wait was
/// interrupted because this process was stopped and continued (by a debugger, a shell, or a closed
/// lid).
pub(crate) fn is_lost(error: &RedisError) -> bool {
    error.is_io_error() && !error.is_timeout()
}

/// Whether it is the server's last reply before it closes the connection.
pub(crate) fn is_protocol_error(error: &RedisError) -> bool {
    let says = |detail: &str| detail.starts_with("Protocol error");
    is_refusal(error) && error.detail().is_some_and(says)
}

/// The failure of a request.
pub(crate) fn failure(error: RedisError, within: Duration) -> Failure {
    let error = without_arguments(error);
    Failure {
        kind: kind(&error),
        cause: told(error, within),
    }
}

/// No connection could be opened with this login. Whatever the reason, the server is unavailable.
pub(crate) fn unopened(
    error: RedisError,
    login: &RedisConnectionInfo,
    within: Duration,
) -> Failure {
    let no_resp3 = knows_no_resp3(&error);
    let error = without_login(error, login);
    let cause: Cause = if no_resp3 {
        Arc::new(NoResp3(error))
    } else {
        told(error, within)
    };
    let kind = FailureKind::Unavailable;
    Failure { kind, cause }
}

/// A sentinel could not be asked with this login.
#[cfg(feature = "sentinel")]
pub(crate) fn silent_sentinel(
    error: RedisError,
    login: &RedisConnectionInfo,
    within: Duration,
) -> Failure {
    failure(without_login(error, login), within)
}

/// The cause as callers get it: the words of redis-rs for a timeout mislead people.
fn told(cause: RedisError, within: Duration) -> Cause {
    if cause.is_timeout() {
        let cause = Some(cause);
        Arc::new(Timeout { within, cause })
    } else if let Some(words) = explained(&cause) {
        Arc::new(Handshake { words, cause })
    } else if is_invalid_reply(&cause) {
        Arc::new(InvalidReply)
    } else {
        Arc::new(cause)
    }
}

/// Whether the server, or a proxy before it, doesn't know the command. There is no code for that.
pub(crate) fn is_unknown_command(error: &RedisError) -> bool {
    let says = |detail: &str| detail.to_lowercase().contains("unknown command");
    error.kind() == ErrorKind::Server(ServerErrorKind::ResponseError)
        && error.detail().is_some_and(says)
}

/// Whether a server that was taken for the node of a cluster is in none. A Sentinel does not even
/// know the command.
#[cfg(feature = "cluster")]
pub(crate) fn is_in_no_cluster(failure: &Failure) -> bool {
    let at_server: Option<&AtServer> = failure.cause.downcast_ref();
    let error: Option<&RedisError> = at_server.and_then(|at| at.cause.downcast_ref());
    let says = |detail: &str| detail.contains("cluster support disabled");
    error.is_some_and(|error| is_unknown_command(error) || error.detail().is_some_and(says))
}

/// Whether a connection could not be opened because the server knows no RESP3: of the commands sent
/// then, only `HELLO` may be unknown. redis-rs has an error for that, but not for each wording.
fn knows_no_resp3(error: &RedisError) -> bool {
    error.kind() == ErrorKind::RESP3NotSupported || is_unknown_command(error)
}

/// Whether that is why.
pub(crate) fn is_without_resp3(failure: &Failure) -> bool {
    failure.cause.is::<NoResp3>()
}

#[derive(Debug, thiserror::Error)]
#[error("the server doesn't know HELLO, and so no RESP3, which Redis has from 6.0 on")]
struct NoResp3(#[source] RedisError);

/// The server doesn't know the commands that load and call scripts.
pub(crate) fn no_scripts(error: RedisError) -> Failure {
    Failure::new(FailureKind::Rejected, NoScripts(without_arguments(error)))
}

#[derive(Debug, thiserror::Error)]
#[error(
    "a cache needs the commands SCRIPT LOAD and EVALSHA, and the server doesn't know them: they are \
     disabled or renamed there (`rename-command`), or something stands before it that has none"
)]
struct NoScripts(#[source] RedisError);

#[cfg(feature = "tls")]
use super::tls::explained;

#[cfg(not(feature = "tls"))]
fn explained(_: &RedisError) -> Option<String> {
    None
}

/// The TLS handshake failed.
#[derive(Debug, thiserror::Error)]
#[error("{words}")]
struct Handshake {
    words: String,
    #[source]
    cause: RedisError,
}

/// Nothing came back in time.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {within:?}")]
pub(crate) struct Timeout {
    pub(crate) within: Duration,
    #[source]
    pub(crate) cause: Option<RedisError>,
}

/// All connections were in use, or none could be opened.
#[derive(Debug, thiserror::Error)]
#[error("none of the pool's connections ({connections}) was free in time")]
pub(crate) struct PoolExhausted {
    pub(crate) connections: u32,
}

/// A request was sent together with others, whose replies took too long.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {within:?}, behind others on a shared connection")]
pub(crate) struct QueuedTimeout {
    pub(crate) within: Duration,
}

/// What the failure of a request says about the server.
fn kind(error: &RedisError) -> FailureKind {
    match (error.kind(), error.code()) {
        // The cluster still serves the other slots.
        (_, Some("CLUSTERDOWN")) if error.detail() == Some("Hash slot not served") => {
            FailureKind::Rejected
        }
        // It has lost its data, its cluster or its master, is busy with an endless script, or
        // rejects the login: it will answer every request like this.
        (_, Some("LOADING" | "CLUSTERDOWN" | "MASTERDOWN" | "BUSY" | "NOAUTH" | "WRONGPASS")) => {
            FailureKind::Unavailable
        }
        _ if is_invalid_reply(error) => FailureKind::Unavailable,
        (ErrorKind::Server(_) | ErrorKind::Extension, _) => FailureKind::Rejected,
        _ => FailureKind::Unavailable,
    }
}
