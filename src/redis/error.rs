//! Why a request to a server failed: as a message, and as what the failure says about the server.
//!
//! Every error of redis-rs enters the crate through [`failure`], [`unopened`], [`silent_sentinel`]
//! or [`no_scripts`]. These remove the parts of the request that the error repeats.

use std::{error::Error as StdError, fmt, io, sync::Arc, time::Duration};

use redis::{ConnectionAddr, ErrorKind, RedisConnectionInfo, RedisError, ServerErrorKind, Value};

use super::{
    connection::limits::{ReplyTooLarge, RequestTimeout},
    invalid_reply::{InvalidReply, is_invalid_reply},
    server::redact::{without_arguments, without_login},
};
use crate::{
    error::cause::Cause,
    store::{Failure, FailureKind},
};

/// An error and the server it came from: its host and port, or its socket, but not the password.
#[derive(Debug)]
pub(crate) struct Reported(pub(crate) RedisError);

/// Prints the reply of a server as the server wrote it, with its code. Of any other error, leaves
/// out the name that redis-rs has for its kind.
impl fmt::Display for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reported(error) = self;
        match (error.code(), error.detail()) {
            (Some(code), Some(detail)) => write!(f, "{code} {detail}"),
            (Some(code), None) => f.write_str(code),
            (None, _) => {
                let kind = format!(" - {:?}", error.kind());
                f.write_str(&error.to_string().replacen(&kind, "", 1))
            }
        }
    }
}

impl StdError for Reported {}

/// The error of redis-rs behind a failure.
pub(crate) fn redis_error(failure: &Failure) -> Option<&RedisError> {
    failure.cause().map(|Reported(error)| error)
}

/// A hint about the possible reason if the first request failed. A server that expects a TLS
/// handshake closes a connection without one. A server without TLS reads the handshake as the
/// beginning of a command, and waits for the end of it.
pub(crate) fn hint(address: &ConnectionAddr, failure: &Failure) -> Option<&'static str> {
    let is_cut = redis_error(failure)
        .is_some_and(|error| error.is_connection_dropped() && !error.is_connection_refusal());
    match address {
        ConnectionAddr::Tcp(..) if is_cut || failure.cause::<InvalidReply>().is_some() => {
            Some("if the server speaks TLS, its address begins with `rediss://`")
        }
        ConnectionAddr::TcpTls { .. } if is_cut || failure.cause::<Timeout>().is_some() => {
            Some("if the server does not speak TLS, its address begins with `redis://`")
        }
        _ => None,
    }
}

/// Whether the server itself refused the request. A refusal is a complete reply.
pub(crate) fn is_refusal(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
}

/// Whether the connection failed for another reason than a timeout. Either it was closed, or the
/// wait was interrupted. A wait is interrupted when this process is stopped and continued (by a
/// debugger, a shell, or a closed lid).
pub(crate) fn is_lost(error: &RedisError) -> bool {
    error.is_io_error() && !error.is_timeout()
}

