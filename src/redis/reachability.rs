//! Decides whether a server that failed the check of `build` may work later, or will never work.
//!
//! No other place decides this. Pure: sends nothing.

#[cfg(feature = "cluster")]
use std::fmt;
use std::{error::Error as StdError, io};

use redis::RedisError;

use super::{
    error::{LookupTimeout, Reported, Timeout, io_error},
    server::other_server::ServersInTurn,
};
use crate::{error::cause::AtServer, store::Failure, util::worker::NoThread};

type AnyError = dyn StdError + Send + Sync + 'static;

/// The server answers, but cannot do its work yet.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotReady(pub(crate) &'static str);

/// No node answers at the address that the cluster announces; other clients may reach it.
#[cfg(feature = "cluster")]
#[derive(Debug)]
pub(crate) struct UnreachableAnnounced(pub(crate) Failure);

#[cfg(feature = "cluster")]
impl fmt::Display for UnreachableAnnounced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the cluster announces that address for its node, and no node answers there; the node \
             may announce another one (`cluster-announce-ip`, `cluster-announce-port`)",
        )
    }
}

/// Not derived: the source is the cause itself, not the `Failure` around it, so that its address is
/// found.
#[cfg(feature = "cluster")]
impl StdError for UnreachableAnnounced {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0.cause)
    }
}

/// No Sentinel says where the master is.
#[cfg(feature = "sentinel")]
#[derive(Debug, thiserror::Error)]
#[error("no sentinel says where the master is: {failures}")]
pub(crate) struct NoMasterNamed {
    /// The failure of each of them, with its address.
    pub(crate) failures: String,
    /// Whether all of them are merely away.
    pub(crate) is_away: bool,
}

/// Whether the server merely cannot be reached or is not ready, so that it may work later without
/// any change to the program, its settings, or those of the server.
///
/// | the check of a server ends with | may work later |
/// |---|---|
/// | a refused, reset or closed connection; no route; no socket file | yes |
/// | no answer in time | yes |
/// | a host name that cannot be resolved, or not in time | yes (1) |
/// | no thread can be started | yes |
/// | `LOADING`, `BUSY`, `MASTERDOWN`, `CLUSTERDOWN`, `TRYAGAIN` | yes |
/// | too many clients | yes |
/// | no node of a cluster answers, or none has slots yet | yes |
/// | no Sentinel answers | yes |
/// | a Sentinel does not know the name, or rejects the login | no (2) |
/// | the master that the Sentinels name reports to be a replica: a failover is under way | yes |
/// | a closed connection during the TLS handshake | yes |
/// | an address that leads to several servers in turn | yes (3) |
/// | any other failure of the TLS handshake, like an untrusted certificate | no |
/// | `NOAUTH`, `WRONGPASS`, `NOPERM`, `DENIED`, any other rejection | no |
/// | a socket file that this user may not open, an impossible address | no |
/// | a reply that is not Redis's | no |
/// | a server that is too old, has no scripts, or is of another kind than its address says | no |
///
/// 1. A resolver does not say whether a name is wrong or the network is down.
/// 2. Also if other Sentinels do not answer: the one that answers knows its settings.
/// 3. Each of them may be used after a second. An address that is being moved does this for a time.
pub(crate) fn is_away(failure: &Failure) -> bool {
    is_cause_away(&*failure.cause)
}

fn is_cause_away(cause: &AnyError) -> bool {
    if let Some(at_server) = cause.downcast_ref::<AtServer>() {
        return is_cause_away(&*at_server.cause);
    }
    #[cfg(feature = "cluster")]
    if let Some(UnreachableAnnounced(failure)) = cause.downcast_ref() {
        return is_away(failure);
    }
    #[cfg(feature = "sentinel")]
    if let Some(no_master) = cause.downcast_ref::<NoMasterNamed>() {
        return no_master.is_away;
    }
    cause.is::<Timeout>()
        || cause.is::<NotReady>()
        || cause.is::<ServersInTurn>()
        || cause.is::<NoThread>()
        || cause.is::<LookupTimeout>()
        || cause
            .downcast_ref()
            .is_some_and(|Reported(error)| is_error_away(error))
}

fn is_error_away(error: &RedisError) -> bool {
    if error.is_io_error() {
        let kind = io_error(error).map(io::Error::kind);
        return !matches!(
            kind,
            Some(io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput)
        );
    }
    let is_full = |detail: &str| detail.contains("max number of clients");
    matches!(
        error.code(),
        Some("LOADING" | "BUSY" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN")
    ) || error.detail().is_some_and(is_full)
}

#[cfg(test)]
mod tests {
    use redis::{Value, parse_redis_value};

    use super::*;
    use crate::store::FailureKind;

    fn failure(cause: impl Into<Box<AnyError>>) -> Failure {
        Failure::new(FailureKind::Unavailable, cause)
    }

    fn reported(error: impl Into<RedisError>) -> Failure {
        failure(Reported(error.into()))
    }

    fn said(line: &str) -> Failure {
        match parse_redis_value(format!("-{line}\r\n").as_bytes()) {
            Ok(Value::ServerError(error)) => reported(error),
            other => panic!("{other:?}"),
        }
    }

    fn io(kind: io::ErrorKind) -> Failure {
        reported(io::Error::from(kind))
    }

    #[test]
    fn a_server_that_is_not_ready_is_away_and_one_that_refuses_is_not() {
        for away in [
            "LOADING Redis is loading the dataset in memory",
            "BUSY Redis is busy running a script",
            "MASTERDOWN Link with MASTER is down",
            "CLUSTERDOWN The cluster is down",
            "ERR max number of clients reached",
        ] {
            assert!(is_away(&said(away)), "{away}");
        }
        for lasting in [
            "NOAUTH Authentication required.",
            "WRONGPASS invalid username-password pair",
            "NOPERM this user has no permissions to run the 'evalsha' command",
            "DENIED Redis is running in protected mode",
            "ERR unknown command 'HELLO'",
        ] {
            assert!(!is_away(&said(lasting)), "{lasting}");
        }
    }

    #[test]
    fn a_broken_connection_is_away_and_a_forbidden_one_is_not() {
        use io::ErrorKind as Kind;
        for away in [
            Kind::ConnectionRefused,
            Kind::ConnectionReset,
            Kind::UnexpectedEof,
            Kind::NotFound,
            Kind::HostUnreachable,
        ] {
            assert!(is_away(&io(away)), "{away:?}");
        }
        for lasting in [Kind::PermissionDenied, Kind::InvalidInput] {
            assert!(!is_away(&io(lasting)), "{lasting:?}");
        }
    }

    #[test]
    fn an_address_that_leads_to_several_servers_in_turn_is_away() {
        assert!(is_away(&failure(ServersInTurn)));
    }

    #[test]
    fn the_address_in_a_failure_hides_nothing() {
        let at = |cause: Failure| {
            failure(AtServer {
                address: "there:6379".to_owned(),
                cause: cause.cause,
                hint: None,
            })
        };
        assert!(is_away(&at(failure(NotReady("not yet")))));
        assert!(is_away(&at(at(io(io::ErrorKind::ConnectionRefused)))));
        assert!(!is_away(&at(failure("no reason that is known"))));
    }
}
