//! Why a request to a server failed: as a message, and as what the failure says about the server.
//!
//! Every error of redis-rs enters the crate through [`failure`], [`unopened`], [`silent_sentinel`]
//! or [`no_scripts`]. These remove the parts of the request that the error repeats.

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

/// An error and the server it came from: its host and port, or its socket, but not the password.
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

/// Not derived: `source()` must return the cause itself and not the `Arc` around it, so that
/// callers can downcast it.
impl StdError for AtServer {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.cause)
    }
}

/// A likely reason if the first request failed. A server that expects a handshake closes a
/// connection without one. A server that knows no TLS takes the handshake for a command, and waits
/// for its end.
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

/// Whether the server itself refused the request. A refusal is a complete reply.
pub(crate) fn is_refusal(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
}

/// Whether the connection failed for another reason than a timeout. It was closed, or the wait was
/// interrupted because this process was stopped and continued (by a debugger, a shell, or a closed
/// lid).
pub(crate) fn is_lost(error: &RedisError) -> bool {
    error.is_io_error() && !error.is_timeout()
}

/// Whether this is the reply that a server sends before it closes the connection.
pub(crate) fn is_protocol_error(error: &RedisError) -> bool {
    let says = |detail: &str| detail.starts_with("Protocol error");
    is_refusal(error) && error.detail().is_some_and(says)
}

/// Converts the error of a request.
pub(crate) fn failure(error: RedisError, within: Duration) -> Failure {
    let error = without_arguments(error);
    Failure {
        kind: kind(&error),
        cause: told(error, within),
    }
}

/// Converts the error of an attempt to connect with this login. Whatever the reason, the server
/// counts as unavailable.
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

/// Converts the error of a request to a sentinel with this login.
#[cfg(feature = "sentinel")]
pub(crate) fn silent_sentinel(
    error: RedisError,
    login: &RedisConnectionInfo,
    within: Duration,
) -> Failure {
    failure(without_login(error, login), within)
}

/// The cause that callers get. It replaces the words of redis-rs for a timeout, which mislead
/// people.
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

/// Whether the server could not be reached or is not ready. False if it rejected this client.
#[cfg(feature = "cluster")]
pub(crate) fn is_away(failure: &Failure) -> bool {
    let at_server: Option<&AtServer> = failure.cause.downcast_ref();
    let cause = at_server.map_or(&failure.cause, |at| &at.cause);
    let error: Option<&RedisError> = cause.downcast_ref();
    cause.is::<Timeout>()
        || error.is_some_and(|error| error.is_io_error() || error.code() == Some("LOADING"))
}

/// Whether the server, or a proxy before it, does not know the command. There is no error code for
/// that.
pub(crate) fn is_unknown_command(error: &RedisError) -> bool {
    let says = |detail: &str| detail.to_lowercase().contains("unknown command");
    error.kind() == ErrorKind::Server(ServerErrorKind::ResponseError)
        && error.detail().is_some_and(says)
}

/// Whether a server that should be a node of a cluster is in no cluster. A sentinel does not even
/// know the command.
#[cfg(feature = "cluster")]
pub(crate) fn is_in_no_cluster(failure: &Failure) -> bool {
    let at_server: Option<&AtServer> = failure.cause.downcast_ref();
    let error: Option<&RedisError> = at_server.and_then(|at| at.cause.downcast_ref());
    let says = |detail: &str| detail.contains("cluster support disabled");
    error.is_some_and(|error| is_unknown_command(error) || error.detail().is_some_and(says))
}

/// Whether a connection could not be opened because the server knows no RESP3. Of the commands sent
/// during opening, only `HELLO` can be unknown. redis-rs has an error for that, but does not
/// recognize each wording.
fn knows_no_resp3(error: &RedisError) -> bool {
    error.kind() == ErrorKind::RESP3NotSupported || is_unknown_command(error)
}

/// Whether the failure has that reason.
pub(crate) fn is_without_resp3(failure: &Failure) -> bool {
    failure.cause.is::<NoResp3>()
}

#[derive(Debug, thiserror::Error)]
#[error("the server doesn't know HELLO, and so no RESP3, which Redis has from 6.0 on")]
struct NoResp3(#[source] RedisError);

/// Converts the error of a server that does not know the commands to load and call scripts.
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

/// No reply arrived in time.
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

/// The request was sent together with others, and the replies to them took too long.
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
        // The server has lost its data, its cluster or its master, runs an endless script, or
        // rejects the login. It would answer every request in this way.
        (_, Some("LOADING" | "CLUSTERDOWN" | "MASTERDOWN" | "BUSY" | "NOAUTH" | "WRONGPASS")) => {
            FailureKind::Unavailable
        }
        _ if is_invalid_reply(error) => FailureKind::Unavailable,
        (ErrorKind::Server(_) | ErrorKind::Extension, _) => FailureKind::Rejected,
        _ => FailureKind::Unavailable,
    }
}