/// Whether the reply did not arrive completely, or was invalid. Another connection may work.
pub(crate) fn is_broken_off(error: &RedisError) -> bool {
    is_lost(error) || is_invalid_reply(error)
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
        cause: callers_cause(error, within),
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
        Arc::new(NoResp3(Reported(error)))
    } else {
        callers_cause(error, within)
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

/// The cause that callers get. It replaces the message of redis-rs for a timeout, which is
/// misleading.
fn callers_cause(cause: RedisError, within: Duration) -> Cause {
    if let Some(lookup) = within_io::<LookupTimeout>(&cause) {
        Arc::new(*lookup)
    } else if let Some(too_large) = within_io::<ReplyTooLarge>(&cause) {
        Arc::new(*too_large)
    } else if let Some(RequestTimeout { within }) = within_io(&cause) {
        Arc::new(Timeout { within: *within })
    } else if cause.is_timeout() {
        Arc::new(Timeout { within })
    } else if let Some(words) = io_error(&cause).and_then(explained) {
        let cause = Reported(cause);
        Arc::new(Handshake { words, cause })
    } else if is_invalid_reply(&cause) {
        Arc::new(InvalidReply)
    } else {
        Arc::new(Reported(cause))
    }
}

/// Whether the server, or a proxy before it, does not know the command. No error code says that, so
/// the text is compared.
pub(crate) fn is_unknown_command(error: &RedisError) -> bool {
    let says = |detail: &str| detail.to_lowercase().contains("unknown command");
    error.kind() == ErrorKind::Server(ServerErrorKind::ResponseError)
        && error.detail().is_some_and(says)
}

/// Whether a server that should be a node of a cluster is in no cluster. A sentinel does not even
/// know the command.
#[cfg(feature = "cluster")]
pub(crate) fn is_in_no_cluster(failure: &Failure) -> bool {
    let says = |detail: &str| detail.contains("cluster support disabled");
    redis_error(failure)
        .is_some_and(|error| is_unknown_command(error) || error.detail().is_some_and(says))
}

/// Whether a connection could not be opened because the server knows no RESP3. Of the commands sent
/// during opening, only `HELLO` can be unknown. redis-rs has an error for that, but does not
/// recognize every server's wording.
fn knows_no_resp3(error: &RedisError) -> bool {
    error.kind() == ErrorKind::RESP3NotSupported || is_unknown_command(error)
}

/// Whether the failure is that the server knows no RESP3.
pub(crate) fn is_without_resp3(failure: &Failure) -> bool {
    failure.cause::<NoResp3>().is_some()
}

#[derive(Debug, thiserror::Error)]
#[error("the server does not know HELLO, so it has no RESP3, which Redis has since 6.0")]
struct NoResp3(#[source] Reported);

/// Converts the error of a server that does not know the commands to load and call scripts.
pub(crate) fn no_scripts(error: RedisError) -> Failure {
    Failure::new(
        FailureKind::Rejected,
        NoScripts(Reported(without_arguments(error))),
    )
}

#[derive(Debug, thiserror::Error)]
#[error(
    "a cache needs the commands SCRIPT LOAD and EVALSHA, which the server does not know: they are \
     disabled or renamed (`rename-command`), or a proxy in front of it lacks them"
)]
struct NoScripts(#[source] Reported);

#[cfg(feature = "tls")]
use super::tls::explained;

#[cfg(not(feature = "tls"))]
fn explained(_: &io::Error) -> Option<String> {
    None
}

/// The TLS handshake failed.
#[derive(Debug, thiserror::Error)]
#[error("{words}")]
struct Handshake {
    words: String,
    #[source]
    cause: Reported,
}

/// No reply arrived in time.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {within:?}")]
pub(crate) struct Timeout {
    pub(crate) within: Duration,
}

/// The name of the host was not looked up in time.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the lookup of the host name took longer than {within:?}")]
pub(crate) struct LookupTimeout {
    pub(crate) within: Duration,
}

/// The error of this crate within one of the operating system.
fn within_io<T: StdError + 'static>(error: &RedisError) -> Option<&T> {
    io_error(error)?.get_ref()?.downcast_ref()
}

/// The error that a reply within a pipeline is.
pub(crate) fn in_reply(reply: &Value) -> Option<RedisError> {
    match reply {
        Value::ServerError(error) => Some(error.clone().into()),
        _ => None,
    }
}

/// The error of the operating system behind this one.
pub(crate) fn io_error(error: &RedisError) -> Option<&io::Error> {
    let cause: &Arc<dyn StdError + Send + Sync> = error.source()?.downcast_ref()?;
    cause.downcast_ref()
}

/// All connections were in use, or none could be opened.
#[derive(Debug, thiserror::Error)]
#[error("none of the pool's connections ({connections}) was free in time")]
pub(crate) struct PoolExhausted {
    pub(crate) connections: u32,
}

/// The request was sent together with others, and the replies to them took too long.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {within:?}, behind other requests on a shared connection")]
pub(crate) struct QueuedTimeout {
    pub(crate) within: Duration,
}

/// Whether the server would answer every request in this way: it is loading its data, has lost its
/// cluster or its master, runs an endless script, or rejects the login.
pub(crate) fn refuses_all(error: &RedisError) -> bool {
    matches!(
        error.code(),
        Some("LOADING" | "CLUSTERDOWN" | "MASTERDOWN" | "BUSY" | "NOAUTH" | "WRONGPASS")
    )
}

/// Whether the server knows the command, but not with these arguments.
pub(crate) fn has_wrong_arguments(error: &RedisError) -> bool {
    let says = |detail: &str| detail.starts_with("wrong number of arguments");
    is_refusal(error) && error.detail().is_some_and(says)
}

/// What the failure of a request says about the server.
fn kind(error: &RedisError) -> FailureKind {
    match (error.kind(), error.code()) {
        // The cluster still serves the other slots.
        (_, Some("CLUSTERDOWN")) if error.detail() == Some("Hash slot not served") => {
            FailureKind::Rejected
        }
        _ if refuses_all(error) => FailureKind::Unavailable,
        _ if is_invalid_reply(error) => FailureKind::Unavailable,
        (ErrorKind::Server(_) | ErrorKind::Extension, _) => FailureKind::Rejected,
        _ => FailureKind::Unavailable,
    }
}
